"""The excerpts on which each unit is highest, and those on which it is lowest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from assay.record.layout import NOTHING, Layout, window_keys
from assay.record.sketch import Activations, Context, State, check_alike
from assay.record.tails import DOCUMENT, NOBODY, PAD, START, Ranked, Slots, Tail, joined

_SIDES = ("top", "bottom")
_SPARE = 4096  # windows that may be remembered in vain before they are looked through


class Exemplars:
    """The ``k`` documents with the highest peak of each unit (``top``) and with the lowest (``bottom``).

    A document is represented by its peak and the window of at most ``length`` tokens around it. Ties go to the
    smaller document index, then to the earlier token, so that the answer does not depend on how the corpus was
    divided, as long as windows stay whole.

    While a pass runs, the tokens of a window are held once for all units.
    """

    def __init__(self, units: int, length: int, k: int = 20) -> None:
        if k < 1:
            raise ValueError(f"k must be 1 or more. Got {k} instead.")
        self.k, self.length = k, length
        self.slots = {"top": Slots.free(units, k, length, -np.inf), "bottom": Slots.free(units, k, length, np.inf)}
        self._windows: dict[int, NDArray[np.int32]] = {}
        self._patience = _SPARE

    @property
    def top(self) -> Tail:
        """The highest, as a copy; made anew each time it is asked for."""
        return self._tail("top")

    @property
    def bottom(self) -> Tail:
        """The lowest, as a copy; made anew each time it is asked for."""
        return self._tail("bottom")

    def _tail(self, side: str) -> Tail:
        ranked = self.slots[side].ranked()
        keys, table = self._table()
        wanted = window_keys(np.maximum(ranked.documents, 0), ranked.starts)
        ids = np.full((*wanted.shape, self.length), PAD, np.int32)
        taken = ranked.documents != NOBODY
        ids[taken] = table[np.searchsorted(keys, wanted[taken])]
        return Tail(ranked.peaks, ranked.documents, ranked.starts, ranked.positions, ids, ranked.activations)

    def update(self, activations: Activations, context: Context) -> None:
        if not context.counted.any():
            return
        found = _Documents(activations, context)
        entered = np.zeros(len(context.layout.grid), np.bool_)
        for side, sign in zip(_SIDES, (1, -1), strict=True):
            _absorb(self.slots[side], found, sign, self.length, entered)
        self.remember(context, entered)

    def remember(self, context: Context, entered: Bool[NDArray[np.bool_], " w"]) -> None:
        """Keep the tokens of the windows of a block from which something has entered."""
        keys, shown = context.layout.keys, context.shown
        short = self.length - shown.shape[1]
        for number in np.flatnonzero(entered).tolist():
            ids = np.pad(shown[number], (0, short), constant_values=PAD) if short else shown[number]
            self._windows.setdefault(int(keys[number]), ids)
        if len(self._windows) > self._patience:
            self._forget()
            self._patience = 2 * len(self._windows) + _SPARE

    def _forget(self) -> None:
        """Let go of windows from which everything has been pushed out."""
        used: set[int] = set()
        for slots in self.slots.values():
            documents, starts = slots.ranks[:, DOCUMENT].astype(np.int64), slots.ranks[:, START].astype(np.int64)
            keys = window_keys(documents, starts)[documents != NOBODY]
            used.update(np.unique(keys).tolist())
        self._windows = {key: self._windows[key] for key in sorted(used)}

    def _table(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """The keys of the windows that are in use, ascending, and their tokens: (w,) and (w, length)."""
        self._forget()
        ids = np.array(list(self._windows.values()), np.int32).reshape(-1, self.length)
        return np.array(list(self._windows), np.int64), ids

    def merge(self, other: Exemplars) -> Exemplars:
        """The exemplars of both, exactly."""
        shapes = self.slots["top"].activations.shape, other.slots["top"].activations.shape
        check_alike("units, k and length", *shapes)
        merged = Exemplars(shapes[0][0], self.length, self.k)
        for side, sign in zip(_SIDES, (1, -1), strict=True):
            merged.slots[side] = Slots.of(joined(self.slots[side].ranked(), other.slots[side].ranked(), sign))
        merged._windows = self._windows | other._windows
        merged._forget()
        return merged

    def state(self) -> State:
        state: State = {}
        for side in _SIDES:
            state |= {f"{side}_{name}": values for name, values in self.slots[side].ranked()._asdict().items()}
        state["window_keys"], state["window_ids"] = self._table()
        return state

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]]) -> Exemplars:
        units, k, length = state["top_activations"].shape
        made = cls(units, length, k)
        for side in _SIDES:
            made.slots[side] = Slots.of(Ranked(*(state[f"{side}_{name}"] for name in Ranked._fields)))
        made._windows = dict(zip(state["window_keys"].tolist(), state["window_ids"].copy(), strict=True))
        return made


def _absorb(slots: Slots, found: _Documents, sign: int, length: int, entered: NDArray[np.bool_]) -> None:
    """Write the documents of a block into ``slots``. Most blocks change few units: only those are joined."""
    peaks, places = found.peaks(sign)
    units = np.flatnonzero(peaks.max(0) >= sign * slots.peaks[:, -1])
    if not len(units):
        return
    k = slots.ranks.shape[2]
    part, windows = found.best(peaks[:, units], places[:, units], units, k, length, sign)
    slots.put(units, joined(slots.ranked(units), part, sign))
    entered[windows] = True


class _Documents:
    """A block of activations by document."""

    def __init__(self, activations: Activations, context: Context) -> None:
        self.activations, self.context = activations, context
        self.layout: Layout = context.layout
        self.first = self.layout.segments[:-1]
        self.sizes = np.diff(self.layout.segments)

    def peaks(self, sign: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """For each document and unit the highest of ``sign`` times the activation, and its first place: (d, u)."""
        values = sign * self.activations[self.layout.order[self.layout.counted]]
        peaks = np.maximum.reduceat(values, self.first, axis=0)
        at_peak = values == np.repeat(peaks, self.sizes, axis=0)
        ranks = np.where(at_peak, np.arange(len(values))[:, None], len(values))
        return peaks, self.layout.counted[np.minimum.reduceat(ranks, self.first, axis=0)]

    def best(
        self,
        peaks: NDArray[np.float32],
        places: NDArray[np.int64],
        units: NDArray[np.int64],
        k: int,
        length: int,
        sign: int,
    ) -> tuple[Ranked, NDArray[np.int64]]:
        """The best of the block alone for some units, fewer than ``k`` if it has fewer documents, and the windows."""
        # stable: of equal peaks the smaller document first, since documents ascend
        chosen = np.argsort(-peaks, axis=0, kind="stable")[:k]
        at = np.take_along_axis(places, chosen, axis=0).T
        context, layout = self.context, self.layout
        windows, rows = layout.window[at], layout.order[at]
        around = np.full((*windows.shape, length), NOTHING)
        around[..., : layout.grid.shape[1]] = layout.grid[windows]
        shown = self.activations[layout.order[around], units[:, None, None]]
        ranked = Ranked(
            peaks=(sign * np.take_along_axis(peaks, chosen, axis=0)).T,
            documents=context.documents[rows],
            starts=context.starts[rows],
            positions=context.positions[rows],
            activations=np.where(around == NOTHING, np.float32(0), shown),
        )
        return ranked, windows
