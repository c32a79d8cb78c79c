"""Growing the next rule: conjunctions of conditions, best first, on a residual.

In every slot the residual is asked for the best set of strings and the best class, and of all flags which explains
most; the best few of these candidates then grow by one condition at a time, within the limit of twelve strings for
the whole rule (a beam search). Strings of a bag are looked for as first conditions only: as further ones they were
rarely found, and cost half of the time.

What a candidate gains is the squared error that it removes with its own best value, ``S**2 / (n + support)``, less
what its description costs. By the principle of minimum description length (Rissanen 1978) a bit must remove
``2 ln(2)`` times the residual's variance: so much saves one bit in a Gaussian code of the residual.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.core.jit import jit
from assay.rules.index import N_BAGS, N_SLOTS, Index
from assay.rules.kernels import (
    FLAG_PLACE,
    LISTS,
    NAMED,
    NONE,
    NOTHING,
    PLACE,
    Tally,
    accumulate,
    clear,
    filter_rows,
    new_tally,
)
from assay.rules.pool import ROOM, Pool, consider, copy_rule, has_condition, keep_best, new_pool, put, room_of
from assay.rules.sets import best_sets, paying

_MOST_EXTENSIONS = 64  # of one conjunction: two lists of each slot and bag, two names of each table


class Settings(NamedTuple):
    """The options of a search, and what a description costs in bits."""

    support: float
    beam: int
    conditions: int
    shortlist: int
    improvement: float
    price: float
    rule_bits: float
    list_bits: float
    string_bits: float
    class_bits: float
    flag_bits: float


class Bench(NamedTuple):
    """Working space of one thread.

    ``rows``, ``n_rows``: the tokens of each conjunction of the beam; ``next_rows``, ``next_n``: those of the next.
    ``ground``: where candidates are weighed: the residual's sum, the number of tokens, the price of a bit.
    ``found``, ``n_found``: sets of strings; ``paying``: those that are looked at. ``marks``: zeros between uses.
    """

    tally: Tally
    pool: Pool
    beam: Pool
    rows: NDArray[np.int32]
    next_rows: NDArray[np.int32]
    n_rows: NDArray[np.int64]
    next_n: NDArray[np.int64]
    all_rows: NDArray[np.int32]
    marks: NDArray[np.uint8]
    ground: NDArray[np.float64]
    found: NDArray[np.int32]
    n_found: NDArray[np.int64]
    paying: NDArray[np.int64]


def new_bench(index: Index, settings: Settings) -> Bench:
    """Working space for an index; not to be shared between threads."""
    tokens, most = index.keys.shape[1], settings.beam * _MOST_EXTENSIONS
    return Bench(
        tally=new_tally(index),
        pool=new_pool(most, settings.conditions),
        beam=new_pool(settings.beam, settings.conditions),
        rows=np.zeros((settings.beam, tokens), np.int32),
        next_rows=np.zeros((settings.beam, tokens), np.int32),
        n_rows=np.zeros(settings.beam, np.int64),
        next_n=np.zeros(settings.beam, np.int64),
        all_rows=np.arange(tokens, dtype=np.int32),
        marks=np.zeros(max(tokens, int(index.starts[-1])), np.uint8),
        ground=np.zeros(3),
        found=np.zeros((2, ROOM), np.int32),
        n_found=np.zeros(2, np.int64),
        paying=np.zeros(int(index.starts[-1]), np.int64),
    )


@jit(inner=True)
def bits_of(when: Any, length: int, settings: Any) -> float:
    """Description length of a conjunction's rule."""
    bits = settings.rule_bits
    for i in range(length):
        if when[i, NAMED] < 0:
            bits += settings.list_bits + when[i, LISTS] * settings.string_bits
        elif when[i, PLACE] == FLAG_PLACE:
            bits += settings.flag_bits
        else:
            bits += settings.class_bits
    return bits


@jit(inner=True)
def weigh(pool: Any, size: int, total: float, count: float, bit: float, settings: Any) -> None:
    """What the conjunction ``pool[size]`` gains by a residual sum over so many tokens."""
    removed = total * total / (count + settings.support)
    pool.gain[size] = removed - bit * bits_of(pool.when[size], pool.length[size], settings)


@jit(inner=True)
def _kept(
    index: Any, strings: Any, count: int, residual: Any, marks: Any, support: float, price: float
) -> tuple[int, float, float]:
    """Keep, in place, the strings of a bag that gain by the tokens they add; how many, with residual sum and count.

    Strings of a bag come together, and one that only keeps company with a good one looks good as well.
    """
    kept, total, n, gain = 0, 0.0, 0.0, -np.inf
    for i in range(count):
        column = strings[i] - index.starts[N_SLOTS]
        posts = index.post_rows[index.post_start[column] : index.post_start[column + 1]]
        more, more_n = 0.0, 0.0
        for row in posts:
            if not marks[row]:
                more += residual[row]
                more_n += 1.0
        worth = (total + more) ** 2 / (n + more_n + support) - price * (kept + 1)
        if worth > gain:
            total, n, gain = total + more, n + more_n, worth
            for row in posts:
                marks[row] = 1
            strings[kept] = strings[i]
            kept += 1
    for i in range(kept):
        column = strings[i] - index.starts[N_SLOTS]
        for at in range(index.post_start[column], index.post_start[column + 1]):
            marks[index.post_rows[at]] = 0
    return kept, total, n


@jit(inner=True)
def _extend_lists(
    index: Any, sums: Any, section: int, residual: Any, base: Any, at: int, room: int, settings: Any, bench: Any,
    size: int,
) -> int:  # fmt: skip
    """The best set of strings of one slot or bag, for each sign."""
    bit, support = bench.ground[2], settings.support
    price, candidates, count = bit * settings.string_bits, bench.tally.seen[section], bench.tally.n_seen[section]
    if at < 0:
        candidates = bench.paying
        count = paying(sums, index.starts[section], index.starts[section + 1], support, price, candidates)
    candidates = candidates[:count]
    best_sets(candidates, sums, index.listable, room, support, price, settings.shortlist, bench.found, bench.n_found)
    for sign in range(2):
        strings, count = bench.found[sign], bench.n_found[sign]
        if count == 0:
            continue
        total, n = 0.0, 0.0
        if section < N_SLOTS:
            for i in range(count):
                total += sums[strings[i], 0]
                n += sums[strings[i], 1]
        else:
            count, total, n = _kept(index, strings, count, residual, bench.marks, support, price)
        put(bench.pool, size, base, at, section, NOTHING, NONE, strings[:count])
        weigh(bench.pool, size, total, n, bit, settings)
        size += 1
    return size


@jit(inner=True)
def _extend_named(index: Any, sums: Any, table: int, base: Any, at: int, settings: Any, bench: Any, size: int) -> int:
    """The name that explains most and, as a further condition, the name whose absence does."""
    first, count, place = index.tables[table, 0], index.tables[table, 1], index.tables[table, 2]
    ground = bench.ground
    for negated in range(2 if at >= 0 else 1):
        best, best_gain, best_total, best_n = count, -1.0, 0.0, 0.0
        for i in range(count):
            total, n = float(sums[first + i, 0]), float(sums[first + i, 1])
            if negated:
                total, n = ground[0] - total, ground[1] - n
            gain = total * total / (n + settings.support)
            if gain > best_gain:
                best, best_gain, best_total, best_n = i, gain, total, n
        if not has_condition(base, at, place, best, negated):
            put(bench.pool, size, base, at, place, best, negated, bench.found[0, :0])
            weigh(bench.pool, size, best_total, best_n, ground[2], settings)
            size += 1
    return size


@jit(inner=True)
def _extend(index: Any, sums: Any, residual: Any, base: Any, at: int, settings: Any, bench: Any, size: int) -> int:
    """The best candidates that add one condition to ``base[at]``, into the pool; its new size.

    ``sums`` are those of the features where ``base[at]`` holds; at -1 there is no base, and all tokens are looked at.
    """
    room = room_of(base, at)
    for section in range(N_SLOTS if at >= 0 else N_SLOTS + N_BAGS):
        if room > 0 and not has_condition(base, at, section, NOTHING, NONE):
            size = _extend_lists(index, sums, section, residual, base, at, room, settings, bench, size)
    for table in range(len(index.tables)):
        size = _extend_named(index, sums, table, base, at, settings, bench, size)
    return size


@jit(inner=True)
def _grow(index: Any, residual: Any, kept: int, rows: Any, n_rows: Any, settings: Any, bench: Any) -> int:
    """Children of the beam that gain enough more than their parents, into the pool; how many."""
    pool, beam, tally, ground, size = bench.pool, bench.beam, bench.tally, bench.ground, NONE
    for at in range(kept):
        own = rows[at, : n_rows[at]]
        ground[0], ground[1] = 0.0, len(own)
        for row in own:
            ground[0] += residual[row]
        accumulate(index, own, residual, tally)
        floor = max(beam.gain[at] * settings.improvement, beam.gain[at])
        end = _extend(index, tally.sums, residual, beam, at, settings, bench, size)
        for i in range(size, end):
            if pool.gain[i] > floor:
                copy_rule(pool, i, pool, size)
                size += 1
        clear(index, tally)
    return size


@jit(inner=True)
def best_rule(
    index: Any, root: Any, residual: Any, bit: float, taken: Any, n_taken: int, settings: Any, bench: Any, out: Any
) -> int:
    """The conjunction that gains most and is not among ``taken``, into ``taken[n_taken]``; its rows into ``out``.

    Args:
        root: (p, 2) residual sum and count of every feature over all tokens.
        residual: (n,) what is left to explain.
        bit: squared error that a bit of description must remove.

    Returns:
        How many tokens it holds at; -1 when nothing pays for its description.
    """
    pool, beam, ground = bench.pool, bench.beam, bench.ground
    rows, n_rows, next_rows, next_n = bench.rows, bench.n_rows, bench.next_rows, bench.next_n
    ground[0], ground[1], ground[2] = 0.0, len(residual), bit
    for value in residual:
        ground[0] += value
    size = _extend(index, root, residual, beam, NOTHING, settings, bench, NONE)
    taken.gain[n_taken] = 0.0
    for _ in range(settings.conditions - 1):
        kept = keep_best(pool, size, beam)
        consider(beam, kept, taken, n_taken)
        for i in range(kept):
            parent, last = beam.parent[i], beam.length[i] - 1
            above = bench.all_rows if parent < 0 else rows[parent, : n_rows[parent]]
            next_n[i] = filter_rows(index, above, beam.when[i, last], beam.strings[i, last], bench.marks, next_rows[i])
        rows, next_rows, n_rows, next_n = next_rows, rows, next_n, n_rows
        size = _grow(index, residual, kept, rows, n_rows, settings, bench)
    consider(pool, size, taken, n_taken)
    return rows_of(index, taken, n_taken, NOTHING, bench, out) if taken.gain[n_taken] > 0 else NOTHING


@jit(inner=True)
def rows_of(index: Any, pool: Any, at: int, left_out: int, bench: Any, out: Any) -> int:
    """The tokens at which all conditions of ``pool[at]`` hold but the one ``left_out`` (-1: all), into ``out``."""
    rows = bench.all_rows
    for i in range(pool.length[at]):
        if i != left_out:
            rows = out[: filter_rows(index, rows, pool.when[at, i], pool.strings[at, i], bench.marks, out)]
    return len(rows)
