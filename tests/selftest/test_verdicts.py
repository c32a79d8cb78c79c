"""Claims of planted truth, and how often the verdict is right about them."""

from __future__ import annotations

import numpy as np
import pytest

from assay.referee import ControlSummary, Verdict
from assay.selftest.bench import Bench
from assay.selftest.claims import (
    BEST,
    CONTROL,
    EFFECTS,
    HIGHEST,
    NONSENSE,
    SHUFFLED,
    STRANGER,
    Population,
    empty_claims,
    planted_claims,
    rival_of,
)
from assay.selftest.verdicts import Judged, judge_all, verdict_results
from assay.stats import wilson
from selftest.conftest import quiet


@pytest.fixture(scope="module")
def population(bench: Bench) -> Population:
    return Population.of(bench)


def r(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one, other)[0, 1])


def test_the_population_is_all_text_and_its_documents_are_apart(bench: Bench, population: Population) -> None:
    size = sum(int(part.scored.sum()) for part in bench.parts.values())
    assert population.documents.shape == population.part.shape == (size,)
    assert len(np.unique(population.documents)) == 400
    for document in (0, 150, 399):
        assert len(np.unique(population.part[population.documents == document])) == 1
    exhibit = bench.gallery.exhibits[7]
    assert r(population.said[exhibit], population.activations[exhibit]) > 0.99


def test_planted_claims_lie_as_far_above_their_null_as_they_say(bench: Bench, population: Population) -> None:
    rng = np.random.default_rng(0)
    everything = np.ones(population.part.shape, dtype=bool)
    for exhibit in bench.gallery.exhibits[:4]:
        rival = rival_of(population, exhibit, everything, rng)
        assert rival is not exhibit
        null = max(0.0, r(population.said[rival], population.activations[exhibit]))
        claims = planted_claims(population, exhibit, rival, EFFECTS, rng)
        assert [claim.effect for claim in claims] == [effect for effect in EFFECTS if null + effect <= HIGHEST]
        for claim in claims:
            found = r(claim.predicted, population.activations[exhibit]) - null
            assert found == pytest.approx(claim.effect, abs=0.025)


def test_a_rival_is_the_best_of_eight(bench: Bench, population: Population) -> None:
    """Of a unit that shares a meaning with another, that one is the rival whenever it is drawn."""
    exhibits = {exhibit.name: exhibit for exhibit in bench.gallery.exhibits}
    exhibit, near = exhibits["thing in brackets"], exhibits["months; things in brackets"]
    everything = np.ones(population.part.shape, dtype=bool)
    rivals = [rival_of(population, exhibit, everything, np.random.default_rng(seed)) for seed in range(30)]
    assert 2 <= rivals.count(near) <= 15  # drawn eight times in 35
    assert len(set(rivals)) > 3


def test_claims_about_nothing_say_what_they_are(bench: Bench, population: Population) -> None:
    exhibit, rival = bench.gallery.exhibits[0], bench.gallery.exhibits[5]
    claims = {c.kind: c for c in empty_claims(population, exhibit, rival, bench, np.random.default_rng(0))}
    assert set(claims) == {STRANGER, CONTROL, NONSENSE, SHUFFLED}
    assert np.array_equal(np.sort(claims[SHUFFLED].predicted), np.sort(population.activations[exhibit]))
    assert claims[SHUFFLED].d == pytest.approx(0, abs=0.03)
    assert not np.array_equal(claims[STRANGER].predicted, claims[CONTROL].predicted)
    assert all(claim.effect is None for claim in claims.values())


@pytest.fixture(scope="module")
def judged(bench: Bench) -> tuple[list[Judged], list[ControlSummary]]:
    """One run with behaviour on every 22nd unit, and one of predictions alone."""
    learnt = {bench.gallery.exhibits[22]: bench.gallery.exhibits[9].told.rules}  # as if it were the best there is
    return judge_all(bench, runs=2, whole=1, every=22, learnt=learnt, progress=quiet)


def test_large_effects_are_found_and_none_where_there_is_none(
    judged: tuple[list[Judged], list[ControlSummary]],
) -> None:
    found = verdict_results(*judged)
    power = {row["effect"]: row for row in found["power"]}
    assert power[0.4]["power"] > 0.95
    assert power[0.2]["power"] > 0.9
    assert power[0.0]["power"] == 0
    assert power[0.0]["refuted"] > 0
    assert [row["power"] for row in found["power"][:3]] == pytest.approx([0, 0, 0], abs=0.08)
    assert found["false_support"] <= 0.05
    assert found["runs"] == 2
    assert found["void_runs"] == 0


def test_behaviour_is_run_where_it_was_asked_for(
    bench: Bench, judged: tuple[list[Judged], list[ControlSummary]]
) -> None:
    claims, controls = judged
    whole = {one.unit for one in claims if one.overall is not None}
    assert whole == {bench.gallery.exhibits[0].name, bench.gallery.exhibits[22].name}
    [best] = [one for one in claims if one.kind == BEST]
    assert best.unit == bench.gallery.exhibits[22].name
    assert best.overall is Verdict.REFUTED
    overall = {one.effect: one.overall for one in claims if one.unit == "weekdays" and one.overall is not None}
    assert overall[0.4] in (Verdict.SUPPORTED, Verdict.PREDICTS)
    assert overall[0.0] is Verdict.REFUTED
    assert sum(summary.n for summary in controls) >= 30
    assert not any(one.kind == CONTROL for one in claims)


def test_the_same_seed_gives_the_same_verdicts(bench: Bench) -> None:
    one, other = (judge_all(bench, runs=1, whole=1, every=43, learnt={}, progress=quiet) for _ in range(2))
    assert one == other


def claim(d: float, prediction: Verdict, overall: Verdict | None, effect: float | None = None) -> Judged:
    return Judged("unit", "stranger" if effect is None else "planted", effect, d, prediction, overall)


def test_what_counts_as_false_support() -> None:
    """Claims no more than the margin above their nulls, judged by all their checks; one that predicts is no mistake."""
    claims = [
        claim(0.5, Verdict.SUPPORTED, None),
        claim(0.02, Verdict.SUPPORTED, None),
        claim(0.0, Verdict.SUPPORTED, Verdict.REFUTED),
        claim(0.0, Verdict.SUPPORTED, Verdict.PREDICTS),
        claim(-0.1, Verdict.UNDECIDED, Verdict.UNDECIDED),
        claim(0.01, Verdict.REFUTED, None, effect=0.01),
    ]
    found = verdict_results(claims, [])
    assert found["false_support_n"] == 5
    assert found["false_support"] == pytest.approx(0.4)
    assert found["false_support_hi"] == pytest.approx(wilson(2, 5).hi, abs=1e-4)
    assert found["false_by_kind"] == {"stranger": {"passed": 2, "n": 4}, "planted": {"passed": 0, "n": 1}}
    assert (found["false_supported"], found["false_supported_n"]) == (0, 3)
    row = next(row for row in found["power"] if row["effect"] == 0.01)
    assert (row["n"], row["power"], row["refuted"], row["both"], row["overall"]) == (1, 0.0, 1, None, {})
