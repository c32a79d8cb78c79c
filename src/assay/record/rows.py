"""A random sample of tokens, the same for all units: natural excerpts, and quantiles without histograms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64, UInt64
from numpy.typing import NDArray

from assay.record.sketch import Activations, Context, Halves, State, check_alike, widened


class RowSample:
    """The ``size`` tokens with the smallest hash of document and place: a uniform sample without replacement.

    m tokens are held, at most ``size``: ``hashes``, ``documents``, ``starts`` (of the window) and ``positions``
    (in it), all (m,), in the order of the hash; ``values`` (m, u) are the activations on them. Which tokens are
    drawn depends on the documents' names and the seed only, so samples of several sites hold the same tokens.
    """

    def __init__(self, units: int, size: int = 4096, seed: int = 0) -> None:
        if size < 1:
            raise ValueError(f"size must be 1 or more. Got {size} instead.")
        self.size, self.seed = size, seed
        self.hashes: UInt64[NDArray[np.uint64], " m"] = np.zeros(0, np.uint64)
        self.documents: Int64[NDArray[np.int64], " m"] = np.zeros(0, np.int64)
        self.starts: Int64[NDArray[np.int64], " m"] = np.zeros(0, np.int64)
        self.positions: Int64[NDArray[np.int64], " m"] = np.zeros(0, np.int64)
        self._places: Int64[NDArray[np.int64], " m"] = np.zeros(0, np.int64)
        self._store: Float32[NDArray[np.float32], "s u"] = np.empty((0, units), np.float32)

    @property
    def values(self) -> Float32[NDArray[np.float32], "m u"]:
        """The activations on the tokens held, as a copy; made anew each time it is asked for."""
        return self._store[self._places]

    def __len__(self) -> int:
        return len(self.hashes)

    def quantile(self, q: float | Sequence[float]) -> NDArray[np.float64]:
        """Sample quantiles (linear interpolation) of each unit: (u,) for one ``q``, (len(q), u) for several.

        Raises:
            ValueError: the sample is empty.
        """
        if not len(self):
            raise ValueError("no token has been sampled; a quantile needs at least one")
        return np.asarray(np.quantile(self.values, q, axis=0), np.float64)

    def update(self, activations: Activations | Halves, context: Context) -> None:
        hashes = context.hashes(self.seed)
        wanted = context.counted
        if len(self) == self.size:
            wanted = wanted & (hashes <= self.hashes[-1])
        rows = np.flatnonzero(wanted)
        if len(rows):
            place = context.documents[rows], context.starts[rows], context.positions[rows]
            self._insert(hashes[rows], *place, widened(activations[rows]))

    def _insert(
        self,
        hashes: UInt64[NDArray[np.uint64], " r"],
        documents: Int64[NDArray[np.int64], " r"],
        starts: Int64[NDArray[np.int64], " r"],
        positions: Int64[NDArray[np.int64], " r"],
        values: Float32[NDArray[np.float32], "r u"],
    ) -> None:
        """Take in tokens. Rows of activations stay where they are: a newcomer takes the place of one that leaves."""
        if not len(self._store):
            self._store = np.empty((self.size, values.shape[1]), np.float32)
        held = len(self)
        hashes = np.concatenate([self.hashes, hashes])
        documents = np.concatenate([self.documents, documents])
        starts = np.concatenate([self.starts, starts])
        positions = np.concatenate([self.positions, positions])
        kept = _ascending(hashes, documents, starts + positions)[: self.size]
        free = np.ones(self.size, np.bool_)
        free[self._places[kept[kept < held]]] = False
        new = np.flatnonzero(kept >= held)
        places = np.concatenate([self._places, np.zeros(len(hashes) - held, np.int64)])[kept]
        places[new] = np.flatnonzero(free)[: len(new)]
        self._store[places[new]] = values[kept[new] - held]
        self.hashes, self.documents = hashes[kept], documents[kept]
        self.starts, self.positions = starts[kept], positions[kept]
        self._places = places

    def merge(self, other: RowSample) -> RowSample:
        """The sample of both, exactly."""
        check_alike("size, seed and units", self._kind(), other._kind())
        merged = RowSample(self._store.shape[1], self.size, self.seed)
        for side in (self, other):
            merged._insert(side.hashes, side.documents, side.starts, side.positions, side.values)
        return merged

    def _kind(self) -> tuple[int, int, int]:
        return self.size, self.seed, self._store.shape[1]

    def state(self) -> State:
        return {
            "size": np.array([self.size], np.int64),
            "seed": np.array([self.seed], np.int64),
            "hashes": self.hashes,
            "documents": self.documents,
            "starts": self.starts,
            "positions": self.positions,
            "values": self.values,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]]) -> RowSample:
        made = cls(state["values"].shape[1], int(state["size"][0]), int(state["seed"][0]))
        made._insert(*(state[name] for name in ("hashes", "documents", "starts", "positions", "values")))
        return made


def _ascending(
    hashes: UInt64[NDArray[np.uint64], " n"],
    documents: Int64[NDArray[np.int64], " n"],
    places: Int64[NDArray[np.int64], " n"],
) -> Int64[NDArray[np.int64], " n"]:
    """The order by hash, then document, then place. Two hashes are hardly ever equal."""
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    if (ordered[1:] == ordered[:-1]).any():
        return np.lexsort((places, documents, hashes))
    return order
