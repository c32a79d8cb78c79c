"""Sums of activations over the tokens where a predicate holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from scipy import sparse

from assay.record.layout import TILE
from assay.record.sketch import Activations, Context, State, check_alike


class PredicateSums:
    """For each of p predicates and u units: what is needed for the mean where the predicate holds.

    ``counts``: (p,) tokens on which it holds. ``sums``: (p, u), of activations on those tokens, in ``dtype``. With
    float32 half the memory holds them. They are kept as ``tiles`` of ``TILE`` units, the last one filled up: a sweep of
    compiled code over one tile then goes through memory in one direction.

    A sum is within (2**-19 + n * eps) * (the sum of the magnitudes) of the exact one. 2**-19 is for the 27 roundings to
    float32 that a term may go through in a block, which compiled code adds up in pieces of 128 tokens; eps is half the
    spacing of ``dtype`` at 1, once for each of n blocks and merges.
    """

    def __init__(self, predicates: int, units: int, dtype: type[np.float32 | np.float64] = np.float64) -> None:
        self.counts: Int64[NDArray[np.int64], " p"] = np.zeros(predicates, np.int64)
        self._units = units
        self.tiles: Float[NDArray[Any], "t p w"] = np.zeros((-(-units // TILE), predicates, TILE), dtype)

    @property
    def sums(self) -> Float[NDArray[Any], "p u"]:
        """The sums, as a copy; made anew each time it is asked for."""
        side_by_side = self.tiles.transpose(1, 0, 2).reshape(len(self.counts), -1)
        return np.ascontiguousarray(side_by_side[:, : self._units])

    def _put(self, sums: Float[NDArray[Any], "p u"]) -> None:
        for tile, start in zip(self.tiles, range(0, self._units, TILE), strict=True):
            part = sums[:, start : start + TILE]
            tile[:, : part.shape[1]] = part

    def update(self, activations: Activations, context: Context) -> None:
        starts, places, *_ = context.postings
        check_alike("predicates", len(self.counts), len(starts) - 1)
        values = activations[context.layout.order].astype(np.float64)
        holds = sparse.csr_matrix((np.ones(len(places)), places, starts), (len(starts) - 1, len(values)))
        self.counts = self.counts + np.diff(starts)
        self._put(self.sums + holds @ values)

    def merge(self, other: PredicateSums) -> PredicateSums:
        """The sums of both; counts exactly, sums within rounding."""
        check_alike("predicates, units and dtype", self._kind(), other._kind())
        merged = PredicateSums(len(self.counts), self._units, self.tiles.dtype.type)
        merged.counts = self.counts + other.counts
        merged.tiles = self.tiles + other.tiles
        return merged

    def _kind(self) -> tuple[int, int, str]:
        return len(self.counts), self._units, self.tiles.dtype.name

    def state(self) -> State:
        return {"counts": self.counts, "sums": self.sums}

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]]) -> PredicateSums:
        sums = state["sums"]
        made = cls(sums.shape[0], sums.shape[1], sums.dtype.type)
        made.counts = state["counts"]
        made._put(sums)
        return made
