"""Sums of activations over the tokens where a predicate holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from assay.record.sketch import Activations, Context, State, check_alike


class PredicateSums:
    """For each of p predicates and u units: what is needed for the mean and variance where the predicate holds.

    ``counts``: (p,) tokens on which it holds. ``sums`` and ``squares``: (p, u) float64, of activations and of
    their squares on those tokens.
    """

    def __init__(self, predicates: int, units: int) -> None:
        self.counts: Int64[NDArray[np.int64], " p"] = np.zeros(predicates, np.int64)
        self.sums: Float64[NDArray[np.float64], "p u"] = np.zeros((predicates, units))
        self.squares: Float64[NDArray[np.float64], "p u"] = np.zeros((predicates, units))

    def update(self, activations: Activations, context: Context) -> None:
        if context.predicates is None:
            raise ValueError("predicate sums need the context's predicates. Got None instead.")
        check_alike("predicates", len(self.counts), context.predicates.shape[1])
        holds = context.predicates[context.counted]
        values = activations[context.counted].astype(np.float64)
        weights = holds.T.astype(np.float64)
        self.counts = self.counts + holds.sum(0, dtype=np.int64)
        self.sums = self.sums + weights @ values
        self.squares = self.squares + weights @ (values * values)

    def merge(self, other: PredicateSums) -> PredicateSums:
        """The sums of both; counts exactly, sums within rounding."""
        check_alike("predicates and units", self.sums.shape, other.sums.shape)
        merged = PredicateSums(*self.sums.shape)
        merged.counts = self.counts + other.counts
        merged.sums = self.sums + other.sums
        merged.squares = self.squares + other.squares
        return merged

    def state(self) -> State:
        return {"counts": self.counts, "sums": self.sums, "squares": self.squares}

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]]) -> PredicateSums:
        made = cls(*state["sums"].shape)
        made.counts, made.sums, made.squares = state["counts"], state["sums"], state["squares"]
        return made
