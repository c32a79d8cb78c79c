"""A view turned into arrays of integers, for kernels.

Every predicate that a single condition can express is a *feature*, and features are numbered in one row::

    strings of each slot | strings of each bag | classes of each slot | flags | classes nearby

A string of a slot or bag is listed by number; key 0 of a slot or bag is the empty string, which is never listed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from assay.rules.classes import class_names
from assay.rules.flags import FLAG_NAMES
from assay.rules.view import BAGS, SLOTS, View

Ints = NDArray[np.uint32]  # kernels need not ask whether an index is negative
Words = NDArray[np.uint64]

N_SLOTS, N_BAGS = len(SLOTS), len(BAGS)
WORD_SLOT, STEM_SLOT = SLOTS.index("word"), SLOTS.index("stem")


class Index(NamedTuple):
    """What the kernels know of a view with n tokens, p features, c classes and f flags.

    ``keys``: (n, slots) feature of the string in each slot. ``starts``: where each section of strings begins, and
    where the last ends. ``counts``: (p,) tokens at which each feature holds. ``listable``: (strings,) may it be listed?

    ``post_start``, ``post_rows``: tokens at which each slot's string stands. ``run_start``, ``run_first``,
    ``run_last``: the same of each bag's string that may be listed, as runs of tokens, the last exclusive.
    ``bag_start``, ``bag_of``: the bags' strings at each token, if they may be listed.

    ``class_slots``: (m, 2) the slots of which classes are named, and what to add to a key for its place in
    ``class_start``, ``class_of``: the classes of each string, once for all slots that have the same strings.
    ``column_start``, ``column_of``: flags and nearby classes that hold at each token. ``masks``: (classes of slots,
    flags and nearby classes, words) one bit for each token.
    """

    keys: Ints
    starts: NDArray[np.int64]
    counts: NDArray[np.float64]
    listable: NDArray[np.uint8]
    post_start: NDArray[np.int64]
    post_rows: Ints
    run_start: NDArray[np.int64]
    run_first: Ints
    run_last: Ints
    bag_start: NDArray[np.int64]
    bag_of: Ints
    class_slots: NDArray[np.int64]
    class_start: Ints
    class_of: NDArray[np.uint16]
    column_start: Ints
    column_of: NDArray[np.uint16]
    masks: Words
    tables: NDArray[np.int64]
    n_classes: int
    n_flags: int


def names_of(view: View, section: int) -> tuple[str, ...]:
    """The strings of a slot, or of a bag, by their number in :class:`Index`."""
    return view.keys(SLOTS[section]).names if section < N_SLOTS else view.bag(BAGS[section - N_SLOTS]).names


def build_index(view: View, windows: int) -> Index:
    """Everything about a view that does not depend on the unit; a bag's string needs so many windows."""
    sizes = [len(names_of(view, section)) for section in range(N_SLOTS + N_BAGS)]
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    keys = np.stack([view.keys(slot).ids + starts[i] for i, slot in enumerate(SLOTS)], axis=1).astype(np.uint32)
    at, members = _classes(view)
    columns = np.concatenate([view.flags > 0, view.class_flags > 0], axis=1)
    bags = sparse.hstack([view.bag(slot).matrix for slot in BAGS], "csc")
    listable = np.ones(starts[-1], np.uint8)
    for i, slot in enumerate(BAGS):
        listable[starts[N_SLOTS + i] : starts[N_SLOTS + i + 1]] = view.windows_with(slot) >= windows
    listable[starts[:-1]] = 0
    of_slots = np.bincount(keys.ravel(), minlength=starts[N_SLOTS])
    class_slots = np.array([(slot, first - starts[slot]) for slot, first in at.items()], np.int64)
    held = np.zeros((N_SLOTS, members.shape[1], len(keys)), np.bool_)
    for slot, shift in class_slots:
        held[slot] = members[keys[:, slot] + shift].toarray().T
    held = np.concatenate([*held, columns.T])
    listed = bags @ sparse.diags(listable[starts[N_SLOTS] :].astype(np.float32))
    run_start, run_first, run_last = _runs(listed)
    by_token = listed.tocsr()
    by_token.eliminate_zeros()
    by_column = sparse.csr_matrix(columns)
    return Index(
        keys=keys,
        starts=starts,
        counts=np.concatenate([of_slots, np.diff(bags.indptr), held.sum(1)]).astype(np.float64),
        listable=listable,
        post_start=_starts(of_slots),
        post_rows=np.concatenate([np.argsort(row, kind="stable") for row in keys.T]).astype(np.uint32),
        run_start=run_start,
        run_first=run_first,
        run_last=run_last,
        bag_start=by_token.indptr.astype(np.int64),
        bag_of=(by_token.indices + starts[N_SLOTS]).astype(np.uint32),
        class_slots=class_slots,
        class_start=members.indptr.astype(np.uint32),
        class_of=members.indices.astype(np.uint16),
        column_start=by_column.indptr.astype(np.uint32),
        column_of=by_column.indices.astype(np.uint16),
        masks=masks_of(held),
        tables=_tables(int(starts[-1])),
        n_classes=len(class_names()),
        n_flags=len(FLAG_NAMES),
    )


def _classes(view: View) -> tuple[dict[int, int], sparse.csr_matrix]:
    """The classes of strings, and where each slot's begin, of which classes are named; once for equal strings."""
    tables: dict[tuple[str, ...], int] = {}
    at: dict[int, int] = {}
    members: list[NDArray[np.bool_]] = []
    size = 0
    for slot in range(N_SLOTS):
        names = names_of(view, slot)
        if slot not in (WORD_SLOT, STEM_SLOT):
            if names not in tables:
                tables[names] = size
                members.append(view.members(SLOTS[slot]) > 0)
                size += len(names)
            at[slot] = tables[names]
    return at, sparse.csr_matrix(np.concatenate(members))


def _tables(first: int) -> NDArray[np.int64]:
    """Classes of each slot, but not of half a word or a stem, which have none; flags; classes nearby."""
    classes, flags = len(class_names()), len(FLAG_NAMES)
    end = first + N_SLOTS * classes
    rows = [(first + slot * classes, classes, slot) for slot in range(N_SLOTS) if slot not in (WORD_SLOT, STEM_SLOT)]
    return np.array([*rows, (end, flags, N_SLOTS + N_BAGS), (end + flags, classes, N_SLOTS)], np.int64)


def _starts(lengths: NDArray[np.integer]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)])


def masks_of(table: NDArray[np.bool_]) -> Words:
    """(rows, columns) of booleans as (rows, words) of 64 bits, column 0 in the lowest."""
    padded = np.zeros((len(table), words_of(table.shape[1]) * 8), np.uint8)
    packed = np.packbits(table, axis=1, bitorder="little")
    padded[:, : packed.shape[1]] = packed
    return padded.view(np.uint64)


def words_of(tokens: int) -> int:
    """How many words of 64 bits hold a bit for each token."""
    return -(-tokens // 64)


def _runs(bags: sparse.csc_matrix) -> tuple[NDArray[np.int64], Ints, Ints]:
    """Where each column's runs of rows begin in a list, and the first of each run and the one after its last."""
    entries = bags.tocoo()
    here = entries.data > 0
    order = np.lexsort((entries.row[here], entries.col[here]))
    row, column = entries.row[here][order].astype(np.int64), entries.col[here][order]
    opens = np.ones(len(row), bool)
    opens[1:] = (np.diff(row) != 1) | (np.diff(column) != 0)
    first = np.flatnonzero(opens)
    last = np.append(first[1:], len(row))[: len(first)] - 1
    lengths = np.bincount(column[first], minlength=bags.shape[1])
    return _starts(lengths), row[first].astype(np.uint32), (row[last] + 1).astype(np.uint32)
