"""A view turned into arrays of integers, for kernels.

Every predicate that a single condition can express is a *feature*, and features are numbered in one row::

    strings of each slot | strings of each bag | classes of each slot | flags | classes nearby

A string of a slot or bag is listed by number; key 0 of a slot or bag is the empty string, which is never listed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.rules.classes import class_names
from assay.rules.flags import FLAG_NAMES
from assay.rules.view import BAGS, NEARBY, SLOTS, View

Ints = NDArray[np.int32]
Words = NDArray[np.uint64]

N_SLOTS, N_BAGS = len(SLOTS), len(BAGS)
WORD_SLOT, STEM_SLOT = SLOTS.index("word"), SLOTS.index("stem")
REACH = NEARBY


class Index(NamedTuple):
    """What the kernels know of a view with n tokens, w windows of length L, p features, c classes and f flags.

    ``keys``: (slots, n) feature of the string in each slot. ``starts``: where each section of strings begins, and
    where the last ends. ``counts``: (p,) tokens at which each feature holds. ``listable``: (strings,) may it be listed?

    ``forms``: (w, L) key of the word form at each place of a window, 0 for nothing; ``again``: where the same form
    comes next (L: never); ``first``: is it the first of its kind? ``window``, ``position``: (n,) where a token stands.

    ``class_start``, ``class_of``: the classes of each slot's string. ``class_bits``: (slot strings, words) the same
    as bits. ``column_start``, ``column_of``: flags and nearby classes that hold at each token. ``column_bits``: (n,
    words) the same. ``post_start``, ``post_rows``: tokens at which each string of a bag stands.
    """

    keys: Ints
    starts: NDArray[np.int64]
    counts: NDArray[np.float64]
    listable: NDArray[np.uint8]
    forms: Ints
    again: Ints
    first: NDArray[np.uint8]
    window: Ints
    position: Ints
    class_start: Ints
    class_of: NDArray[np.uint16]
    class_bits: Words
    column_start: Ints
    column_of: NDArray[np.uint16]
    column_bits: Words
    post_start: NDArray[np.int64]
    post_rows: Ints
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
    keys = np.stack([view.keys(slot).ids + starts[i] for i, slot in enumerate(SLOTS)]).astype(np.int32)
    members = np.concatenate([view.members(slot) > 0 for slot in SLOTS])
    columns = np.concatenate([view.flags > 0, view.class_flags > 0], axis=1)
    forms, again, first = _occurrences(view)
    window, position = view.places
    bags = [view.bag(slot).matrix.tocsc() for slot in BAGS]
    lengths = np.concatenate([np.diff(bag.indptr) for bag in bags])
    listable = np.ones(starts[-1], np.uint8)
    for i, slot in enumerate(BAGS):
        section = starts[N_SLOTS + i]
        listable[section : starts[N_SLOTS + i + 1]] = view.windows_with(slot) >= windows
    listable[starts[:-1]] = 0
    of_slots = np.concatenate([np.bincount(row, minlength=starts[N_SLOTS]) for row in keys]).reshape(N_SLOTS, -1).sum(0)
    strings = [of_slots[: starts[N_SLOTS]], lengths]
    by_class = [
        of_slots[starts[i] : starts[i + 1]].astype(np.float64) @ members[starts[i] : starts[i + 1]]
        for i in range(N_SLOTS)
    ]
    return Index(
        keys=keys,
        starts=starts,
        counts=np.concatenate([*strings, *by_class, columns.sum(0)]).astype(np.float64),
        listable=listable,
        forms=forms,
        again=again,
        first=first,
        window=window,
        position=position,
        class_start=_starts(members.sum(1)).astype(np.int32),
        class_of=np.nonzero(members)[1].astype(np.uint16),
        class_bits=_bits(members),
        column_start=_starts(columns.sum(1)).astype(np.int32),
        column_of=np.nonzero(columns)[1].astype(np.uint16),
        column_bits=_bits(columns),
        post_start=_starts(lengths),
        post_rows=np.concatenate([bag.indices for bag in bags]).astype(np.int32),
        tables=_tables(int(starts[-1])),
        n_classes=len(class_names()),
        n_flags=len(FLAG_NAMES),
    )


def _tables(first: int) -> NDArray[np.int64]:
    """Classes of each slot, but not of half a word or a stem, which have none; flags; classes nearby."""
    classes, flags = len(class_names()), len(FLAG_NAMES)
    end = first + N_SLOTS * classes
    rows = [(first + slot * classes, classes, slot) for slot in range(N_SLOTS) if slot not in (WORD_SLOT, STEM_SLOT)]
    return np.array([*rows, (end, flags, N_SLOTS + N_BAGS), (end + flags, classes, N_SLOTS)], np.int64)


def _starts(lengths: NDArray[np.integer]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)])


def _bits(table: NDArray[np.bool_]) -> Words:
    """(rows, columns) of booleans as (rows, words) of 64 bits, column 0 in the lowest."""
    padded = np.zeros((len(table), -(-table.shape[1] // 64) * 64), np.uint8)
    padded[:, : table.shape[1]] = table
    return np.packbits(padded, axis=1, bitorder="little").view(np.uint64)


def _occurrences(view: View) -> tuple[Ints, Ints, NDArray[np.uint8]]:
    """Word forms by place, where each comes again in its window, and whether it is there for the first time."""
    forms = view.forms.astype(np.int32)
    length = forms.shape[1]
    order = np.argsort(forms, axis=1, kind="stable")
    ordered = np.take_along_axis(forms, order, axis=1)
    same = ordered[:, 1:] == ordered[:, :-1]
    following = np.full(forms.shape, length)
    following[:, :-1] = np.where(same, order[:, 1:], length)
    again, first = np.empty_like(following), np.ones(forms.shape, np.uint8)
    np.put_along_axis(again, order, following, axis=1)
    opening = np.ones(forms.shape, np.uint8)
    opening[:, 1:] = ~same
    np.put_along_axis(first, order, opening, axis=1)
    return forms, again.astype(np.int32), first
