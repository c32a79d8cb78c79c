"""What a sketch is, and what it is told about the tokens it sees.

A sketch is a summary of fixed size. Sketches of one kind form a commutative monoid: merging those of two parts of
a corpus gives the sketch of the whole, in any order and grouping. That is what makes a recording resumable and
distributable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64, UInt16, UInt64
from numpy.typing import NDArray
from scipy import sparse

from assay.record.hashing import token_hashes
from assay.record.layout import NOTHING, Layout, Postings, lay_out, post

State = dict[str, NDArray[Any]]
Activations = Float32[NDArray[np.float32], "n u"]
Halves = UInt16[NDArray[np.uint16], "n u"]
"""Activations in bfloat16, by their bits: numpy has no such type."""


@dataclass(frozen=True, eq=False)
class Context:
    """Where the n rows of a block of activations come from. The block holds whole windows.

    ``ids``: token ids. ``documents``: index of each token's document, the same in all parts that will be merged.
    ``windows``: any number that tells the block's windows apart. ``starts``: place of the window's first token in
    its document. ``positions``: position in the window. ``keys``: hash of the document's name
    (:func:`assay.record.hashing.document_key`). ``counted``: the rows that a sketch takes in; the others are only
    shown around them. ``predicates``: which hold where, for :class:`assay.record.PredicateSums`.
    """

    ids: Int32[NDArray[np.int32], " n"]
    documents: Int64[NDArray[np.int64], " n"]
    windows: Int64[NDArray[np.int64], " n"]
    starts: Int64[NDArray[np.int64], " n"]
    positions: Int64[NDArray[np.int64], " n"]
    keys: UInt64[NDArray[np.uint64], " n"]
    counted: Bool[NDArray[np.bool_], " n"]
    predicates: Bool[NDArray[np.bool_], "n p"] | sparse.csr_matrix | None = None

    @property
    def places(self) -> Int64[NDArray[np.int64], " n"]:
        """(n,) place of each token in its document."""
        return self.starts + self.positions

    @cached_property
    def layout(self) -> Layout:
        """The rows by document and by window."""
        return lay_out(self)

    @cached_property
    def shown(self) -> Int32[NDArray[np.int32], "w longest"]:
        """The tokens of each window of the layout, -1 where there is nothing."""
        grid = self.layout.grid
        return np.where(grid == NOTHING, np.int32(NOTHING), self.ids[self.layout.order[grid]])

    @cached_property
    def postings(self) -> Postings:
        """Where each predicate holds.

        Raises:
            ValueError: there are no predicates.
        """
        return post(self)

    def hashes(self, seed: int) -> UInt64[NDArray[np.uint64], " n"]:
        """(n,) what a row sample is drawn by; the same for all sites, so made once."""
        if seed not in self._hashes:
            self._hashes[seed] = token_hashes(self.keys, self.places, seed)
        return self._hashes[seed]

    @cached_property
    def _hashes(self) -> dict[int, UInt64[NDArray[np.uint64], " n"]]:
        return {}

    def counting(self, rows: Bool[NDArray[np.bool_], " n"]) -> Context:
        """The same tokens with other rows counted."""
        return replace(self, counted=rows)


@runtime_checkable
class Sketch(Protocol):
    """The interface that every sketch here has; ``merge`` takes and gives, and ``from_state`` gives, its own kind.

    ``update`` takes in the counted rows of a block, (n, u) for u units. ``merge`` leaves both sides as they were.
    ``state`` is everything in it, as arrays that safetensors can hold, and ``from_state`` the way back.
    """

    def update(self, activations: Activations, context: Context) -> None: ...

    def merge(self, other: Any) -> Any: ...

    def state(self) -> State: ...

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]]) -> Any: ...


def widened(activations: Activations | Halves) -> Activations:
    """As float32, exactly."""
    if activations.dtype == np.float32:
        return cast(Activations, activations)
    return (activations.astype(np.uint32) << 16).view(np.float32)


def check_alike(what: str, mine: object, other: object) -> None:
    """Raise ValueError unless two sketches that are to be merged agree in ``what``."""
    if mine != other:
        raise ValueError(f"sketches to merge must have the same {what}. Got {mine} and {other} instead.")
