from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, false_discovery_control, norm

from assay.referee import CheckInput, Verdict, judge_check
from assay.referee.verdict import normal_tail

ORDER = [Verdict.REFUTED, Verdict.UNDECIDED, Verdict.SUPPORTED]


def check(d: float, se: float = 0.01, reasons: tuple[str, ...] = (), seed: int = 0) -> CheckInput:
    """A score of 0.3 + d against a null of 0.3 and a weaker one, with normal replicates of exactly this spread."""
    noise = np.random.default_rng(seed).standard_normal(2000)
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    null = 0.3 + 0.05 * np.random.default_rng(seed + 1).standard_normal(2000)
    return CheckInput(
        0.3 + d,
        {"constant": 0.0, "shuffled": 0.3},
        null + d + se * noise,
        {"constant": np.zeros(2000) - 1, "shuffled": null},
        reasons,
    )


def verdict(claim: CheckInput) -> Verdict:
    return judge_check({0: claim}, {}).claims[0].verdict


def test_d_is_the_paired_difference_to_the_strongest_null() -> None:
    found = judge_check({"a": check(0.1)}, {}).claims["a"]
    assert found.null == "shuffled"
    assert found.d == pytest.approx(0.1)
    # The null's own spread of .05 is shared by score and null, and cancels.
    assert found.d_lo == pytest.approx(0.1 - 1.96 * 0.01, abs=0.002)
    assert found.d_hi == pytest.approx(0.1 + 1.96 * 0.01, abs=0.002)
    assert found.p_support == pytest.approx(norm.sf(8), rel=1e-6)
    assert found.p_refute == pytest.approx(1)
    assert found.verdict is Verdict.SUPPORTED
    assert found.reason == "beats its best null (shuffled) by more than 0.02"


def test_the_strongest_null_is_taken_anew_in_each_resample() -> None:
    swing = np.tile([0.2, -0.2], 500)
    claim = CheckInput(0.5, {"a": 0.0, "b": 0.0}, np.full(1000, 0.5), {"a": swing, "b": -swing})
    found = judge_check({0: claim}, {}).claims[0]
    assert found.d == 0.5
    assert (found.d_lo, found.d_hi) == pytest.approx((0.3, 0.3))


@pytest.mark.parametrize(
    ("d", "expected"),
    [
        (0.045, Verdict.SUPPORTED),
        (0.035, Verdict.UNDECIDED),
        (0.02, Verdict.UNDECIDED),
        (0.005, Verdict.UNDECIDED),
        (-0.005, Verdict.REFUTED),
        (-0.5, Verdict.REFUTED),
    ],
)
def test_the_interval_against_the_margin_decides(d: float, expected: Verdict) -> None:
    found = judge_check({0: check(d)}, {}).claims[0]
    assert found.verdict is expected
    if expected is Verdict.UNDECIDED:
        assert found.reason == "interval spans the margin"


def test_the_margin_is_the_study_s() -> None:
    assert judge_check({0: check(0.1)}, {}, delta=0.2).claims[0].verdict is Verdict.REFUTED
    assert judge_check({0: check(0.1)}, {}, delta=0.1).claims[0].verdict is Verdict.UNDECIDED
    assert judge_check({0: check(-0.1)}, {}, delta=-0.2).claims[0].verdict is Verdict.SUPPORTED


@pytest.mark.parametrize(
    ("d", "expected"),
    [(0.1, "beats its best null (shuffled) by more than 0.2"), (0.0, "does not beat its best null (shuffled) by 0.2")],
)
def test_the_verdict_is_told_in_the_unit_of_the_score(d: float, expected: str) -> None:
    """Tens of nats are judged like shares, and told in nats."""
    claim = check(d)
    plain, told = (judge_check({"c": one}, {}).claims["c"] for one in (claim, replace(claim, unit=10.0)))
    assert told.reason == expected
    assert (told.d, told.d_lo, told.d_hi) == pytest.approx((10 * plain.d, 10 * plain.d_lo, 10 * plain.d_hi))
    assert (told.verdict, told.p_support, told.p_refute) == (plain.verdict, plain.p_support, plain.p_refute)


@settings(max_examples=60, deadline=None)
@given(st.floats(-0.2, 0.2), st.floats(0, 0.2), st.floats(0.001, 0.1), st.integers(0, 100))
def test_a_higher_score_never_gets_a_worse_verdict(d: float, more: float, se: float, seed: int) -> None:
    before, after = verdict(check(d, se, seed=seed)), verdict(check(d + more, se, seed=seed))
    assert ORDER.index(after) >= ORDER.index(before)


@pytest.mark.parametrize("d", [-0.5, 0.0, 0.5])
def test_a_reason_given_beforehand_settles_it(d: float) -> None:
    found = judge_check({0: check(d, reasons=("too few firings", "and more"))}, {}).claims[0]
    assert found.verdict is Verdict.UNDECIDED
    assert found.reason == "too few firings; and more"
    assert found.p_support is None
    assert found.p_refute is None
    assert found.d == pytest.approx(d)


def test_p_values_are_adjusted_over_the_claims_that_can_be_tested() -> None:
    effects = dict(enumerate([0.03, 0.035, 0.04, 0.05, 0.0, -0.01, 0.02]))
    claims = {i: check(d, seed=3 * i) for i, d in effects.items()}
    alone = judge_check(claims, {}).claims
    support = false_discovery_control([norm.sf((d - 0.02) / 0.01) for d in effects.values()])
    refute = false_discovery_control([norm.cdf((d - 0.02) / 0.01) for d in effects.values()])
    for i in effects:
        assert alone[i].p_support == pytest.approx(support[i], rel=1e-6)
        assert alone[i].p_refute == pytest.approx(refute[i], rel=1e-6)
    beside = judge_check({**claims, 99: check(0.5, reasons=("no",)), 98: check(-0.5, reasons=("no",))}, {}).claims
    assert {i: beside[i] for i in effects} == dict(alone)


def test_a_weak_effect_among_many_claims_does_not_pass() -> None:
    weak = check(0.02 + 0.0225)  # 2.25 standard errors: p .012, enough alone
    assert verdict(weak) is Verdict.SUPPORTED
    crowd: dict[str | int, CheckInput] = {i: check(-0.3, seed=i) for i in range(50)}
    found = judge_check({"weak": weak, **crowd}, {}).claims["weak"]
    assert found.verdict is Verdict.UNDECIDED
    assert found.reason == "interval clears the margin, but not after Benjamini-Hochberg over 51 claims"
    refuted = judge_check({"weak": check(0.02 - 0.0225), **{i: check(0.3, seed=i) for i in range(50)}}, {})
    assert refuted.claims["weak"].verdict is Verdict.UNDECIDED


def test_a_clear_effect_passes_among_thousands_of_claims() -> None:
    """What a p-value counted from 2,000 replicates could not do: 1/2000 times 3,000 claims is above .05."""
    crowd: dict[str | int, CheckInput] = dict.fromkeys(range(3000), check(0.02))
    assert judge_check({"clear": check(0.1), **crowd}, {}).claims["clear"].verdict is Verdict.SUPPORTED


@pytest.mark.parametrize(
    ("d", "expected", "p"),
    [(0.03, Verdict.SUPPORTED, (0, 1)), (0.0, Verdict.REFUTED, (1, 0)), (0.02, Verdict.UNDECIDED, (1, 1))],
)
def test_without_spread_the_point_decides(d: float, expected: Verdict, p: tuple[int, int]) -> None:
    claim = CheckInput(d, {"constant": 0.0}, np.full(100, d), {"constant": np.zeros(100)})
    found = judge_check({0: claim}, {}).claims[0]
    assert found.verdict is expected
    assert (found.p_support, found.p_refute) == p


def test_the_tail_is_the_normal_s() -> None:
    for excess in (-0.3, 0.0, 0.01, 0.4):
        assert normal_tail(excess, 0.05) == pytest.approx(norm.sf(excess / 0.05), rel=1e-9)


def test_a_score_that_is_not_defined_is_unscored() -> None:
    nan = CheckInput(math.nan, {"constant": 0.0}, np.full(100, math.nan), {"constant": np.zeros(100)})
    found = judge_check({0: nan}, {}).claims[0]
    assert found.verdict is Verdict.UNDECIDED
    assert found.reason == "unscored: the score or a null is not defined"
    gaps = np.full(100, 0.5)
    for missing, expected in ((5, Verdict.SUPPORTED), (6, Verdict.UNDECIDED)):
        gaps[:missing] = np.nan
        claim = CheckInput(0.5, {"constant": 0.0}, gaps.copy(), {"constant": np.zeros(100)})
        found = judge_check({0: claim}, {}).claims[0]
        assert found.verdict is expected
    assert found.reason == "too much unscored: no score in 6 of 100 resamples"


def test_a_null_that_is_not_defined_is_no_easy_win() -> None:
    nulls = {"constant": 0.0, "other_unit": math.nan}
    replicates = {"constant": np.zeros(100), "other_unit": np.full(100, math.nan)}
    for order in (nulls, dict(reversed(nulls.items()))):
        claim = CheckInput(0.9, order, np.full(100, 0.9), replicates)
        found = judge_check({0: claim}, {}).claims[0]
        assert found.verdict is Verdict.UNDECIDED
        assert found.reason == "unscored: the score or a null is not defined"


def test_no_number_without_its_null() -> None:
    with pytest.raises(ValueError, match="needs a null"):
        CheckInput(0.5, {}, np.zeros(5), {})
    with pytest.raises(ValueError, match="every null its replicates"):
        CheckInput(0.5, {"a": 0.0}, np.zeros(5), {"b": np.zeros(5)})
    with pytest.raises((ValueError, TypeError), match=r"the same replicates|Type-check error"):
        CheckInput(0.5, {"a": 0.0}, np.zeros(5), {"a": np.zeros(4)})


def controls(n: int, passing: int) -> dict[str, CheckInput]:
    return {f"c{i}": check(0.2 if i < passing else -0.2, seed=i) for i in range(n)}


@pytest.mark.parametrize(
    ("n", "passed", "void"),
    [
        (0, 0, False),
        (1, 1, False),
        (2, 1, False),
        (2, 2, True),
        (16, 2, False),
        (16, 3, True),
        (100, 9, False),
        (100, 10, True),
    ],
)
def test_void_when_more_controls_pass_than_chance_allows(n: int, passed: int, void: bool) -> None:
    found = judge_check({"claim": check(0.3)}, controls(n, passed))
    assert found.summary.n == n
    assert found.summary.passed == passed
    assert found.summary.allowed_p == pytest.approx(binom.sf(passed - 1, n, 0.05))
    assert found.summary.void is void
    assert found.claims["claim"].verdict is (Verdict.VOID if void else Verdict.SUPPORTED)


def test_a_void_check_voids_every_claim_and_keeps_the_numbers() -> None:
    claims = {"good": check(0.3), "bad": check(-0.3), "thin": check(0.3, reasons=("too few firings",))}
    found = judge_check(claims, controls(16, 4))
    for name, claim in found.claims.items():
        assert claim.verdict is Verdict.VOID
        assert claim.reason == "4 of 16 negative controls passed; the check can't be trusted in this run"
        assert claim.d == pytest.approx(claims[name].score - 0.3)
    assert [c.verdict for c in found.controls.values()].count(Verdict.SUPPORTED) == 4


def test_a_control_passes_unadjusted_however_many_claims_there_are() -> None:
    borderline = {f"c{i}": check(0.02 + 0.0225, seed=i) for i in range(3)}
    others = {f"d{i}": check(-0.3, seed=i) for i in range(13)}
    crowd: dict[str, CheckInput] = {f"n{i}": check(-0.3, seed=i) for i in range(60)}
    assert judge_check(crowd, {**borderline, **others}).summary.passed == 3
    assert judge_check({}, {**borderline, **others}).summary.passed == 3


def test_a_control_that_the_data_cannot_carry_is_not_counted() -> None:
    thin = {f"t{i}": check(-0.2, reasons=("too few firings",), seed=i) for i in range(100)}
    found = judge_check({"claim": check(0.3)}, {**thin, **controls(16, 3)})
    assert found.summary.n == 16
    assert found.summary.void
    assert found.controls["t0"].verdict is Verdict.UNDECIDED
    assert found.controls["t0"].reason == "too few firings"


def test_a_run_without_claims_has_no_verdicts() -> None:
    assert not judge_check({}, {}).claims
