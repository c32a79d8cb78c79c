"""Loops over tokens that learning and applying rules come down to. Compiled on first use.

A condition is four integers: place (slots, then bags, then the flags), the class or flag by number or -1, whether it is
negated, and how many strings it lists; its strings are features of :class:`assay.rules.index.Index`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.core.jit import jit
from assay.rules.index import N_BAGS, N_SLOTS, Index

PLACE, NAMED, NEGATED, LISTS = range(4)
FLAG_PLACE = N_SLOTS + N_BAGS
NEARBY_PLACE = N_SLOTS
# Not literals: of a function that is called with one, numba compiles a version for each value.
NOTHING: Any = np.int64(-1)
NONE: Any = np.int64(0)
_FEW = 64  # where a rule holds at one token of so many, or more, the bags' strings are counted by their runs
_ONE = np.uint64(1)
_ZERO, _UNIT = np.float32(0), np.float32(1)
_ALL = ~np.uint64(0)
_NO_BIT = np.uint64(0)
_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)  # any six of its bits in a row are found at one place only
_AT = np.zeros(64, np.int32)
_AT[[((0x03F79D71B4CB0A89 << i) & (2**64 - 1)) >> 58 for i in range(64)]] = np.arange(64)


class Tally(NamedTuple):
    """Sums of a residual, and counts, of every feature but strings of bags over some tokens.

    ``sums``: (p, 2) residual sum and count. ``seen``: (slots, most) which strings of each slot occur, ``n_seen``:
    (slots,) how many they are.
    """

    sums: NDArray[np.float32]
    seen: NDArray[np.int64]
    n_seen: NDArray[np.int64]


def new_tally(index: Index) -> Tally:
    """An empty tally for an index."""
    most = int(np.diff(index.starts).max()) + 1
    return Tally(
        sums=np.zeros((len(index.counts), 2), np.float32),
        seen=np.zeros((N_SLOTS, most), np.int64),
        n_seen=np.zeros(N_SLOTS, np.int64),
    )


@jit()
def clear(index: Any, tally: Any) -> None:
    """Make a tally empty."""
    for slot in range(N_SLOTS):
        for i in range(tally.n_seen[slot]):
            tally.sums[tally.seen[slot, i], 0] = 0.0
            tally.sums[tally.seen[slot, i], 1] = 0.0
        tally.n_seen[slot] = 0
    for feature in range(index.starts[N_SLOTS + N_BAGS], len(tally.sums)):
        tally.sums[feature, 0] = 0.0
        tally.sums[feature, 1] = 0.0


@jit()
def accumulate(index: Any, rows: Any, residual: Any, tally: Any) -> None:
    """Fill an empty tally from the tokens ``rows``; ``residual`` is over all tokens."""
    sums, seen, n_seen = tally.sums, tally.seen, tally.n_seen
    classes = index.starts[N_SLOTS + N_BAGS]
    named = sums[classes + N_SLOTS * index.n_classes :]
    for row in rows:
        value = residual[row]
        for slot in range(N_SLOTS):
            key = index.keys[row, slot]
            seen[slot, n_seen[slot]] = key
            n_seen[slot] += sums[key, 1] == _ZERO
            sums[key, 0] += value
            sums[key, 1] += _UNIT
        for i in range(index.column_start[row], index.column_start[row + 1]):
            column = index.column_of[i]
            named[column, 0] += value
            named[column, 1] += _UNIT
    for slot, shift in index.class_slots:
        by_class = sums[classes + slot * index.n_classes :]
        for key in seen[slot, : n_seen[slot]]:
            total, n = sums[key, 0], sums[key, 1]
            for i in range(index.class_start[key + shift], index.class_start[key + shift + 1]):
                by_class[index.class_of[i], 0] += total
                by_class[index.class_of[i], 1] += n


@jit()
def count_bags(index: Any, rows: Any, before: Any, counts: Any) -> None:
    """At how many of the tokens ``rows`` every string of a bag stands that may be listed.

    ``before``: scratch, one longer than there are tokens.
    """
    if len(rows) * _FEW < len(index.keys):
        first = index.starts[N_SLOTS]
        for string in range(len(index.run_start) - 1):
            counts[string] = 0.0
        for row in rows:
            for i in range(index.bag_start[row], index.bag_start[row + 1]):
                counts[index.bag_of[i] - first] += _UNIT
    else:
        for i in range(len(before)):
            before[i] = 0
        for row in rows:
            before[row + 1] = 1
        _sum_runs(index, before, counts)


@jit()
def sum_bags(index: Any, values: Any, sums: Any, before: Any) -> None:
    """Those of all tokens' values over every bag's string that may be listed; ``before`` is scratch, one longer."""
    before[0] = 0.0
    for row in range(len(values)):
        before[row + 1] = values[row]
    _sum_runs(index, before, sums)


@jit(inner=True)
def _sum_runs(index: Any, before: Any, sums: Any) -> None:
    total = before[0]
    for i in range(len(before)):
        total += before[i]
        before[i] = total
    for string in range(len(index.run_start) - 1):
        total = before[0]
        for i in range(index.run_start[string], index.run_start[string + 1]):
            total += before[index.run_last[i]] - before[index.run_first[i]]
        sums[string] = total


@jit()
def narrow(index: Any, condition: Any, strings: Any, mask: Any, scratch: Any) -> None:
    """Keep those bits of ``mask`` at whose tokens one condition holds; ``scratch`` is as long."""
    place, named, flip = condition[PLACE], np.int64(condition[NAMED]), _NO_BIT
    if condition[NEGATED] != 0:
        flip = _ALL
    own = scratch
    if named < 0:
        _mark(index, place, strings[: condition[LISTS]], scratch)
    elif place == FLAG_PLACE:
        own = index.masks[N_SLOTS * index.n_classes + named]
    elif place == NEARBY_PLACE:
        own = index.masks[N_SLOTS * index.n_classes + index.n_flags + named]
    else:
        own = index.masks[place * index.n_classes + named]
    for i in range(len(mask)):
        mask[i] &= own[i] ^ flip


@jit(inner=True)
def _mark(index: Any, place: int, listed: Any, mask: Any) -> None:
    """Set the bits of the tokens at which one of some strings stands, and no others."""
    for i in range(len(mask)):
        mask[i] = _NO_BIT
    for string in listed:
        if place < N_SLOTS:
            for row in index.post_rows[index.post_start[string] : index.post_start[string + 1]]:
                mask[row >> 6] |= _ONE << np.uint64(row & 63)
        else:
            column = string - index.starts[N_SLOTS]
            for i in range(index.run_start[column], index.run_start[column + 1]):
                for row in range(index.run_first[i], index.run_last[i]):
                    mask[row >> 6] |= _ONE << np.uint64(row & 63)


@jit()
def rows_in(mask: Any, rows: Any) -> int:
    """The places of the set bits, ascending, into ``rows``; how many they are."""
    found = 0
    for i in range(len(mask)):
        word = mask[i]
        while word:
            low = word & (~word + _ONE)
            rows[found] = 64 * i + _AT[(low * _DE_BRUIJN) >> np.uint64(58)]
            found += 1
            word ^= low
    return found
