"""The verdict rule. It stands here and nowhere else.

d = score - max(nulls), with a paired bootstrap over documents. *Supported*: the lower bound of d is above the margin;
*refuted*: the upper bound is below it; both only if they survive Benjamini-Hochberg over the claims of the run.
*Undecided*: everything else, and always when a reason was given beforehand why the data can't carry the check. *Void*:
the run's negative controls pass the check more often than chance allows, so that it is the check that failed.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float

from assay.stats.bootstrap import interval
from assay.stats.multiple import benjamini_hochberg, binomial_tail

MARGIN = 0.02
LEVEL = 0.05

Id = TypeVar("Id", bound=Hashable)


class Verdict(StrEnum):
    """What a check, or all checks of a claim, came to."""

    SUPPORTED = "supported"
    PREDICTS = "predicts"
    REFUTED = "refuted"
    UNDECIDED = "undecided"
    VOID = "void"


@dataclass(frozen=True, eq=False)
class CheckInput:
    """What a check measured on one claim.

    ``score`` and ``nulls`` are on one scale with a range of 1; the replicates are their values in the same B resamples
    of the documents. ``reasons`` say why the data can't carry this check; any of them settles the verdict. ``unit``:
    how much the range is in what the verdict is told in, such as 10 where scores are tens of nats.
    """

    score: float
    nulls: Mapping[str, float]
    replicates_score: Float[np.ndarray, " b"]
    replicates_nulls: Mapping[str, Float[np.ndarray, " b"]]
    reasons: tuple[str, ...] = ()
    unit: float = 1.0

    def __post_init__(self) -> None:
        if not self.nulls or self.nulls.keys() != self.replicates_nulls.keys():
            raise ValueError("a score needs a null, and every null its replicates")
        if any(r.shape != self.replicates_score.shape for r in self.replicates_nulls.values()):
            raise ValueError("score and nulls must have the same replicates")

    def _repr_html_(self) -> str:
        """For notebooks."""
        from assay.referee.notebook import measured_html

        return measured_html(self)


class CheckVerdict(NamedTuple):
    """The verdict of one check on one claim.

    ``null`` names the strongest null, the one that d is taken against. ``p_support`` and ``p_refute`` are one-sided
    and, for claims, adjusted over the run; None where d could not be tested. d and its bounds are NaN where the score
    or the interval is not defined, else in the unit of the :class:`CheckInput`.
    """

    verdict: Verdict
    d: float
    d_lo: float
    d_hi: float
    p_support: float | None
    p_refute: float | None
    null: str
    reason: str

    def _repr_html_(self) -> str:
        """For notebooks."""
        from assay.referee.notebook import check_html

        return check_html(self)


class ControlSummary(NamedTuple):
    """How often the negative controls passed a check.

    ``n`` counts the controls that the data could carry. ``allowed_p`` is the chance that so many or more of them pass
    when each does so with 5 %; the check is ``void`` when that is below 5 %. With a single control it never is.
    """

    n: int
    passed: int
    allowed_p: float
    void: bool


@dataclass(frozen=True)
class Judgement(Generic[Id]):
    """Every claim's and every control's verdict for one check."""

    claims: Mapping[Id, CheckVerdict]
    controls: Mapping[Id, CheckVerdict]
    summary: ControlSummary

    def _repr_html_(self) -> str:
        """For notebooks."""
        from assay.referee.notebook import judgement_html

        return judgement_html(self)


class Difference(NamedTuple):
    """d of one claim, ready to be judged: all that the rule takes from the resamples.

    ``null`` names the strongest null. The p-values are one-sided and not adjusted; NaN where ``reasons`` say why d
    can't be tested. ``unit`` is that of the :class:`CheckInput`.
    """

    d: float
    lo: float
    hi: float
    p_support: float
    p_refute: float
    null: str
    reasons: tuple[str, ...]
    unit: float = 1.0


def judge_check(
    claims: Mapping[Id, CheckInput],
    controls: Mapping[Id, CheckInput],
    delta: float = MARGIN,
    level: float = LEVEL,
) -> Judgement[Id]:
    """Judge one check on all claims of a run.

    The claims that can be tested form one family for "supported" and one for "refuted", each adjusted on its own.
    Claims with a reason to stay undecided are in neither: their p-values mean nothing, and would change the others'.
    A control counts as passed when its lower bound of d is above ``delta``, unadjusted: the rule for a claim that is
    alone in its run. Otherwise more claims would make the test of the test more lenient.

    Args:
        claims: by any id.
        controls: negative controls of the run: claims made wrong on purpose.
        delta: the margin, in units of the score.
        level: error rate of the adjusted p-values; intervals have 1 - ``level``.
    """
    return judge_differences(
        {id_: _difference(claim, delta, level) for id_, claim in claims.items()},
        {id_: _difference(control, delta, level) for id_, control in controls.items()},
        delta,
        level,
    )


def judge_differences(
    claims: Mapping[Id, Difference],
    controls: Mapping[Id, Difference],
    delta: float = MARGIN,
    level: float = LEVEL,
) -> Judgement[Id]:
    """:func:`judge_check` where each claim's d was settled before, with the same ``delta`` and ``level``.

    The resamples of one claim need not be at hand together with another's: they are far larger than what is made of
    them.
    """
    tested = [id_ for id_, difference in claims.items() if not difference.reasons]
    support = benjamini_hochberg(np.array([claims[id_].p_support for id_ in tested], dtype=np.float64))
    refute = benjamini_hochberg(np.array([claims[id_].p_refute for id_ in tested], dtype=np.float64))
    adjusted = {id_: (float(s), float(r)) for id_, s, r in zip(tested, support, refute, strict=True)}

    summary = _summarise(controls, delta, level)
    return Judgement(
        claims={
            id_: _void(difference, summary)
            if summary.void
            else _decide(difference, adjusted.get(id_), delta, level, len(tested))
            for id_, difference in claims.items()
        },
        controls={id_: _decide_control(difference, delta) for id_, difference in controls.items()},
        summary=summary,
    )


def _difference(check: CheckInput, delta: float, level: float) -> Difference:
    null = max(check.nulls, key=lambda name: check.nulls[name])
    d = check.score - check.nulls[null] if not any(map(math.isnan, check.nulls.values())) else math.nan
    replicates = check.replicates_score - np.max(np.stack(list(check.replicates_nulls.values())), axis=0)
    _, lo, hi = interval(d, replicates, 1 - level)
    spread = replicates[~np.isnan(replicates)]
    # Equal replicates have no spread; their computed one may be a rounding error.
    se = float(np.std(spread, ddof=1)) if spread.size and np.ptp(spread) > 0 else 0.0
    unscored = replicates.size - spread.size
    settled = settle(d, lo, hi, se, null, check.reasons, unscored=unscored, replicates=replicates.size, delta=delta)
    return settled._replace(unit=check.unit)


def settle(
    d: float,
    lo: float,
    hi: float,
    se: float,
    null: str,
    reasons: tuple[str, ...],
    *,
    unscored: int,
    replicates: int,
    delta: float = MARGIN,
) -> Difference:
    """From d, its interval and its standard error to what can be judged.

    Args:
        d: score minus the strongest null; NaN where either is not defined.
        lo, hi: the bounds; NaN where too many of the resamples have no score.
        se: standard deviation of d over the resamples; 0 where they are all equal.
        null: the name of the strongest null.
        reasons: why the data can't carry this check.
        unscored: how many of the ``replicates`` have no score.
        delta: the margin.
    """
    if math.isnan(d):
        reasons += ("unscored: the score or a null is not defined",)
    elif math.isnan(lo) and not reasons:
        reasons += (f"too much unscored: no score in {unscored} of {replicates} resamples",)
    if reasons:
        return Difference(d, lo, hi, math.nan, math.nan, null, reasons)
    return Difference(d, lo, hi, normal_tail(d - delta, se), normal_tail(delta - d, se), null, ())


def normal_tail(excess: float, se: float) -> float:
    """One-sided p-value of an excess over the margin, from a normal with the bootstrap's standard error.

    A counted p-value can't fall below 1 / B with B replicates, and would fail Benjamini-Hochberg with thousands of
    claims however clear the effect; the normal tail reaches as far as the effect does. Without any spread the
    answer is known: 0 above the margin, else 1.
    """
    if se == 0:
        return 0.0 if excess > 0 else 1.0
    return 0.5 * math.erfc(excess / se / math.sqrt(2))


def _decide(
    difference: Difference, adjusted: tuple[float, float] | None, delta: float, level: float, family: int
) -> CheckVerdict:
    if adjusted is None:
        return _verdict(difference, Verdict.UNDECIDED, "; ".join(difference.reasons))
    p_support, p_refute = adjusted
    above, below = difference.lo > delta, difference.hi < delta
    margin = f"{delta * difference.unit:g}"
    if above and p_support <= level:
        verdict, reason = Verdict.SUPPORTED, f"beats its best null ({difference.null}) by more than {margin}"
    elif below and p_refute <= level:
        verdict, reason = Verdict.REFUTED, f"does not beat its best null ({difference.null}) by {margin}"
    elif above or below:
        verdict = Verdict.UNDECIDED
        reason = f"interval clears the margin, but not after Benjamini-Hochberg over {family} claims"
    else:
        verdict, reason = Verdict.UNDECIDED, "interval spans the margin"
    return _verdict(difference, verdict, reason, p_support, p_refute)


def _decide_control(difference: Difference, delta: float) -> CheckVerdict:
    if difference.reasons:
        return _verdict(difference, Verdict.UNDECIDED, "; ".join(difference.reasons))
    if difference.lo > delta:
        verdict, reason = Verdict.SUPPORTED, "a negative control that passed"
    elif difference.hi < delta:
        verdict, reason = Verdict.REFUTED, "a negative control, rejected"
    else:
        verdict, reason = Verdict.UNDECIDED, "a negative control, not passed"
    return _verdict(difference, verdict, reason, difference.p_support, difference.p_refute)


def _void(difference: Difference, summary: ControlSummary) -> CheckVerdict:
    reason = f"{summary.passed} of {summary.n} negative controls passed; the check can't be trusted in this run"
    return _verdict(difference, Verdict.VOID, reason)


def _verdict(
    difference: Difference, verdict: Verdict, reason: str, support: float | None = None, refute: float | None = None
) -> CheckVerdict:
    d, lo, hi = (value * difference.unit for value in difference[:3])
    return CheckVerdict(verdict, d, lo, hi, support, refute, difference.null, reason)


def _summarise(controls: Mapping[Id, Difference], delta: float, level: float) -> ControlSummary:
    carried = [difference for difference in controls.values() if not difference.reasons]
    n, passed = len(carried), sum(difference.lo > delta for difference in carried)
    allowed_p = binomial_tail(passed, n, level)
    return ControlSummary(n, passed, allowed_p, void=allowed_p < level)
