"""What may be said of one cell, by thresholds that are fixed before anything is trained."""

from __future__ import annotations

from typing import NamedTuple

from assay.stats import Interval

READS, RECOMPUTES, INFERS = "reads", "recomputes", "infers from text"
EITHER = "recomputes or infers"
UNREADABLE, FAILS, UNDERTRAINED, BETWEEN = "unreadable", "fails", "undertrained", "undecided"
VERDICTS = (READS, RECOMPUTES, INFERS, EITHER, UNREADABLE, FAILS, UNDERTRAINED, BETWEEN)


class Thresholds(NamedTuple):
    """What a verdict takes.

    ``reads``: least relative slope of whoever reads. ``near_zero``: greatest upper bound of the relative slope of
    whoever does not. ``readable``: least R² of the linear optimum. ``plateau``: greatest gain in bits over the last
    doubling of the data that counts as none. ``related``: least lower bound of the rank correlation, less that of a
    reporter of shuffled numbers, of whoever has learnt something though too sure of itself to have bits. ``steps``:
    fewest steps of training after which a plateau means anything. ``control``: quantile of the control slopes,
    without sign, that a slope must exceed.
    """

    reads: float = 0.5
    near_zero: float = 0.1
    readable: float = 0.1
    plateau: float = 0.05
    steps: int = 1000
    control: float = 0.95
    related: float = 0.1


class Facts(NamedTuple):
    """What the verdict is made from.

    ``bits``: of the reporter, with its interval. ``over_text``: its bits less those of the best baseline that knows
    the text alone, paired; None where patches make the text worthless. ``over_shuffled``: less those of a reporter
    that learnt shuffled numbers. ``ranks``: rank correlation of answers and what is right, less that of a reporter
    that learnt shuffled numbers, without its sign. ``sibling``: whether one of the text baselines is a model of the
    same size with the same budget. ``optimum_r2``: of the best linear reader. ``slope``, ``relative``: of the
    expected digit on what was put in. ``control``: the control slopes' quantile. ``optimum_slope``,
    ``optimum_control``: both of the best linear reader, the latter None where it was not measured. ``gain``: bits
    gained over the last doubling of the data, None where it was not doubled. ``steps``: of training. ``by_heart``:
    whether that ended because what was seen was told far better than what was not. ``began``: whether answers are
    related to what is right in any regime that was tested, or none can be since no later token sees the neuron.
    """

    bits: Interval
    over_text: Interval | None
    over_shuffled: Interval | None
    ranks: Interval
    sibling: bool
    optimum_r2: float
    slope: Interval
    relative: Interval
    control: float
    optimum_slope: float
    optimum_control: float | None
    gain: float | None
    steps: int
    by_heart: bool = False
    began: bool = True


class Verdict(NamedTuple):
    """A word of :data:`VERDICTS`, and why."""

    word: str
    reason: str


def decide(facts: Facts, limits: Thresholds) -> Verdict:
    """The verdict on a cell that was trained."""
    if facts.optimum_r2 < limits.readable:
        return Verdict(
            UNREADABLE, f"the best linear reader of the residual has R² {facts.optimum_r2:.2f} on these patches"
        )
    told = f"relative slope {_text(facts.relative)}"
    if facts.relative.value >= limits.reads and facts.relative.lo > 0:
        if facts.slope.lo > facts.control:
            return Verdict(READS, f"{told}; slope {facts.slope.value:.3f}, control patches {facts.control:.3f}")
        both = f"slope {facts.slope.value:.3f}, control patches {facts.control:.3f}"
        return Verdict(BETWEEN, f"{told}, but control patches move the answer as much: {both}{_of_optimum(facts)}")
    learnt = facts.ranks.lo > limits.related
    learnt |= facts.bits.lo > 0 and (facts.over_shuffled is None or facts.over_shuffled.lo > 0)
    still = facts.relative.hi <= limits.near_zero
    if learnt and not still:
        return Verdict(BETWEEN, f"{told}: neither surely near zero nor surely a half")
    beats = facts.over_text is not None and facts.over_text.lo > 0
    if learnt and beats:
        word = RECOMPUTES if facts.sibling else EITHER
        return Verdict(
            word, f"{told}; {_text(facts.over_text)} bits over whoever knows the text alone and comes nearest"
        )
    doubled = "data not doubled" if facts.gain is None else f"{facts.gain:+.2f} bits over the last doubling of the data"
    doubled += "" if _enough(facts, limits) else f"; {facts.steps:,} steps"
    doubled += "" if facts.began else "; at chance from first to last, which is no plateau"
    if not plateau(facts, limits):
        return Verdict(UNDERTRAINED, f"{told}; {doubled}")
    if learnt and facts.over_text is not None:
        word = INFERS if facts.sibling else EITHER
        return Verdict(word, f"{told}; no better than the text alone: {_text(facts.over_text)} bits; {doubled}")
    return Verdict(FAILS, f"{told}; {_text(facts.bits)} bits; {doubled}")


def plateau(facts: Facts, limits: Thresholds) -> bool:
    """Whether more data and longer training promise nothing more."""
    return facts.gain is not None and facts.gain <= limits.plateau and _enough(facts, limits) and facts.began


def _of_optimum(facts: Facts) -> str:
    if facts.optimum_control is None:
        return ""
    also = ", so that none can be told from this neuron's" if facts.optimum_control >= facts.optimum_slope else ""
    return f"; the best linear reader's {facts.optimum_slope:.3f} and {facts.optimum_control:.3f}{also}"


def _enough(facts: Facts, limits: Thresholds) -> bool:
    return facts.steps >= limits.steps or facts.by_heart


def _text(found: Interval | None) -> str:
    return "none" if found is None else f"{found.value:.2f} [{found.lo:.2f} {found.hi:.2f}]"
