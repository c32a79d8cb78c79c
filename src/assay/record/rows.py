"""A random sample of tokens, the same for all units: natural excerpts, and quantiles without histograms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64, UInt64
from numpy.typing import NDArray

from assay.record.hashing import token_hashes
from assay.record.sketch import Activations, Context, State, check_alike


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
        self.values: Float32[NDArray[np.float32], "m u"] = np.zeros((0, units), np.float32)

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

    def update(self, activations: Activations, context: Context) -> None:
        hashes = token_hashes(context.keys, context.places, self.seed)
        wanted = context.counted
        if len(self) == self.size:
            wanted = wanted & (hashes <= self.hashes[-1])
        part = RowSample(self.values.shape[1], self.size, self.seed)
        part.hashes, part.documents = hashes[wanted], context.documents[wanted]
        part.starts, part.positions = context.starts[wanted], context.positions[wanted]
        part.values = activations[wanted]
        self.__dict__.update(self.merge(part).__dict__)

    def merge(self, other: RowSample) -> RowSample:
        """The sample of both, exactly."""
        check_alike("size, seed and units", self._kind(), other._kind())
        merged = RowSample(self.values.shape[1], self.size, self.seed)
        hashes = np.concatenate([self.hashes, other.hashes])
        documents = np.concatenate([self.documents, other.documents])
        starts = np.concatenate([self.starts, other.starts])
        positions = np.concatenate([self.positions, other.positions])
        kept = np.lexsort((starts + positions, documents, hashes))[: self.size]
        merged.hashes, merged.documents = hashes[kept], documents[kept]
        merged.starts, merged.positions = starts[kept], positions[kept]
        merged.values = np.concatenate([self.values, other.values])[kept]
        return merged

    def _kind(self) -> tuple[int, int, int]:
        return self.size, self.seed, self.values.shape[1]

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
        made.hashes, made.documents = state["hashes"], state["documents"]
        made.starts, made.positions = state["starts"], state["positions"]
        made.values = state["values"]
        return made
