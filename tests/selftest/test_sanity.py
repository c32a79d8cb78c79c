"""What each score is known to see and not to see comes out as it is known; and a blind score is called blind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from assay.explain.behaviour import Size
from assay.selftest.bench import Bench, by_rules, by_truth
from assay.selftest.candidates import EXTRA, MISSING, TRUTH, candidates, corrupted, extra_labels, missing_labels, told
from assay.selftest.sanity import Examined, examine_all, mean_over, score_results
from assay.selftest.scores import SCORES, Examiner, applies
from assay.stats import Estimate
from assay.testing import Exhibit
from selftest.conftest import quiet

PLACES = (0, 4, 7, 9, 10, 16, 24, 26)  # weekdays, amounts, brackets, negation, names ...; two noisy ones
NOTHING = np.zeros(0)


@pytest.fixture(scope="module")
def examined(bench: Bench) -> Examined:
    exhibits = [bench.gallery.exhibits[i] for i in PLACES]
    return examine_all(bench, Examiner.of(bench, Size(48, 8, 32), quiet), exhibits, quiet)


@pytest.fixture(scope="module")
def results(examined: Examined) -> dict[str, dict[str, Any]]:
    return score_results(examined.scores, seed=0)


@pytest.mark.parametrize("name", [name for name, kind in SCORES.items() if kind.primary])
def test_what_the_project_stands_by_passes(results: dict[str, dict[str, Any]], name: str) -> None:
    row = results[name]
    assert row["truth_beats_decoys"], row["failures"]
    assert row["clearly"] >= row["pairs"] - 2 > 20
    assert row["missing_share"] > 0.25
    assert row["extra_share"] > 0.25
    assert row["passes"]


@pytest.mark.parametrize("name", ["cosine", "iou"])
def test_what_the_literature_finds_sound_passes(results: dict[str, dict[str, Any]], name: str) -> None:
    assert results[name]["passes"]


@pytest.mark.parametrize(
    ("name", "unseen"),
    [
        ("recall", "extra"),
        ("balanced_accuracy", "extra"),
        ("auc", "extra"),
        ("top_and_random_tokens", "extra"),
        ("accuracy", "extra"),
        ("accuracy", "missing"),
        ("precision", "missing"),
        ("mean_activation_difference", "missing"),
    ],
)
def test_what_the_literature_finds_blind_hardly_falls(
    results: dict[str, dict[str, Any]], name: str, unseen: str
) -> None:
    assert abs(results[name][f"{unseen}_share"]) < 0.06
    assert not results[name]["passes"]


@pytest.mark.parametrize("name", ["top_and_random", "detection_accuracy", "spearman"])
def test_what_sees_too_little_fails_as_well(results: dict[str, dict[str, Any]], name: str) -> None:
    assert not results[name]["passes"]
    assert results[name]["extra_drop"] < 0.8 * results["r"]["extra_drop"]


def test_r_falls_as_it_must(results: dict[str, dict[str, Any]]) -> None:
    """With half of the firings left out, or half of those predicted wrong, r is 1 / sqrt(2) of what it was."""
    assert results["r"]["missing_share"] == pytest.approx(1 - 0.5**0.5, abs=0.03)
    assert results["r"]["extra_share"] == pytest.approx(1 - 0.5**0.5, abs=0.01)


def test_other_families_stand_apart(results: dict[str, dict[str, Any]]) -> None:
    assert set(results["r"]["elsewhere"]) == {"noisy"}
    assert results["r"]["units"] == 6
    assert results["r"]["elsewhere"]["noisy"]["units"] == 2
    assert results["r"]["elsewhere"]["noisy"]["truth"] < 0.8
    assert results["r_context"]["units"] == 5  # weekdays are decided by the token alone


def test_the_same_bench_gives_the_same_numbers(bench: Bench, examined: Examined) -> None:
    exhibit = bench.gallery.exhibits[7]
    again = examine_all(bench, Examiner.of(bench, Size(48, 8, 32), quiet), [exhibit], quiet)
    for candidate, scores in examined.scores[exhibit].items():
        for name, found in scores.items():
            same = again.scores[exhibit][candidate][name]
            assert same.value == found.value or np.isnan([same.value, found.value]).all()
            assert np.array_equal(same.replicates, found.replicates, equal_nan=True)


def test_the_predictions_are_calibrated_on_the_choose_split(bench: Bench) -> None:
    exhibit = bench.gallery.exhibits[7]
    choose = bench.parts["choose"]
    settled = bench.settle(exhibit, by_truth(exhibit))
    slope, intercept = np.polyfit(by_truth(exhibit)(choose)[choose.scored], bench.of(exhibit, "choose"), 1)
    assert settled.line.slope == pytest.approx(slope)
    assert settled.line.intercept == pytest.approx(intercept, abs=1e-6)
    real = bench.of(exhibit, "test") > bench.firing_level(exhibit)
    assert settled.threshold is not None
    assert np.corrcoef(settled.predicted[bench.keep] > settled.threshold, real)[0, 1] > 0.8


def test_splits_share_no_document(bench: Bench) -> None:
    names = [{document.id for document in part.documents} for part in bench.parts.values()]
    assert sum(map(len, names)) == len(set.union(*names)) == 400


def test_labels_missing_are_half_of_the_firings_and_nothing_else() -> None:
    predicted = (np.arange(20_000) % 10 == 0).astype(np.float32)
    left = missing_labels(predicted, np.random.default_rng(0))
    assert left.sum() == pytest.approx(1000, abs=80)
    assert not left[predicted == 0].any()


def test_labels_too_many_are_as_many_again_elsewhere() -> None:
    predicted = (np.arange(20_000) % 10 == 0).astype(np.float32)
    more = extra_labels(predicted, np.random.default_rng(0))
    assert more.sum() == 4000
    assert (more[predicted == 1] == 1).all()


def test_labels_are_drawn_for_each_part_and_kept_for_it(bench: Bench) -> None:
    exhibit = bench.gallery.exhibits[0]
    predict = corrupted(by_truth(exhibit), missing_labels, seed=0)
    test, fit = bench.parts["test"], bench.parts["fit"]
    assert np.array_equal(predict(test), predict(test))
    size = min(test.table.n_tokens, fit.table.n_tokens)
    assert not np.array_equal(predict(test)[:size], predict(fit)[:size])


def test_every_decoy_stands_beside_the_truth_in_words_and_rules(bench: Bench) -> None:
    exhibit = bench.gallery.exhibits[7]
    assert list(told(exhibit)) == [TRUTH, *exhibit.decoys]
    said = candidates(exhibit, 0)
    assert list(said) == [TRUTH, *exhibit.decoys, MISSING, EXTRA]
    rules = exhibit.decoys["related"].rules
    assert rules is not None
    test = bench.parts["test"]
    assert np.array_equal(said["related"](test), by_rules(rules)(test))
    dense = next(one for one in bench.gallery.exhibits if one.dense)
    assert MISSING not in candidates(dense, 0)


def test_scores_are_asked_only_what_they_can_answer(bench: Bench) -> None:
    tokens, silent, context = (bench.gallery.exhibits[i] for i in (0, 3, 7))
    assert [applies(SCORES["r_context"], one) for one in (tokens, silent, context)] == [False, False, True]
    assert [applies(SCORES["behaviour"], one) for one in (tokens, silent, context)] == [True, False, True]
    assert all(applies(SCORES["r"], one) for one in (tokens, silent, context))


def table(
    exhibits: Sequence[Exhibit], truth: float, decoy: float, missing: float, extra: float
) -> dict[Exhibit, Mapping[str, Mapping[str, Estimate]]]:
    """Units whose every score is given; the decoy is the one that is too broad."""
    values = {TRUTH: truth, "too broad": decoy, MISSING: missing, EXTRA: extra}
    row = {name: dict.fromkeys(SCORES, Estimate(value, np.full(50, value))) for name, value in values.items()}
    return dict.fromkeys(exhibits, row)


@pytest.mark.parametrize(
    ("truth", "decoy", "missing", "extra", "passes"),
    [
        (1.0, 0.9, 0.7, 0.7, True),
        (1.0, 1.0, 0.7, 0.7, False),  # a decoy is as good
        (1.0, 0.9, 0.8, 0.7, False),  # a fifth is lost
        (1.0, 0.9, 0.7, 0.99, False),
        (0.2, 0.1, 0.1, 0.1, True),
        (0.2, 0.1, 0.12, 0.1, False),  # two fifths, but .08 in all
        (1.0, float("nan"), 0.7, 0.7, False),  # nothing to compare with
    ],
)
def test_a_score_passes_only_if_it_sees_all(
    bench: Bench, truth: float, decoy: float, missing: float, extra: float, passes: bool
) -> None:
    found = score_results(table(bench.gallery.exhibits[:3], truth, decoy, missing, extra), seed=0)
    assert found["recall"]["passes"] is passes


def test_what_is_not_above_a_decoy_is_named(bench: Bench) -> None:
    exhibits = bench.gallery.exhibits[:3]
    scores = table(exhibits, 1.0, 0.9, 0.7, 0.7)
    worse = table(exhibits[1:2], 0.8, 0.9, 0.5, 0.5)
    row = score_results(scores | worse, seed=0)["r"]
    assert (row["truth_beats_decoys"], row["beaten"], row["pairs"], row["clearly"]) == (False, 2, 3, 2)
    assert row["failures"] == [{"unit": exhibits[1].name, "decoy": "too broad", "truth": 0.8, "decoy_score": 0.9}]


def test_units_of_other_families_decide_nothing(bench: Bench) -> None:
    good = table(bench.gallery.exhibits[:2], 1.0, 0.9, 0.7, 0.7)
    noisy = replace(bench.gallery.exhibits[2], family="noisy")
    row = score_results(good | table([noisy], 0.1, 0.9, 0.1, 0.1), seed=0)["r"]
    assert row["passes"]
    assert row["elsewhere"]["noisy"]["beaten"] == 0


def test_a_mean_over_few_units_has_no_interval() -> None:
    assert np.isnan(mean_over([], 0).value)
    few, many = mean_over([0.5] * 9, 0), mean_over([0.4, 0.6] * 10, 0)
    assert few.value == 0.5
    assert np.isnan(few.lo)
    assert 0.4 < many.lo < 0.5 < many.hi < 0.6
