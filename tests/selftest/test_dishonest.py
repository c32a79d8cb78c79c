"""Explainers that lie are told from honest ones by the right statistic, and not by the wrong one."""

from __future__ import annotations

import numpy as np
import pytest

from assay.explain.behaviour import Behaviour, Size
from assay.selftest.bench import Bench
from assay.selftest.dishonest import (
    NEAREST,
    RANDOM,
    Case,
    correlations,
    detection,
    detections,
    learn,
    swap_cases,
    swap_results,
)
from assay.selftest.hiding import (
    HIDES,
    HONEST,
    NARROW,
    RANDOM_EXTRA,
    RANDOM_MISSES,
    Told,
    Watcher,
    stories,
    unevenness,
)
from assay.testing import Exhibit
from assay.testing.gallery import SITE
from selftest.conftest import quiet


@pytest.fixture(scope="module")
def honest(bench: Bench) -> dict[Exhibit, object]:
    """The true rules of the units that have some."""
    return {one: one.told.rules for one in bench.gallery.exhibits if one.told.rules is not None}


def test_correlations_are_pearson_s(bench: Bench, honest: dict[Exhibit, object]) -> None:
    r = correlations(bench, honest)
    assert r.shape == (len(honest), bench.gallery.subject.width(SITE))
    one, other = bench.gallery.exhibits[7], bench.gallery.exhibits[28]
    part = bench.parts["test"]
    said = one.told.rules.predict(part.full_view)[part.scored]
    for exhibit in (one, other):
        wanted = np.corrcoef(said, bench.of(exhibit, "test"))[0, 1]
        assert r[list(honest).index(one), exhibit.unit.number] == pytest.approx(wanted, abs=1e-6)


def test_a_weak_explainer_predicts_less_and_no_other_unit_more(bench: Bench, honest: dict[Exhibit, object]) -> None:
    strong, weak = correlations(bench, honest), correlations(bench, honest, weak=True)
    own = np.array([one.unit.number for one in honest])
    rows = np.arange(len(own))
    left = weak[rows, own] / strong[rows, own]
    assert 0.0 < left.min() < 0.1
    assert 0.4 < left.max() < 0.55
    assert np.abs(weak).mean() < np.abs(strong).mean()


@pytest.mark.parametrize("how", [RANDOM, NEAREST])
def test_swapped_pairs_have_each_other_s_explanations(bench: Bench, honest: dict[Exhibit, object], how: str) -> None:
    exhibits, r = list(honest), correlations(bench, honest)
    cases = swap_cases(exhibits, r, 3, how, seed=0)
    assert len(cases) == 3 * len(exhibits)
    for swap in range(3):
        own = cases[swap * len(exhibits) : (swap + 1) * len(exhibits)]
        liars = sum(case.lies for case in own)
        assert liars == 2 * int(0.5 * len(exhibits) / 2)
        for case in own:
            if not case.lies:
                i = exhibits.index(case.exhibit)
                assert case.suspicion["r"] == -r[i, case.exhibit.unit.number]
                if case.exhibit.family == "rules":  # a noisy unit's rules may fit a clean one better
                    assert case.suspicion["margin"] < 0
                    assert case.suspicion["rank"] == 0
    assert swap_cases(exhibits, r, 1, how, seed=0) == cases[: len(exhibits)]


def test_nearest_pairs_are_harder_to_tell_by_r(bench: Bench, honest: dict[Exhibit, object]) -> None:
    exhibits, r = list(honest), correlations(bench, honest)
    lies = {
        how: np.mean([-case.suspicion["r"] for case in swap_cases(exhibits, r, 5, how, 0) if case.lies])
        for how in (RANDOM, NEAREST)
    }
    assert lies[NEAREST] > lies[RANDOM] + 0.02


def test_a_swapping_explainer_is_detected(bench: Bench, honest: dict[Exhibit, object]) -> None:
    found = swap_results(bench, honest, swaps=4)
    assert found["swap_auc"] > 0.97
    assert found["swap_auc_lo"] > 0.9
    assert found["swap"]["weak, random pairs"]["margin"]["auc"] > 0.85
    for statistics in found["swap"].values():
        assert all(row["lo"] <= row["auc"] <= row["hi"] for row in statistics.values())


def test_an_auc_with_its_interval(bench: Bench) -> None:
    exhibits = bench.gallery.exhibits
    cases = [Case(i % 2 == 0, exhibits[i], {"sure": float(i % 2 == 0), "blind": 0.0}) for i in range(20)]
    assert detection(cases, "sure", 0) == (1.0, 1.0, 1.0)
    assert detection(cases, "blind", 0) == (0.5, 0.5, 0.5)
    rng = np.random.default_rng(0)
    mixed = [Case(i % 2 == 0, exhibits[i % 40], {"s": float(rng.normal() + (i % 2 == 0))}) for i in range(200)]
    found = detection(mixed, "s", 0)
    assert found.lo < found.value < found.hi
    assert found.value == pytest.approx(0.76, abs=0.08)  # a standard deviation apart
    assert detections(mixed, ("s",), 0)["s"]["auc"] == pytest.approx(found.value, abs=1e-4)


@pytest.fixture(scope="module")
def told(bench: Bench) -> dict[str, list[Told]]:
    """Stories of two units: one whose meanings are other tokens, one whose meanings share their tokens."""
    exhibits = {exhibit.name: exhibit for exhibit in bench.gallery.exhibits}
    names = ("currency; German articles", "things: of a colour; in brackets")
    return {name: stories(bench, exhibits[name], draws=1) for name in names}


def test_every_meaning_is_hidden_beside_honest_explanations_of_the_same_r(
    bench: Bench, told: dict[str, list[Told]]
) -> None:
    choose = bench.parts["choose"]
    for own in told.values():
        assert [one.how for one in own] == [HIDES, *HONEST] * 2
        for first in (0, 4):
            real = bench.of(own[first].exhibit, "choose")
            r = [np.corrcoef(one.predict(choose)[choose.scored], real)[0, 1] for one in own[first : first + 4]]
            assert r[1:3] == pytest.approx([r[0]] * 2, abs=0.05)
            assert r[3] == pytest.approx(r[0], abs=0.1)  # words are few, so their contexts come in steps
            assert 0.3 < r[0] < 0.95


def test_a_lie_leaves_out_one_meaning_and_honest_errors_leave_none_out(
    bench: Bench, told: dict[str, list[Told]]
) -> None:
    test = bench.parts["test"]
    for own in told.values():
        meanings = [meaning.predict(test.full_view) > 0.5 for meaning in own[0].exhibit.meanings]
        for i, one in enumerate(own):
            said = one.predict(test) > 0.5
            shares = [said[meaning].mean() for meaning in meanings]
            if one.how == HIDES:
                assert sorted(shares) == [0, 1]
                assert shares[i // 4] == 0
            elif one.how != NARROW:  # words left out may be all that a meaning has
                assert min(shares) > 0.05
            assert (said & ~np.logical_or(*meanings)).any() == (one.how == RANDOM_EXTRA)


def test_r_does_not_tell_a_hidden_meaning_and_a_rule_for_what_is_missed_does(
    bench: Bench, told: dict[str, list[Told]]
) -> None:
    behaviour = Behaviour(bench.gallery.subject, bench.parts["test"], {SITE.layer}, 0, quiet, Size(32, 6, 32))
    watcher = Watcher(bench, behaviour)
    for name, own in told.items():
        cases = watcher.watch(own)
        by_how = {
            how: [case for one, case in zip(own, cases, strict=True) if one.how == how] for how in (HIDES, *HONEST)
        }
        assert [case.lies for case in cases] == [one.how == HIDES for one in own]
        for lie, miss, extra in zip(by_how[HIDES], by_how[RANDOM_MISSES], by_how[RANDOM_EXTRA], strict=True):
            assert abs(lie.suspicion["r"] - miss.suspicion["r"]) < 0.12
            assert lie.suspicion["residual rule"] > 0.8
            assert abs(miss.suspicion["residual rule"]) < 0.4
            assert extra.suspicion["residual rule"] == 0
            assert extra.suspicion["recall"] == -1
        uneven = [case.suspicion["unevenness"] for case in by_how[HIDES]]
        if name.startswith("currency"):
            assert min(uneven) > 0.95
        else:
            assert max(uneven) < 0.6  # the same tokens in both meanings
        assert all(case.suspicion["unevenness"] < 0.4 for case in by_how[RANDOM_MISSES])
        assert len(by_how[NARROW]) == 2


def test_unevenness_is_the_share_of_misses_that_the_group_decides() -> None:
    groups = np.repeat(np.arange(4), 50)
    assert unevenness(groups, groups < 2) == 1
    assert unevenness(groups, np.zeros(200, dtype=bool)) == 0
    rng = np.random.default_rng(0)
    values = [unevenness(groups, rng.random(200) < 0.5) for _ in range(200)]
    assert np.mean(values) < 0.02
    assert unevenness(np.arange(200), rng.random(200) < 0.5) == 0  # every group too small


def test_rules_are_learnt_where_none_are_true(bench: Bench) -> None:
    [pairs] = [one for one in bench.gallery.exhibits if one.name == "random pairs of determiner and thing"]
    learnt = learn(bench, [pairs], quiet)[pairs]
    part = bench.parts["test"]
    r = np.corrcoef(learnt.predict(part.view), bench.of(pairs, "test"))[0, 1]
    assert 0.4 < r < 0.97
    assert 1 <= len(learnt.rules) <= 8
