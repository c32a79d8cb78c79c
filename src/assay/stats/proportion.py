"""Shares of cases, and how sure they are."""

from __future__ import annotations

import math
from statistics import NormalDist

from assay.errors import UsageError
from assay.stats.bootstrap import Interval


def wilson(successes: int | float, cases: int, level: float = 0.95) -> Interval:
    """A share of independent cases with its score interval (Wilson 1927), which stays within 0 to 1.

    NaN throughout without cases. ``successes`` need not be whole: a case that was tried several times may have half of
    them, and the interval is then too wide rather than too narrow.

    Raises:
        UsageError: more successes than cases, or less than none.
    """
    if not 0 <= successes <= cases:
        raise UsageError(f"successes must be 0 to {cases}, got {successes}")
    if not cases:
        return Interval(math.nan, math.nan, math.nan)
    share, z = successes / cases, NormalDist().inv_cdf((1 + level) / 2)
    centre = (share + z * z / (2 * cases)) / (1 + z * z / cases)
    half = z / (1 + z * z / cases) * math.sqrt(share * (1 - share) / cases + z * z / (4 * cases * cases))
    return Interval(share, max(centre - half, 0.0), min(centre + half, 1.0))


def clopper_pearson(successes: int, cases: int, level: float = 0.95) -> Interval:
    """A share of independent cases with its exact interval (Clopper and Pearson 1934).

    It covers the truth at least ``level`` of the time, however few the cases; it is wider than :func:`wilson`. Cases
    that are not independent make it too narrow. NaN throughout without cases.

    Raises:
        UsageError: more successes than cases, or less than none, or a level not between 0 and 1.
    """
    if not 0 <= successes <= cases:
        raise UsageError(f"successes must be 0 to {cases}, got {successes}")
    if not 0 < level < 1:
        raise UsageError(f"level must be between 0 and 1, got {level}")
    if not cases:
        return Interval(math.nan, math.nan, math.nan)
    from scipy.special import betaincinv

    tail, failures = (1 - level) / 2, cases - successes
    lo = float(betaincinv(successes, failures + 1, tail)) if successes else 0.0
    hi = float(betaincinv(successes + 1, failures, 1 - tail)) if failures else 1.0
    return Interval(successes / cases, lo, hi)
