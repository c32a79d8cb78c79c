"""The best k of each unit, as they are kept while a pass runs and as they are shown."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, Int64
from numpy.typing import NDArray

PAD = -1
NOBODY = -1  # the document of a slot that is still free


class Tail(NamedTuple):
    """k excerpts a unit from k different documents, the most extreme first; free slots last.

    ``peaks``: (u, k) the extreme activation, infinite in a free slot. ``documents``: (u, k), -1 in a free slot.
    ``starts``: (u, k) place of the window's first token in its document. ``positions``: (u, k) the peak's position
    in the window. ``ids``: (u, k, length) the window's tokens, -1 in the padding. ``activations``: (u, k, length)
    this unit's activations on them, 0 in the padding.
    """

    peaks: Float32[NDArray[np.float32], "u k"]
    documents: Int64[NDArray[np.int64], "u k"]
    starts: Int64[NDArray[np.int64], "u k"]
    positions: Int64[NDArray[np.int64], "u k"]
    ids: Int32[NDArray[np.int32], "u k length"]
    activations: Float32[NDArray[np.float32], "u k length"]


class Ranked(NamedTuple):
    """A :class:`Tail` without the tokens, which all units share."""

    peaks: Float32[NDArray[np.float32], "u k"]
    documents: Int64[NDArray[np.int64], "u k"]
    starts: Int64[NDArray[np.int64], "u k"]
    positions: Int64[NDArray[np.int64], "u k"]
    activations: Float32[NDArray[np.float32], "u k length"]


PEAK, DOCUMENT, START, POSITION, SLOT = range(5)  # what the five rows of a unit's ranks are


class Slots(NamedTuple):
    """What a :class:`Ranked` holds, as it is kept while a pass runs.

    ``ranks``: (u, 5, k), the most extreme first: the bits of the peak, document, start, position and slot. What is
    known of a unit lies together in memory. ``activations``: (u, k, length) are left where they once were written:
    those of a rank are in its slot, so that a newcomer moves small numbers only.
    """

    ranks: Int32[NDArray[np.int32], "u 5 k"]
    activations: Float32[NDArray[np.float32], "u k length"]

    @property
    def peaks(self) -> Float32[NDArray[np.float32], "u k"]:
        """(u, k) a view."""
        return self.ranks.view(np.float32)[:, PEAK]

    @classmethod
    def free(cls, units: int, k: int, length: int, peak: float) -> Slots:
        """All slots free, with this (infinite) peak."""
        made = cls(np.zeros((units, 5, k), np.int32), np.zeros((units, k, length), np.float32))
        made.peaks[:], made.ranks[:, DOCUMENT], made.ranks[:, SLOT] = peak, NOBODY, np.arange(k)
        return made

    @classmethod
    def of(cls, ranked: Ranked) -> Slots:
        """A copy of ``ranked``."""
        units, k, length = ranked.activations.shape
        made = cls.free(units, k, length, 0.0)
        made.put(np.arange(units), ranked)
        return made

    def ranked(self, units: NDArray[np.int64] | None = None) -> Ranked:
        """A copy of these units' (all units') ranks."""
        chosen: Any = np.arange(len(self.ranks)) if units is None else units
        ranks: Any = self.ranks[chosen].astype(np.int64)
        documents, starts, positions, slots = (ranks[:, row].copy() for row in (DOCUMENT, START, POSITION, SLOT))
        return Ranked(self.peaks[chosen], documents, starts, positions, self.activations[chosen[:, None], slots])

    def put(self, units: NDArray[np.int64], ranked: Ranked) -> None:
        """Write the ranks of these units anew."""
        ranks = np.empty((len(units), *self.ranks.shape[1:]), np.int32)
        ranks.view(np.float32)[:, PEAK], ranks[:, SLOT] = ranked.peaks, np.arange(self.ranks.shape[2])
        ranks[:, DOCUMENT], ranks[:, START], ranks[:, POSITION] = ranked.documents, ranked.starts, ranked.positions
        self.ranks[units] = ranks
        self.activations[units] = ranked.activations


def joined(a: Ranked, b: Ranked, sign: int) -> Ranked:
    """The most extreme of both, as many as ``a`` has slots, one a document."""
    both: list[NDArray[Any]] = [np.concatenate(pair, axis=1) for pair in zip(_arrays(a), _arrays(b), strict=True)]
    peaks, documents, starts, positions = both[:4]
    order = np.lexsort((starts + positions, documents, -sign * peaks), axis=1)
    beaten = _repeats(np.take_along_axis(documents, order, axis=1))
    kept = np.take_along_axis(order, np.argsort(beaten, axis=1, kind="stable"), axis=1)[:, : a.peaks.shape[1]]
    units = np.arange(len(kept))[:, None]
    return Ranked(*[array[units, kept] for array in both])


def _arrays(values: Any) -> tuple[Any, ...]:
    return tuple(values)


def _repeats(documents: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(u, m) true where a row's document has occurred to the left. There are never fewer than k others."""
    by_document = np.argsort(documents, axis=1, kind="stable")
    ordered = np.take_along_axis(documents, by_document, axis=1)
    repeated = np.zeros(documents.shape, np.bool_)
    repeated[:, 1:] = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != NOBODY)
    marks = np.zeros_like(repeated)
    np.put_along_axis(marks, by_document, repeated, axis=1)
    return marks
