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
from assay.rules.index import N_BAGS, N_SLOTS, Index, masks_of, words_of
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
    narrow,
    new_tally,
    rows_in,
)
from assay.rules.pool import ROOM, Pool, consider, copy_rule, has_condition, keep_best, new_pool, put, room_of
from assay.rules.sets import best_sets

_MARK, _NO_MARK = np.uint8(1), np.uint8(0)
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

    ``grown``: the conjunction whose tokens stand in the tally.
    ``rows``: the tokens of a conjunction of the beam; ``mask``: the same as bits; ``all_tokens``: a bit for each.
    ``ground``: where candidates are weighed: the residual's sum, the number of tokens, the price of a bit.
    ``found``, ``n_found``: sets of strings; ``paying``, ``n_paying``: those of each slot and bag that pay alone.
    ``marks``: zeros between uses.
    """

    tally: Tally
    pool: Pool
    beam: Pool
    grown: Pool
    rows: NDArray[np.int32]
    mask: NDArray[np.uint64]
    scratch: NDArray[np.uint64]
    all_tokens: NDArray[np.uint64]
    marks: NDArray[np.uint8]
    ground: NDArray[np.float64]
    found: NDArray[np.int32]
    n_found: NDArray[np.int64]
    paying: NDArray[np.int64]
    n_paying: NDArray[np.int64]


def new_bench(index: Index, settings: Settings) -> Bench:
    """Working space for an index; not to be shared between threads."""
    tokens, most = len(index.keys), settings.beam * _MOST_EXTENSIONS
    return Bench(
        tally=new_tally(index),
        pool=new_pool(most, settings.conditions),
        beam=new_pool(settings.beam, settings.conditions),
        grown=new_pool(1, settings.conditions),
        rows=np.zeros(tokens, np.int32),
        mask=np.zeros(words_of(tokens), np.uint64),
        scratch=np.zeros(words_of(tokens), np.uint64),
        all_tokens=masks_of(np.ones((1, tokens), np.bool_))[0],
        marks=np.zeros(tokens, np.uint8),
        ground=np.zeros(3),
        found=np.zeros((2, ROOM), np.int32),
        n_found=np.zeros(2, np.int64),
        paying=np.zeros((N_SLOTS + N_BAGS, int(np.diff(index.starts).max())), np.int64),
        n_paying=np.zeros(N_SLOTS + N_BAGS, np.int64),
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


@jit(inner=True, fastmath={"reassoc"})
def _sum_unmarked(index: Any, column: int, residual: Any, marks: Any) -> tuple[float, float]:
    """Residual sum and count of the tokens of a bag's string that are not marked."""
    total, count = 0.0, NONE
    for i in range(index.run_start[column], index.run_start[column + 1]):
        for row in range(index.run_first[i], index.run_last[i]):
            total += residual[row] * (1 - marks[row])
            count += 1 - marks[row]
    return total, float(count)


@jit(inner=True)
def _mark_runs(index: Any, column: int, marks: Any, value: int) -> None:
    for i in range(index.run_start[column], index.run_start[column + 1]):
        for row in range(index.run_first[i], index.run_last[i]):
            marks[row] = value


@jit(inner=True)
def _kept(
    index: Any, sums: Any, strings: Any, count: int, residual: Any, marks: Any, support: float, price: float
) -> tuple[int, float, float]:
    """Keep, in place, the strings of a bag that gain by the tokens they add; how many, with residual sum and count.

    Strings of a bag come together, and one that only keeps company with a good one looks good as well.
    """
    total, n = float(sums[strings[0], 0]), float(sums[strings[0], 1])
    kept, marked, gain = 1, 0, total**2 / (n + support) - price
    for i in range(1, count):
        while marked < kept:
            _mark_runs(index, strings[marked] - index.starts[N_SLOTS], marks, _MARK)
            marked += 1
        more, more_n = _sum_unmarked(index, strings[i] - index.starts[N_SLOTS], residual, marks)
        worth = (total + more) ** 2 / (n + more_n + support) - price * (kept + 1)
        if worth > gain:
            total, n, gain = total + more, n + more_n, worth
            strings[kept] = strings[i]
            kept += 1
    for i in range(marked):
        _mark_runs(index, strings[i] - index.starts[N_SLOTS], marks, _NO_MARK)
    return kept, total, n


@jit(inner=True)
def _extend_lists(
    index: Any, sums: Any, section: int, residual: Any, base: Any, at: int, room: int, settings: Any, bench: Any,
    size: int,
) -> int:  # fmt: skip
    """The best set of strings of one slot or bag, for each sign."""
    bit, support = bench.ground[2], settings.support
    price = bit * settings.string_bits
    if at < 0:
        candidates = bench.paying[section, : bench.n_paying[section]]
    else:
        candidates = bench.tally.seen[section, : bench.tally.n_seen[section]]
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
            count, total, n = _kept(index, sums, strings, count, residual, bench.marks, support, price)
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
def _grow(index: Any, residual: Any, kept: int, settings: Any, bench: Any) -> int:
    """Children of the beam that gain enough more than their parents, into the pool; how many."""
    pool, beam, tally, ground, size = bench.pool, bench.beam, bench.tally, bench.ground, NONE
    for at in range(kept):
        mask_of(index, beam, at, NOTHING, bench, bench.mask)
        own = bench.rows[: rows_in(bench.mask, bench.rows)]
        ground[0], ground[1] = 0.0, len(own)
        for row in own:
            ground[0] += residual[row]
        clear(index, tally)
        accumulate(index, own, residual, tally)
        copy_rule(beam, at, bench.grown, 0)
        floor = max(beam.gain[at] * settings.improvement, beam.gain[at])
        end = _extend(index, tally.sums, residual, beam, at, settings, bench, size)
        for i in range(size, end):
            if pool.gain[i] > floor:
                copy_rule(pool, i, pool, size)
                size += 1
    return size


@jit(inner=True)
def best_rule(
    index: Any, root: Any, residual: Any, bit: float, taken: Any, n_taken: int, settings: Any, bench: Any
) -> bool:
    """The conjunction that gains most and is not among ``taken``, into ``taken[n_taken]``; does it gain?

    Args:
        root: (p, 2) residual sum and count of every feature over all tokens.
        residual: (n,) what is left to explain.
        bit: squared error that a bit of description must remove.
    """
    pool, beam = bench.pool, bench.beam
    bench.ground[2] = bit
    size = _extend(index, root, residual, beam, NOTHING, settings, bench, NONE)
    taken.gain[n_taken] = 0.0
    for _ in range(settings.conditions - 1):
        kept = keep_best(pool, size, beam)
        consider(beam, kept, taken, n_taken)
        size = _grow(index, residual, kept, settings, bench)
    consider(pool, size, taken, n_taken)
    return taken.gain[n_taken] > 0


@jit(inner=True)
def mask_of(index: Any, pool: Any, at: int, left_out: int, bench: Any, mask: Any) -> None:
    """The tokens at which all conditions of ``pool[at]`` hold but the one ``left_out`` (-1: all), as bits."""
    for i in range(len(mask)):
        mask[i] = bench.all_tokens[i]
    for i in range(pool.length[at]):
        if i != left_out:
            narrow(index, pool.when[at, i], pool.strings[at, i], mask, bench.scratch)
