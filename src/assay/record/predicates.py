"""Sums of activations over the tokens where a predicate holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from scipy import sparse

from assay.record.sketch import Activations, Context, State, check_alike


class PredicateSums:
    """For each of p predicates and u units: what is needed for the mean and variance where the predicate holds.

    ``counts``: (p,) tokens on which it holds. ``sums`` and ``squares``: (p, u), of activations and of their squares on
    those tokens, in ``dtype``. With float32 half the memory holds them.

    A sum is within (2**-19 + n * eps) * (the sum of the magnitudes) of the exact one. 2**-19 is for the 27 roundings to
    float32 that a term may go through in a block, which compiled code adds up in pieces of 128 tokens; eps is half the
    spacing of ``dtype`` at 1, once for each of n blocks and merges.
    """

    def __init__(self, predicates: int, units: int, dtype: type[np.float32 | np.float64] = np.float64) -> None:
        self.counts: Int64[NDArray[np.int64], " p"] = np.zeros(predicates, np.int64)
        self.sums: Float[NDArray[Any], "p u"] = np.zeros((predicates, units), dtype)
        self.squares: Float[NDArray[Any], "p u"] = np.zeros((predicates, units), dtype)

    def update(self, activations: Activations, context: Context) -> None:
        starts, places, *_ = context.postings
        check_alike("predicates", len(self.counts), len(starts) - 1)
        values = activations[context.layout.order].astype(np.float64)
        holds = sparse.csr_matrix((np.ones(len(places)), places, starts), (len(starts) - 1, len(values)))
        self.counts = self.counts + np.diff(starts)
        self.sums += holds @ values
        self.squares += holds @ (values * values)

    def merge(self, other: PredicateSums) -> PredicateSums:
        """The sums of both; counts exactly, sums within rounding."""
        check_alike("predicates, units and dtype", self._kind(), other._kind())
        merged = PredicateSums(len(self.sums), self.sums.shape[1], self.sums.dtype.type)
        merged.counts = self.counts + other.counts
        merged.sums = self.sums + other.sums
        merged.squares = self.squares + other.squares
        return merged

    def _kind(self) -> tuple[int, int, str]:
        return *self.sums.shape, self.sums.dtype.name

    def state(self) -> State:
        return {"counts": self.counts, "sums": self.sums.copy(), "squares": self.squares.copy()}

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]]) -> PredicateSums:
        made = cls(0, 0)
        made.counts, made.sums, made.squares = state["counts"], state["sums"].copy(), state["squares"].copy()
        return made
