"""How often the rule is wrong where the truth is known, and how often it finds what is there.

The bounds are binomial: a rate of 5 % is exceeded by the count allowed here once in a thousand.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.stats import binom

from assay.referee import MARGIN, CheckInput, Verdict, behaviour_check, judge_check, prediction_check

CLAIMS = 400
ALLOWED = int(binom.ppf(0.999, CLAIMS, 0.05))


def noisy_claim(r: float, seed: int, documents: int = 40, tokens: int = 100, other: bool = True) -> CheckInput:
    """A prediction whose true correlation is ``r``, in documents that differ in how loud they are."""
    rng = np.random.default_rng([seed, round(r * 1e6)])
    n = documents * tokens
    loud = rng.uniform(0.7, 1.3, documents).repeat(tokens)
    predicted, noise, another = loud * rng.standard_normal((3, n))
    return prediction_check(
        predicted,
        r * predicted + np.sqrt(1 - r * r) * noise,
        np.arange(n) // tokens,
        fire_above=1.5,
        other_unit=another if other else None,
        replicates=400,
        seed=seed,
    )


def against_zero(claim: CheckInput) -> CheckInput:
    """The claim with the constant as its only null: d is then exactly r."""
    zeros = np.zeros_like(claim.replicates_score)
    return CheckInput(claim.score, {"constant": 0.0}, claim.replicates_score, {"constant": zeros}, claim.reasons)


def faint_behaviour(share: float, seed: int) -> CheckInput:
    """A claim that leaves ``share`` of the mean's divergence, on average over documents that differ."""
    rng = np.random.default_rng([seed, 1])
    mean = rng.gamma(3, 1e-5, 200)
    claim = mean * share * rng.gamma(4, 1 / 4, 50).repeat(4)
    arms = {"prediction": claim, "mean": mean}
    floor = np.full(200, 1e-8)
    return behaviour_check(arms, np.arange(200) // 4, np.ones(200), floor, replicates=400, seed=seed).check


def alone(claims: list[CheckInput]) -> Counter[Verdict]:
    """Verdicts of claims that each are alone in their run."""
    return Counter(judge_check({0: claim}, {}).claims[0].verdict for claim in claims)


@pytest.fixture(scope="module")
def at_the_margin() -> list[CheckInput]:
    return [noisy_claim(MARGIN, seed) for seed in range(CLAIMS)]


def test_a_claim_at_the_margin_is_seldom_supported(at_the_margin: list[CheckInput]) -> None:
    assert not any(claim.reasons for claim in at_the_margin)
    assert alone(at_the_margin)[Verdict.SUPPORTED] <= ALLOWED


def test_with_one_null_both_errors_keep_to_their_rate(at_the_margin: list[CheckInput]) -> None:
    verdicts = alone([against_zero(claim) for claim in at_the_margin])
    assert 1 <= verdicts[Verdict.SUPPORTED] <= ALLOWED
    assert 1 <= verdicts[Verdict.REFUTED] <= ALLOWED


def test_equal_nulls_lean_against_the_claim(at_the_margin: list[CheckInput]) -> None:
    """The largest of several equally good nulls is larger than any of them: by luck, and once more in each resample.

    The rule is then strict. A claim exactly at the margin is hardly ever supported, and refuted more often than 5 %;
    when it truly beats its nulls by three margins, it is not refuted any more.
    """
    verdicts = alone(at_the_margin)
    assert verdicts[Verdict.SUPPORTED] <= 0.02 * CLAIMS
    assert 0.05 * CLAIMS < verdicts[Verdict.REFUTED] < 0.2 * CLAIMS
    assert alone([noisy_claim(3 * MARGIN, seed) for seed in range(100)])[Verdict.REFUTED] <= 1


def test_behaviour_at_the_margin_keeps_to_its_rate() -> None:
    verdicts = alone([faint_behaviour(1 - MARGIN, seed) for seed in range(CLAIMS)])
    assert 1 <= verdicts[Verdict.SUPPORTED] <= ALLOWED
    assert 1 <= verdicts[Verdict.REFUTED] <= ALLOWED


def test_true_effects_are_found() -> None:
    """Twelve standard errors at r .2, and a behaviour score of .4: nearly every one."""
    assert alone([noisy_claim(0.2, seed) for seed in range(100)])[Verdict.SUPPORTED] >= 99
    assert alone([faint_behaviour(0.6, seed) for seed in range(100)])[Verdict.SUPPORTED] >= 95


def test_nothing_is_refuted_given_enough_data() -> None:
    """With 60,000 tokens the standard error is .004, and a prediction of nothing lies five of them below the margin."""
    claims = [noisy_claim(0.0, seed, documents=60, tokens=1000) for seed in range(20)]
    assert alone(claims)[Verdict.REFUTED] == 20


def test_false_discoveries_stay_below_5_percent(at_the_margin: list[CheckInput]) -> None:
    """400 claims at the margin beside 100 true ones, against one null (the least strict case)."""
    claims = {("null", i): against_zero(claim) for i, claim in enumerate(at_the_margin)}
    claims |= {("true", i): against_zero(noisy_claim(0.12, i)) for i in range(100)}
    verdicts = judge_check(claims, {}).claims
    supported = [kind for (kind, _), found in verdicts.items() if found.verdict is Verdict.SUPPORTED]
    assert supported.count("true") >= 95
    assert supported.count("null") <= binom.ppf(0.999, len(supported), 0.05)


def test_honest_controls_seldom_void_a_run(at_the_margin: list[CheckInput]) -> None:
    """25 runs of 16 controls that sit exactly at the margin, the worst place for them."""
    runs = [{i: against_zero(c) for i, c in enumerate(at_the_margin[k : k + 16])} for k in range(0, CLAIMS, 16)]
    assert sum(judge_check({}, run).summary.void for run in runs) <= binom.ppf(0.999, 25, 0.05)


def test_a_leaking_check_voids_the_run() -> None:
    """Controls that do predict, as when the test split leaked into the fit: found with 16 of them."""
    leaky = {seed: noisy_claim(0.2, seed) for seed in range(16)}
    found = judge_check({-1: noisy_claim(0.5, 99)}, leaky)
    assert found.summary.void
    assert found.claims[-1].verdict is Verdict.VOID
