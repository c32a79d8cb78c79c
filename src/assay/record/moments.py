"""Count, mean, spread, skew, kurtosis and range."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from assay.record.sketch import Activations, Context, State, check_alike

PerUnit = Float64[NDArray[np.float64], " u"]

_COLUMNS = 256  # units at a time, so that the float64 copies stay in the processor's cache


class Moments:
    """Central moments up to the fourth, and the range, of each unit.

    ``count`` is the number of tokens; ``mean``, ``m2``, ``m3``, ``m4`` (sums of powers of the deviation),
    ``minimum`` and ``maximum`` are (u,) float64. Merged by the pairwise formulas of Chan, Golub and LeVeque (1979)
    and Pébay (Sandia report SAND2008-6212, 2008).
    """

    def __init__(self, units: int) -> None:
        self.count = 0
        self.mean: PerUnit = np.zeros(units)
        self.m2: PerUnit = np.zeros(units)
        self.m3: PerUnit = np.zeros(units)
        self.m4: PerUnit = np.zeros(units)
        self.minimum: PerUnit = np.full(units, np.inf)
        self.maximum: PerUnit = np.full(units, -np.inf)

    @property
    def variance(self) -> PerUnit:
        """Population variance; NaN before the first token."""
        return self.m2 / self.count if self.count else np.full_like(self.m2, np.nan)

    @property
    def sd(self) -> PerUnit:
        return np.sqrt(self.variance)

    @property
    def skew(self) -> PerUnit:
        """Third standardised moment; NaN where the unit is constant."""
        return self._standardised(self.m3, 3)

    @property
    def kurtosis(self) -> PerUnit:
        """Fourth standardised moment, 3 for a normal distribution; NaN where the unit is constant."""
        return self._standardised(self.m4, 4)

    def _standardised(self, sums: PerUnit, power: int) -> PerUnit:
        scale = self.sd**power
        mean = sums / max(self.count, 1)
        varies = (self.maximum > self.minimum) & (scale > 0)
        return np.divide(mean, scale, out=np.full_like(mean, np.nan), where=varies)

    def update(self, activations: Activations, context: Context) -> None:
        rows = activations[context.counted]
        if not len(rows):
            return
        sums = np.empty((6, rows.shape[1]))
        mean, m2, m3, m4, minimum, maximum = sums
        for start in range(0, rows.shape[1], _COLUMNS):
            columns = slice(start, start + _COLUMNS)
            values = rows[:, columns].astype(np.float64)
            minimum[columns] = values.min(0)
            maximum[columns] = values.max(0)
            mean[columns] = values.mean(0)
            values -= mean[columns]
            squares = values * values
            m2[columns] = squares.sum(0)
            m3[columns] = (squares * values).sum(0)
            m4[columns] = (squares * squares).sum(0)
        self.absorb(len(rows), sums)

    def absorb(self, count: int, sums: Float64[NDArray[np.float64], "6 u"]) -> None:
        """Merge in ``count`` tokens of which the mean, m2, m3, m4, minimum and maximum are known."""
        if not count:
            return
        part = Moments(len(self.mean))
        part.count = count
        part.mean, part.m2, part.m3, part.m4, part.minimum, part.maximum = sums
        self.__dict__.update(self.merge(part).__dict__)

    def merge(self, other: Moments) -> Moments:
        """The moments of both. Equal to one pass within rounding."""
        check_alike("units", len(self.mean), len(other.mean))
        merged = Moments(len(self.mean))
        merged.count = self.count + other.count
        merged.minimum = np.minimum(self.minimum, other.minimum)
        merged.maximum = np.maximum(self.maximum, other.maximum)
        if not merged.count:
            return merged
        a, b, n = self, other, merged.count
        share_a, share_b = a.count / n, b.count / n
        gap = b.mean - a.mean
        square, both = gap * gap, share_a * share_b * n
        merged.mean = share_a * a.mean + share_b * b.mean
        merged.m2 = a.m2 + b.m2 + square * both
        merged.m3 = a.m3 + b.m3 + square * gap * (both * (share_a - share_b))
        merged.m3 += 3 * gap * (share_a * b.m2 - share_b * a.m2)
        merged.m4 = a.m4 + b.m4 + square * square * (both * (share_a**2 - share_a * share_b + share_b**2))
        merged.m4 += 6 * square * (share_a**2 * b.m2 + share_b**2 * a.m2)
        merged.m4 += 4 * gap * (share_a * b.m3 - share_b * a.m3)
        return merged

    def state(self) -> State:
        return {
            "count": np.array([self.count], np.int64),
            "mean": self.mean,
            "m2": self.m2,
            "m3": self.m3,
            "m4": self.m4,
            "minimum": self.minimum,
            "maximum": self.maximum,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]]) -> Moments:
        made = cls(len(state["mean"]))
        made.count = int(state["count"][0])
        made.mean, made.m2, made.m3, made.m4 = state["mean"], state["m2"], state["m3"], state["m4"]
        made.minimum, made.maximum = state["minimum"], state["maximum"]
        return made
