"""Loops that predict rule lists and lookups of many units. Compiled on first use."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.core.jit import jit

_ONE = np.uint64(1)
_FEW = 6  # bits of a word that are looked up one by one; of more, all 64 are gone through
_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)  # its first six bits are others after each shift
_PLACE_OF = np.zeros(64, np.int64)
_PLACE_OF[[(0x03F79D71B4CB0A89 << k & 0xFFFFFFFFFFFFFFFF) >> 58 for k in range(64)]] = np.arange(64)


class Places(NamedTuple):
    """Where conditions hold in a view of n tokens; sets of tokens are bits, 64 to a word.

    ``start``, ``rows``: the tokens at which each string of a slot or bag stands. ``named``: (conditions, words) those
    at which each class or flag holds. ``every``: (words,) all n tokens. ``before``: (n,) number of the token before.
    """

    start: NDArray[np.int64]
    rows: NDArray[np.int32]
    named: NDArray[np.uint64]
    every: NDArray[np.uint64]
    before: NDArray[np.int32]


class Lists(NamedTuple):
    """Rule lists as numbers: ``rules`` says where each list's rules start, ``when`` where each rule's conditions do.

    A condition has the row of :class:`Places` that its class or flag has, or -1 and strings of its own.
    """

    base: NDArray[np.float32]
    rules: NDArray[np.int64]
    value: NDArray[np.float32]
    when: NDArray[np.int64]
    named: NDArray[np.int64]
    negated: NDArray[np.uint8]
    strings: NDArray[np.int64]
    string: NDArray[np.int64]


class Tables(NamedTuple):
    """Lookups as numbers: ``entries`` says where each one's entries start, tokens before pairs.

    ``token``: the token's string; ``before``: that of the token before, or -1 where any will do.
    """

    base: NDArray[np.float32]
    entries: NDArray[np.int64]
    token: NDArray[np.int64]
    before: NDArray[np.int64]
    value: NDArray[np.float32]


@jit()
def apply_lists(places: Any, lists: Any, first: int, last: int, out: Any) -> None:
    """Predictions of the lists from ``first`` to ``last``, into ``out`` (lists, n)."""
    mask, own = np.empty_like(places.every), np.empty_like(places.every)
    for i in range(first, last):
        line = out[i]
        for row in range(len(line)):
            line[row] = lists.base[i]
        for rule in range(lists.rules[i], lists.rules[i + 1]):
            for word in range(len(mask)):
                mask[word] = places.every[word]
            for condition in range(lists.when[rule], lists.when[rule + 1]):
                _narrow(places, lists, condition, own, mask)
            _add(mask, lists.value[rule], line)


@jit(inner=True)
def _narrow(places: Any, lists: Any, condition: int, own: Any, mask: Any) -> None:
    """Leave in ``mask`` the tokens at which a condition holds; ``own`` is scratch."""
    named, flip = lists.named[condition], np.uint64(0)
    if lists.negated[condition]:
        flip = ~flip
    if named >= 0:
        for word in range(len(mask)):
            mask[word] &= places.named[named, word] ^ flip
        return
    for word in range(len(own)):
        own[word] = 0
    for string in lists.string[lists.strings[condition] : lists.strings[condition + 1]]:
        for row in places.rows[places.start[string] : places.start[string + 1]]:
            own[row >> 6] |= _ONE << np.uint64(row & 63)
    for word in range(len(mask)):
        mask[word] &= own[word] ^ flip


@jit(inner=True)
def _add(mask: Any, value: Any, line: Any) -> None:
    """Add a value to a line of predictions at the tokens of ``mask``."""
    for word in range(len(mask)):
        left = mask[word]
        for _ in range(_FEW):
            if not left:
                break
            lowest = left & (~left + _ONE)
            line[(word << 6) + _PLACE_OF[(lowest * _DE_BRUIJN) >> np.uint64(58)]] += value
            left ^= lowest
        if left:
            part = line[word << 6 : (word + 1) << 6]
            for k in range(len(part)):
                part[k] = part[k] + value if left & (_ONE << np.uint64(k)) else part[k]


@jit()
def apply_tables(places: Any, tables: Any, first: int, last: int, out: Any) -> None:
    """Predictions of the lookups from ``first`` to ``last``, into ``out`` (lookups, n)."""
    for i in range(first, last):
        line = out[i]
        for row in range(len(line)):
            line[row] = tables.base[i]
        for entry in range(tables.entries[i], tables.entries[i + 1]):
            string, before = tables.token[entry], tables.before[entry]
            for at in range(places.start[string], places.start[string + 1]):
                row = places.rows[at]
                if before < 0 or places.before[row] == before:
                    line[row] = tables.value[entry]
