"""The effect check on effects that are made up: what it scores, what it must not let pass, and its golden numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from assay.referee import EFFECT_VERSION, Verdict, effect_check, exceeded_by_few, judge_check
from assay.stats import document_weights

TOKENS, PLACES, DIRECTIONS = 400, 32, 20


def standard(x: np.ndarray) -> np.ndarray:
    x = x - x.mean(-1, keepdims=True)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def changes(mean: np.ndarray, noise: float, rng: np.random.Generator, places: int = PLACES) -> np.ndarray:
    """(places, tokens) of changes with a mean that repeats and a part of the place's own."""
    return standard(mean + noise * rng.standard_normal((places, mean.size)) * np.sqrt(mean.var()))


def given(
    claim: np.ndarray, z: np.ndarray, rng: np.random.Generator, rival: np.ndarray | None = None, noise: float = 2.0
) -> dict[str, Any]:
    """Arguments of the check for one claim; random directions have means of their own, and repeat as the unit does."""
    c = standard(claim)
    directions = [changes(rng.standard_normal(TOKENS), noise, rng, len(z)) for _ in range(DIRECTIONS)]
    r = {"up": z @ c, "matched_norm": np.stack([one @ c for one in directions])}
    return {
        "r": r | ({} if rival is None else {"other_unit": z @ standard(rival)}),
        "likeness": z @ z.T,
        "documents": np.arange(len(z)),
        "effect": np.full(len(z), 0.05),
        "noise": np.full(len(z), 1e-5),
    }


@pytest.mark.parametrize("noise", [0.5, 2.0, 4.0])
def test_the_score_is_the_correlation_with_the_mean_change_however_noisy_places_are(noise: float) -> None:
    """At noise 4 a place has r = .24 with the mean change itself; the correction for attenuation sees through it."""
    found, ceilings = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        mean = rng.standard_normal(TOKENS)
        claim = mean + 0.75 * rng.standard_normal(TOKENS)
        check = effect_check(**given(claim, changes(mean, noise, rng), rng), replicates=50)
        found.append(check.score.value - np.corrcoef(claim, mean)[0, 1])
        ceilings.append(check.ceiling.value)
    assert np.mean(found) == pytest.approx(0, abs=3 * np.std(found) / np.sqrt(20) + 0.005)
    assert np.abs(found).max() < 0.2
    assert np.mean(ceilings) == pytest.approx(1 / np.sqrt(1 + noise**2), abs=0.02)


def test_a_right_claim_is_supported_and_wrong_ones_are_not() -> None:
    rng = np.random.default_rng(0)
    mean = rng.standard_normal(TOKENS)
    z = changes(mean, 2.0, rng)
    claims = {"right": mean, "opposite": -mean, "other": rng.standard_normal(TOKENS), "nothing": np.zeros(TOKENS)}
    claims["nothing"][0] = 1e-30
    checks = {name: effect_check(**given(claim, z, rng)).check for name, claim in claims.items()}
    found = judge_check(checks, {}).claims
    assert found["right"].verdict is Verdict.SUPPORTED
    assert [found[name].verdict for name in ("opposite", "other")] == [Verdict.REFUTED] * 2
    assert found["right"].null == "matched_norm"
    assert checks["opposite"].score == pytest.approx(-checks["right"].score)


def test_what_a_rival_says_as_well_is_refuted() -> None:
    rng = np.random.default_rng(1)
    mean = rng.standard_normal(TOKENS)
    z = changes(mean, 1.0, rng)
    check = effect_check(**given(mean + rng.standard_normal(TOKENS), z, rng, rival=mean)).check
    found = judge_check({0: check}, {}).claims[0]
    assert (found.verdict, found.null) == (Verdict.REFUTED, "other_unit")


def test_random_claims_pass_no_more_often_than_five_per_cent_allow() -> None:
    """A claim that has nothing to do with the unit is as good as a random direction's effect: one in 21 is better."""
    passed, n = 0, 600
    for seed in range(n):
        rng = np.random.default_rng([5, seed])
        z = changes(rng.standard_normal(TOKENS), 1.0, rng)
        check = effect_check(**given(rng.standard_normal(TOKENS), z, rng, noise=1.0), replicates=300)
        passed += judge_check({0: check.check}, {}).claims[0].verdict is Verdict.SUPPORTED
    assert passed / n < 0.05
    assert passed < 30


def test_places_of_one_document_are_not_two_witnesses() -> None:
    """Two places of each document with one change: likeness within a document must not count, nor make it narrower."""
    rng = np.random.default_rng(2)
    mean = rng.standard_normal(TOKENS)
    z = changes(mean, 3.0, rng)
    once = given(mean, z, rng)
    twice = {
        "r": {name: np.repeat(values, 2, axis=-1) for name, values in once["r"].items()},
        "likeness": np.repeat(np.repeat(once["likeness"], 2, 0), 2, 1),
        **{name: np.repeat(once[name], 2) for name in ("documents", "effect", "noise")},
    }
    one, two = effect_check(**once), effect_check(**twice)
    assert two.score == pytest.approx(one.score)
    assert two.ceiling == pytest.approx(one.ceiling)


def test_the_null_of_directions_is_the_one_that_a_further_one_exceeds_once_in_twenty() -> None:
    values = np.arange(1.0, 40.0)[None]
    assert exceeded_by_few(values[:, :20]).tolist() == [20]
    assert exceeded_by_few(values[:, :7]).tolist() == [7]
    assert exceeded_by_few(values).tolist() == [38]
    rng = np.random.default_rng(3)
    draws = rng.standard_normal((4000, 21))
    assert (draws[:, 20] > exceeded_by_few(draws[:, :20])).mean() == pytest.approx(1 / 21, abs=0.012)


# what keeps it undecided


def test_reasons_are_named() -> None:
    rng = np.random.default_rng(4)
    mean = rng.standard_normal(TOKENS)
    base = given(mean, changes(mean, 1.0, rng), rng)
    assert effect_check(**base).check.reasons == ()
    faint = effect_check(**{**base, "noise": np.full(PLACES, 0.006)}).check
    assert faint.reasons == ("effect under 10 times the numerical noise",)
    few = effect_check(**{**base, "documents": np.arange(PLACES) // 2}).check
    assert few.reasons == ("16 documents; 20 are needed",)
    alone = given(mean, changes(mean, 1e3, rng), rng)
    assert effect_check(**alone).check.reasons == (
        "what it writes at one place says nothing of what it writes at another",
    )
    assert judge_check({0: effect_check(**alone).check}, {}).claims[0].verdict is Verdict.UNDECIDED


def test_no_effect_at_all_has_no_score() -> None:
    none = np.zeros(PLACES)
    check = effect_check(
        {"up": none, "matched_norm": np.zeros((DIRECTIONS, PLACES))},
        np.zeros((PLACES, PLACES)),
        np.arange(PLACES),
        none,
        none,
    )
    assert np.isnan(check.score.value)
    found = judge_check({0: check.check}, {}).claims[0]
    assert found.verdict is Verdict.UNDECIDED
    assert found.reason.startswith("effect under 10 times the numerical noise")


def test_claim_and_nulls_are_paired() -> None:
    """The rival that is the claim itself differs from it in no resample."""
    rng = np.random.default_rng(6)
    mean = rng.standard_normal(TOKENS)
    z = changes(mean, 1.0, rng)
    check = effect_check(**given(mean, z, rng, rival=mean)).check
    assert np.array_equal(check.replicates_score, check.replicates_nulls["other_unit"])


def test_golden_numbers() -> None:
    """If this fails, numbers of stored runs changed: raise the version of the check, and write the new ones here."""
    assert EFFECT_VERSION == 1
    assert document_weights(4, 3, seed=7).tolist() == [[1, 2, 1, 0], [0, 1, 2, 1], [0, 2, 2, 0]]
    rng = np.random.default_rng(7)
    mean = rng.standard_normal(TOKENS)
    claim, rival = mean + 2 * rng.standard_normal(TOKENS), mean + 4 * rng.standard_normal(TOKENS)
    found = effect_check(**given(claim, changes(mean, 2.0, rng), rng, rival), replicates=500, seed=7)
    assert (*found.score, *found.ceiling) == pytest.approx(GOLDEN_SCORES)
    verdict = judge_check({0: found.check}, {}).claims[0]
    assert verdict.null == "other_unit"
    assert verdict[1:6] == pytest.approx(GOLDEN_VERDICT)


GOLDEN_SCORES = (
    0.3797490961582542,
    0.3531970562940849,
    0.40823290826922964,
    0.4553177816195548,
    0.43938023681934696,
    0.46837348831716846,
)
GOLDEN_VERDICT = (
    0.14613534970583114,
    0.10337830583166162,
    0.19231992222916347,
    4.130385011548095e-08,
    0.9999999586961499,
)
