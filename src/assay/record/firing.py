"""How often a unit is above a level."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64
from numpy.typing import NDArray

from assay.record.sketch import Activations, Context, State, check_alike


class FiringRate:
    """Tokens on which each unit is above its threshold.

    ``thresholds``: (u,) float32, compared with ``>``. ``fired``: (u,) number of tokens above it.
    """

    def __init__(self, thresholds: Float32[NDArray[np.float32], " u"]) -> None:
        self.thresholds = thresholds
        self.count = 0
        self.fired: Int64[NDArray[np.int64], " u"] = np.zeros(len(thresholds), np.int64)

    @property
    def rate(self) -> Float64[NDArray[np.float64], " u"]:
        """(u,) share of the tokens; NaN before the first."""
        return self.fired / self.count if self.count else np.full(len(self.fired), np.nan)

    def update(self, activations: Activations, context: Context) -> None:
        above = (activations > self.thresholds) & context.counted[:, None]
        self.count += int(context.counted.sum())
        self.fired = self.fired + above.sum(0, dtype=np.int64)

    def merge(self, other: FiringRate) -> FiringRate:
        """The counts of both, exactly."""
        check_alike("thresholds", self.thresholds.tolist(), other.thresholds.tolist())
        merged = FiringRate(self.thresholds)
        merged.count = self.count + other.count
        merged.fired = self.fired + other.fired
        return merged

    def state(self) -> State:
        return {"thresholds": self.thresholds, "count": np.array([self.count], np.int64), "fired": self.fired}

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]]) -> FiringRate:
        made = cls(state["thresholds"])
        made.count = int(state["count"][0])
        made.fired = state["fired"]
        return made
