"""Loops over tokens that learning and applying rules come down to. Compiled on first use.

A condition is four integers: place (slots, then bags, then the flags), the class or flag by number or -1, whether it is
negated, and how many strings it lists; its strings are features of :class:`assay.rules.index.Index`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.core.jit import jit
from assay.rules.index import N_BAGS, N_SLOTS, REACH, Index

PLACE, NAMED, NEGATED, LISTS = range(4)
FLAG_PLACE = N_SLOTS + N_BAGS
NEARBY_PLACE = N_SLOTS
# Not literals: of a function that is called with one, numba compiles a version for each value.
NOTHING: Any = np.int64(-1)
NONE: Any = np.int64(0)
_MARK, _NO_MARK = np.uint8(1), np.uint8(0)
_FEW = 4  # tokens of a window that are gone through one by one
_ONE = np.uint64(1)


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
    most = int(np.diff(index.starts).max())
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
    sums, classes = tally.sums, index.starts[N_SLOTS + N_BAGS]
    columns = classes + N_SLOTS * index.n_classes
    for slot in range(N_SLOTS):
        n_seen, keys = 0, index.keys[slot]
        for row in rows:
            key = keys[row]
            if sums[key, 1] == 0.0:
                tally.seen[slot, n_seen] = key
                n_seen += 1
            sums[key, 0] += residual[row]
            sums[key, 1] += 1.0
        tally.n_seen[slot] = n_seen
        for i in range(n_seen):
            key = tally.seen[slot, i]
            for at in range(index.class_start[key], index.class_start[key + 1]):
                feature = classes + slot * index.n_classes + index.class_of[at]
                sums[feature, 0] += sums[key, 0]
                sums[feature, 1] += sums[key, 1]
    named = sums[columns:]
    for row in rows:
        value = residual[row]
        for column in index.column_of[index.column_start[row] : index.column_start[row + 1]]:
            named[column, 0] += value
            named[column, 1] += 1.0


@jit()
def count_features(index: Any, rows: Any, counts: Any, before: Any) -> None:
    """How often every feature holds at the tokens ``rows``, ascending, into ``counts`` (p,); ``before`` is scratch."""
    classes = index.starts[N_SLOTS + N_BAGS]
    columns = classes + N_SLOTS * index.n_classes
    for feature in range(len(counts)):
        counts[feature] = 0.0
    for slot in range(N_SLOTS):
        keys = index.keys[slot]
        for row in rows:
            counts[keys[row]] += 1.0
        for key in range(index.starts[slot], index.starts[slot + 1]):
            for at in range(index.class_start[key], index.class_start[key + 1] if counts[key] else 0):
                counts[classes + slot * index.n_classes + index.class_of[at]] += counts[key]
    named = counts[columns:]
    for row in rows:
        for column in index.column_of[index.column_start[row] : index.column_start[row + 1]]:
            named[column] += 1.0
    low = 0
    while low < len(rows):
        window, high = index.window[rows[low]], low + 1
        while high < len(rows) and index.window[rows[high]] == window:
            high += 1
        if high - low < _FEW:
            _count_bags_of_few(index, rows[low:high], counts)
        else:
            _count_bags_of_many(index, rows[low:high], counts, before)
        low = high


@jit(inner=True)
def _count_bags_of_few(index: Any, rows: Any, counts: Any) -> None:
    """The strings before each of some tokens of one window, token by token."""
    near, earlier = index.starts[N_SLOTS], index.starts[N_SLOTS + 1]
    for row in rows:
        place, window = index.position[row], index.window[row]
        forms, again, opens = index.forms[window], index.again[window], index.first[window]
        for q in range(place):
            form = forms[q]
            if opens[q] and form:
                counts[earlier + form] += 1.0
        for q in range(max(place - REACH, 0), place):
            form = forms[q]
            if again[q] >= place and form:
                counts[near + form] += 1.0


@jit(inner=True)
def _count_bags_of_many(index: Any, rows: Any, counts: Any, before: Any) -> None:
    """The same for many tokens: a string counts at all those after it, read off cumulated counts."""
    near, earlier = index.starts[N_SLOTS], index.starts[N_SLOTS + 1]
    window, length = index.window[rows[0]], index.forms.shape[1]
    forms, again, opens = index.forms[window], index.again[window], index.first[window]
    for place in range(length + 1):
        before[place] = 0.0
    for row in rows:
        before[index.position[row] + 1] = 1.0
    for place in range(length):
        before[place + 1] += before[place]
    for q in range(length):
        form = forms[q]
        if form:
            end = min(q + REACH, again[q], length - 1) + 1
            counts[near + form] += before[end] - before[q + 1]
            if opens[q]:
                counts[earlier + form] += before[length] - before[q + 1]


@jit()
def sum_bags(index: Any, values: Any, sums: Any, before: Any) -> None:
    """Add to ``sums`` those of all tokens' values over every string of the bags; ``before`` is scratch."""
    near, earlier = index.starts[N_SLOTS], index.starts[N_SLOTS + 1]
    length, row = index.forms.shape[1], 0
    before[0] = 0.0
    for window in range(len(index.forms)):
        forms, again, opens = index.forms[window], index.again[window], index.first[window]
        for place in range(length):
            before[place + 1] = before[place]
            if row < len(values) and index.window[row] == window and index.position[row] == place:
                before[place + 1] += values[row]
                row += 1
        for q in range(length):
            form = forms[q]
            if form == 0:
                continue
            end = min(q + REACH, again[q], length - 1) + 1
            sums[near + form] += before[end] - before[q + 1]
            if opens[q]:
                sums[earlier + form] += before[length] - before[q + 1]


@jit(inner=True)
def _has(bits: Any, row: int, column: int) -> bool:
    return (bits[row, column >> 6] >> np.uint64(column & 63)) & _ONE != 0


@jit()
def filter_rows(index: Any, rows: Any, condition: Any, strings: Any, marks: Any, out: Any) -> int:
    """Those of ``rows`` at which one condition holds, into ``out``; how many they are.

    ``marks``: zeros, at least as many as there are tokens and as there are strings; zeros again afterwards.
    """
    place, named, negated = condition[PLACE], np.int64(condition[NAMED]), condition[NEGATED] != 0
    listed, found = strings[: condition[LISTS]], 0
    if named >= 0 and place >= N_SLOTS:
        column = named if place == FLAG_PLACE else named + index.n_flags
        for row in rows:
            if _has(index.column_bits, row, column) != negated:
                out[found] = row
                found += 1
    elif named >= 0:
        for row in rows:
            if _has(index.class_bits, index.keys[place, row], named) != negated:
                out[found] = row
                found += 1
    else:
        found = _filter_listed(index, rows, place, negated, listed, marks, out)
    return found


@jit(inner=True)
def _filter_listed(index: Any, rows: Any, place: int, negated: bool, listed: Any, marks: Any, out: Any) -> int:
    found = 0
    if place < N_SLOTS:
        for string in listed:
            marks[string] = 1
        keys = index.keys[place]
        for row in rows:
            if (marks[keys[row]] != 0) != negated:
                out[found] = row
                found += 1
        for string in listed:
            marks[string] = 0
    else:
        _mark_bag(index, listed, marks, _MARK)
        for row in rows:
            if (marks[row] != 0) != negated:
                out[found] = row
                found += 1
        _mark_bag(index, listed, marks, _NO_MARK)
    return found


@jit(inner=True)
def _mark_bag(index: Any, listed: Any, marks: Any, value: int) -> None:
    for string in listed:
        column = string - index.starts[N_SLOTS]
        for at in range(index.post_start[column], index.post_start[column + 1]):
            marks[index.post_rows[at]] = value
