"""The excerpts on which each unit is highest, and those on which it is lowest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, Int64
from numpy.typing import NDArray

from assay.record.sketch import Activations, Context, State, check_alike

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

    def at(self, units: NDArray[np.int64]) -> Tail:
        """A copy, of these units only."""
        return Tail(*[array[units] for array in self.arrays()])

    def arrays(self) -> tuple[Any, ...]:
        return self


class Exemplars:
    """The ``k`` documents with the highest peak of each unit (``top``) and with the lowest (``bottom``).

    A document is represented by its peak and the window of at most ``length`` tokens around it. Ties go to the
    smaller document index, then to the earlier token, so that the answer does not depend on how the corpus was
    divided, as long as windows stay whole.
    """

    def __init__(self, units: int, length: int, k: int = 20) -> None:
        if k < 1:
            raise ValueError(f"k must be 1 or more. Got {k} instead.")
        self.k, self.length = k, length
        self.top = _free(units, k, length, -np.inf)
        self.bottom = _free(units, k, length, np.inf)

    def update(self, activations: Activations, context: Context) -> None:
        if not context.counted.any():
            return
        found = _Documents(activations, context)
        _absorb(self.top, found, 1)
        _absorb(self.bottom, found, -1)

    def merge(self, other: Exemplars) -> Exemplars:
        """The exemplars of both, exactly."""
        check_alike("units, k and length", self.top.ids.shape, other.top.ids.shape)
        merged = Exemplars(len(self.top.peaks), self.length, self.k)
        merged.top = _joined(self.top, other.top, 1)
        merged.bottom = _joined(self.bottom, other.bottom, -1)
        return merged

    def state(self) -> State:
        tails = (("top", self.top), ("bottom", self.bottom))
        return {f"{side}_{name}": values.copy() for side, tail in tails for name, values in tail._asdict().items()}

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]]) -> Exemplars:
        units, k, length = state["top_ids"].shape
        made = cls(units, length, k)
        made.top = Tail(*(state[f"top_{name}"].copy() for name in Tail._fields))
        made.bottom = Tail(*(state[f"bottom_{name}"].copy() for name in Tail._fields))
        return made


def _free(units: int, k: int, length: int, peak: float) -> Tail:
    return Tail(
        peaks=np.full((units, k), peak, np.float32),
        documents=np.full((units, k), NOBODY, np.int64),
        starts=np.zeros((units, k), np.int64),
        positions=np.zeros((units, k), np.int64),
        ids=np.full((units, k, length), PAD, np.int32),
        activations=np.zeros((units, k, length), np.float32),
    )


def _absorb(tail: Tail, found: _Documents, sign: int) -> None:
    """Write the documents of a block into ``tail``. Most blocks change few units: only those are joined."""
    peaks, rows = found.peaks(sign)
    units = np.flatnonzero(peaks.max(0) >= sign * tail.peaks[:, -1])
    if not len(units):
        return
    k, length = tail.ids.shape[1:]
    part = found.best(peaks[:, units], rows[:, units], units, k, length, sign)
    joined = _joined(tail.at(units), part, sign)
    for values, new in zip(tail, joined, strict=True):
        values[units] = new


class _Documents:
    """A block of activations by document."""

    def __init__(self, activations: Activations, context: Context) -> None:
        self.activations, self.context = activations, context
        counted = np.flatnonzero(context.counted)
        places = context.places[counted]
        self.order = counted[np.lexsort((places, context.documents[counted]))]
        documents = context.documents[self.order]
        self.first = np.flatnonzero(np.diff(documents, prepend=documents[0] - 1))
        self.sizes = np.diff(self.first, append=len(documents))

    def peaks(self, sign: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """For each document and unit the highest of ``sign`` times the activation, and its first row: (d, u)."""
        values = sign * self.activations[self.order]
        peaks = np.maximum.reduceat(values, self.first, axis=0)
        at_peak = values == np.repeat(peaks, self.sizes, axis=0)
        ranks = np.where(at_peak, np.arange(len(values))[:, None], len(values))
        return peaks, self.order[np.minimum.reduceat(ranks, self.first, axis=0)]

    def best(
        self,
        peaks: NDArray[np.float32],
        rows: NDArray[np.int64],
        units: NDArray[np.int64],
        k: int,
        length: int,
        sign: int,
    ) -> Tail:
        """The tail of the block alone for some units, with fewer slots if it has fewer than ``k`` documents."""
        # stable: of equal peaks the smaller document first, since documents ascend
        chosen = np.argsort(-peaks, axis=0, kind="stable")[:k]
        at = np.take_along_axis(rows, chosen, axis=0).T
        context = self.context
        _, window = np.unique(context.windows, return_inverse=True)
        row_of = np.full((window.max() + 1, length), PAD)
        row_of[window, context.positions] = np.arange(len(window))
        around = row_of[window[at]]
        padding = around == PAD
        return Tail(
            peaks=(sign * np.take_along_axis(peaks, chosen, axis=0)).T,
            documents=context.documents[at],
            starts=context.starts[at],
            positions=context.positions[at],
            ids=np.where(padding, np.int32(PAD), context.ids[around]),
            activations=np.where(padding, np.float32(0), self.activations[around, units[:, None, None]]),
        )


def _joined(a: Tail, b: Tail, sign: int) -> Tail:
    """The most extreme of both, as many as ``a`` has slots, one a document."""
    both: list[NDArray[Any]] = [np.concatenate(pair, axis=1) for pair in zip(a.arrays(), b.arrays(), strict=True)]
    peaks, documents, starts, positions = both[:4]
    order = np.lexsort((starts + positions, documents, -sign * peaks), axis=1)
    beaten = _repeats(np.take_along_axis(documents, order, axis=1))
    kept = np.take_along_axis(order, np.argsort(beaten, axis=1, kind="stable"), axis=1)[:, : a.peaks.shape[1]]
    units = np.arange(len(kept))[:, None]
    return Tail(*[array[units, kept] for array in both])


def _repeats(documents: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(u, m) true where a row's document has occurred to the left. There are never fewer than k others."""
    by_document = np.argsort(documents, axis=1, kind="stable")
    ordered = np.take_along_axis(documents, by_document, axis=1)
    repeated = np.zeros(documents.shape, np.bool_)
    repeated[:, 1:] = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != NOBODY)
    marks = np.zeros_like(repeated)
    np.put_along_axis(marks, by_document, repeated, axis=1)
    return marks
