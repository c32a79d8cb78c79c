"""Conjunctions as arrays of integers: copied, compared, grown by a condition, and ranked by what they gain."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.core.jit import jit
from assay.rules.kernels import LISTS, NAMED, NEGATED, PLACE

ROOM = 12  # strings of a rule


class Pool(NamedTuple):
    """Conjunctions under consideration, ``length`` conditions each, and where each one's parent stands.

    ``when``: (most, conditions, 4) as in :mod:`assay.rules.kernels`, ``strings``: (most, conditions, 12); the others
    (most,). What stands behind a length or behind a list's end is left over from others.
    """

    when: NDArray[np.int32]
    strings: NDArray[np.int32]
    length: NDArray[np.int64]
    gain: NDArray[np.float64]
    parent: NDArray[np.int64]


def new_pool(most: int, conditions: int) -> Pool:
    """Room for so many conjunctions."""
    return Pool(
        when=np.zeros((most, conditions, 4), np.int32),
        strings=np.zeros((most, conditions, ROOM), np.int32),
        length=np.zeros(most, np.int64),
        gain=np.zeros(most),
        parent=np.zeros(most, np.int64),
    )


@jit(inner=True)
def copy_rule(source: Any, at: int, target: Any, to: int) -> None:
    """Copy a conjunction from one pool, or place in it, to another."""
    for i in range(source.length[at]):
        for k in range(4):
            target.when[to, i, k] = source.when[at, i, k]
        for k in range(source.when[at, i, LISTS]):
            target.strings[to, i, k] = source.strings[at, i, k]
    target.length[to], target.gain[to], target.parent[to] = source.length[at], source.gain[at], source.parent[at]


@jit(inner=True)
def put(pool: Any, size: int, base: Any, at: int, place: int, named: int, negated: int, strings: Any) -> None:
    """Write the conjunction ``base[at]`` and one more condition to ``pool[size]``; at -1 there is no base."""
    length = 0
    if at >= 0:
        copy_rule(base, at, pool, size)
        length = base.length[at]
    when = pool.when[size, length]
    when[PLACE], when[NAMED], when[NEGATED], when[LISTS] = place, named, negated, len(strings)
    for i in range(len(strings)):
        pool.strings[size, length, i] = strings[i]
    pool.length[size], pool.parent[size] = length + 1, at


@jit(inner=True)
def has_condition(base: Any, at: int, place: int, named: int, negated: int) -> bool:
    """Whether ``base[at]`` has a condition; any list of strings of that place where ``named`` is -1."""
    if at < 0:
        return False
    for i in range(base.length[at]):
        when = base.when[at, i]
        if when[PLACE] == place and when[NAMED] == named and when[NEGATED] == negated:
            return True
    return False


@jit(inner=True)
def room_of(base: Any, at: int) -> int:
    """How many strings further conditions of ``base[at]`` may list."""
    room = ROOM
    for i in range(base.length[at] if at >= 0 else 0):
        room -= base.when[at, i, LISTS]
    return room


@jit(inner=True)
def _equal(a: Any, i: int, k: int, b: Any, j: int, m: int) -> bool:
    """Whether condition k of ``a[i]`` is condition m of ``b[j]``."""
    equal = True
    for part in range(4):
        equal = equal and a.when[i, k, part] == b.when[j, m, part]
    for at in range(a.when[i, k, LISTS] if equal else 0):
        equal = equal and a.strings[i, k, at] == b.strings[j, m, at]
    return equal


@jit(inner=True)
def _same(a: Any, i: int, b: Any, j: int) -> bool:
    """Whether ``a[i]`` and ``b[j]`` have the same conditions, in whatever order."""
    if a.length[i] != b.length[j]:
        return False
    for k in range(a.length[i]):
        found = False
        for m in range(b.length[j]):
            found = found or _equal(a, i, k, b, j, m)
        if not found:
            return False
    return True


@jit(inner=True)
def is_taken(pool: Any, at: int, taken: Any, n_taken: int) -> bool:
    """Whether the conjunction ``pool[at]`` is among the first of ``taken``."""
    found = False
    for j in range(n_taken):
        found = found or _same(pool, at, taken, j)
    return found


@jit(inner=True)
def keep_best(pool: Any, size: int, best: Any) -> int:
    """The candidates of a pool that gain most, into ``best``, as many as it holds; how many."""
    kept, most = 0, len(best.gain)
    for i in range(size):
        if kept == most and pool.gain[i] <= best.gain[kept - 1]:
            continue
        at = kept if kept < most else most - 1
        while at > 0 and best.gain[at - 1] < pool.gain[i]:
            copy_rule(best, at - 1, best, at)
            at -= 1
        copy_rule(pool, i, best, at)
        kept = min(kept + 1, most)
    return kept


@jit(inner=True)
def consider(pool: Any, size: int, taken: Any, n_taken: int) -> None:
    """Remember the best candidate so far at ``taken[n_taken]``."""
    for i in range(size):
        if pool.gain[i] > taken.gain[n_taken] and not is_taken(pool, i, taken, n_taken):
            copy_rule(pool, i, taken, n_taken)
