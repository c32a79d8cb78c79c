"""The rules of one unit that are chosen so far: their values, what they leave, how often each feature holds in them.

Sums of the residual over every feature follow from those of the unit and from how often each feature holds where each
rule does (batch OMP: Rubinstein, Zibulevsky, Elad 2008).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.core.jit import jit
from assay.rules.index import N_BAGS, N_SLOTS, Index, words_of
from assay.rules.kernels import accumulate, clear, count_bags
from assay.rules.pool import Pool, copy_rule, is_taken, new_pool
from assay.rules.search import Bench, Settings, new_bench
from assay.rules.sets import paying

_LN4 = 2 * float(np.log(2))
_NO_BITS = np.uint64(0)
_1, _2, _4, _56 = np.uint64(1), np.uint64(2), np.uint64(4), np.uint64(56)
_ODD, _PAIRS = np.uint64(0x5555555555555555), np.uint64(0x3333333333333333)
_NIBBLES, _BYTES = np.uint64(0x0F0F0F0F0F0F0F0F), np.uint64(0x0101010101010101)


class Chosen(NamedTuple):
    """The rules of one unit, and working space for them.

    ``pool``: the rules, and two places more. ``rows``: (rules, n) and ``n_rows`` the tokens of each; ``masks``: (rules,
    words) the same as bits. ``gram``: (rules, rules) tokens that two rules share. ``sums``: (rules,) of the unit over a
    rule's tokens. How often each feature holds at them: ``strings``, ``often`` (rules, slots, m) and ``n_strings``
    (rules, slots) those of slots that do; ``others`` (rules, features but slots' strings).

    ``y``: (n,) the unit, centred, and ``moments`` its mean and sum of squares; ``residual``: what is left of it.
    ``start``: (p,) its sum over every feature; ``root``: (p, 2) that of the residual, and counts; ``beside``: (strings,
    2) the same where a rule's other conditions hold. The rest is scratch.
    """

    pool: Pool
    rows: NDArray[np.int32]
    n_rows: NDArray[np.int64]
    masks: NDArray[np.uint64]
    gram: NDArray[np.float64]
    sums: NDArray[np.float64]
    strings: NDArray[np.int32]
    often: NDArray[np.float32]
    n_strings: NDArray[np.int64]
    others: NDArray[np.float32]
    values: NDArray[np.float64]
    root: NDArray[np.float32]
    beside: NDArray[np.float32]
    start: NDArray[np.float64]
    work: NDArray[np.float64]
    residual: NDArray[np.float32]
    y: NDArray[np.float64]
    moments: NDArray[np.float64]
    before: NDArray[np.float64]
    before_n: NDArray[np.int32]
    bench: Bench
    spare: NDArray[np.int32]


def new_chosen(index: Index, rules: int, settings: Settings) -> Chosen:
    """Working space for lists of at most so many rules; not to be shared between threads."""
    tokens, features, strings = len(index.keys), len(index.counts), int(index.starts[N_SLOTS])
    most = min(int(np.diff(index.starts[: N_SLOTS + 1]).max()), tokens)
    root = np.zeros((features, 2), np.float32)
    root[:, 1] = index.counts
    return Chosen(
        pool=new_pool(rules + 2, settings.conditions),
        rows=np.zeros((rules, tokens), np.int32),
        n_rows=np.zeros(rules, np.int64),
        masks=np.zeros((rules, words_of(tokens)), np.uint64),
        gram=np.zeros((rules, rules)),
        sums=np.zeros(rules),
        strings=np.zeros((rules, N_SLOTS, most), np.int32),
        often=np.zeros((rules, N_SLOTS, most), np.float32),
        n_strings=np.zeros((rules, N_SLOTS), np.int64),
        others=np.zeros((rules, features - strings), np.float32),
        values=np.zeros(rules),
        root=root,
        beside=np.zeros((int(index.starts[-1]), 2), np.float32),
        start=np.zeros(features),
        work=np.zeros(max(features - strings, int(np.diff(index.starts).max()))),
        residual=np.zeros(tokens, np.float32),
        y=np.zeros(tokens),
        moments=np.zeros(2),
        before=np.zeros(tokens + 1),
        before_n=np.zeros(tokens + 1, np.int32),
        bench=new_bench(index, settings),
        spare=np.zeros(tokens, np.int32),
    )


@jit()
def refit(chosen: Any, k: int, ridge: float) -> float:
    """Least squares of the centred unit on the first k rules with a ridge on their values; the base, not shrunk.

    By Cholesky's factorisation. The values are left in ``chosen``.
    """
    n = len(chosen.y)
    lower, values, base = np.empty((k, k)), chosen.values, 0.0
    for i in range(k):
        for j in range(i + 1):
            entry = chosen.gram[i, j] - chosen.gram[i, i] * chosen.gram[j, j] / n
            for m in range(j):
                entry -= lower[i, m] * lower[j, m]
            lower[i, j] = np.sqrt(entry + ridge) if i == j else entry / lower[j, j]
        right = chosen.sums[i]
        for m in range(i):
            right -= lower[i, m] * values[m]
        values[i] = right / lower[i, i]
    for back in range(k):
        i = k - 1 - back
        for m in range(i + 1, k):
            values[i] -= lower[m, i] * values[m]
        values[i] /= lower[i, i]
        base -= values[i] * chosen.gram[i, i] / n
    return base


@jit(inner=True)
def subtract(chosen: Any, k: int, base: float, left_out: int) -> None:
    """What the rules leave of the unit, into ``residual``, as if one of them (-1: none) were not there."""
    for row in range(len(chosen.y)):
        chosen.residual[row] = chosen.y[row] - base
    for i in range(k):
        if i != left_out:
            value = np.float32(chosen.values[i])
            for row in chosen.rows[i, : chosen.n_rows[i]]:
                chosen.residual[row] -= value


@jit(inner=True)
def sum_left(chosen: Any, k: int, base: float, left_out: int, place: int) -> float:
    """The sum over one rule's tokens of what the rules leave, as if one of them (-1: none) were not there."""
    total = chosen.sums[place] - base * chosen.gram[place, place]
    for i in range(k):
        if i != left_out:
            total -= chosen.values[i] * chosen.gram[i, place]
    return total


@jit(inner=True)
def price_of_bit(chosen: Any, k: int, base: float, left_out: int, settings: Any) -> float:
    """The squared error that one bit of description must remove, by the variance of what the rules leave."""
    n, mean, squares = len(chosen.y), -base, chosen.moments[1]
    for i in range(k):
        if i != left_out:
            mean -= chosen.values[i] * chosen.gram[i, i] / n
            squares -= chosen.values[i] * (chosen.sums[i] + sum_left(chosen, k, 0.0, left_out, i))
    squares += n * base * base - 2 * n * base * (mean + base)
    return settings.price * _LN4 * max(squares / n - mean * mean, 0.0)


@jit(inner=True)
def enter(index: Any, chosen: Any, k: int, place: int) -> None:
    """Take the rule whose tokens stand in ``rows[place]`` into the sums; there are k rules."""
    total = 0.0
    for row in chosen.rows[place, : chosen.n_rows[place]]:
        total += chosen.y[row]
    chosen.sums[place] = total
    for i in range(k):
        shared = _count_shared(chosen.masks[i], chosen.masks[place])
        chosen.gram[place, i], chosen.gram[i, place] = shared, shared


@jit(inner=True)
def _count_shared(a: Any, b: Any) -> int:
    """How many bits are set in both: in each word, of ever longer stretches at once."""
    total = _NO_BITS
    for i in range(len(a)):
        word = a[i] & b[i]
        word -= (word >> _1) & _ODD
        word = (word & _PAIRS) + ((word >> _2) & _PAIRS)
        word = (word + (word >> _4)) & _NIBBLES
        total += (word * _BYTES) >> _56
    return int(total)


@jit(inner=True)
def count(index: Any, chosen: Any, place: int) -> None:
    """Count at a rule's tokens how often each feature holds, unless that has just been done to grow it."""
    own, others, bench = chosen.rows[place, : chosen.n_rows[place]], chosen.others[place], chosen.bench
    tally = bench.tally
    if not is_taken(chosen.pool, place, bench.grown, 1):
        clear(index, tally)
        accumulate(index, own, chosen.residual, tally)
        copy_rule(chosen.pool, place, bench.grown, 0)
    for slot in range(N_SLOTS):
        strings, often = chosen.strings[place, slot], chosen.often[place, slot]
        chosen.n_strings[place, slot] = tally.n_seen[slot]
        for i in range(tally.n_seen[slot]):
            strings[i] = tally.seen[slot, i]
            often[i] = tally.sums[strings[i], 1]
    first = index.starts[N_SLOTS]
    for feature in range(index.starts[N_SLOTS + N_BAGS], len(tally.sums)):
        others[feature - first] = tally.sums[feature, 1]
    count_bags(index, own, chosen.before_n, others)


@jit(inner=True)
def unexplained(index: Any, chosen: Any, k: int, base: float, price: float, support: float) -> None:
    """Residual sums of all features, into ``root``, and which strings pay alone."""
    for slot in range(N_SLOTS):
        first, last = index.starts[slot], index.starts[slot + 1]
        _begin_sums(chosen, base, first, last)
        for j in range(k):
            strings, often, value = chosen.strings[j, slot], chosen.often[j, slot], chosen.values[j]
            for i in range(chosen.n_strings[j, slot]):
                chosen.work[strings[i] - first] -= value * often[i]
        _note_paying(index, chosen, slot, first, price, support)
        _end_sums(chosen, first, last)
    first, last = index.starts[N_SLOTS], len(index.counts)
    _begin_sums(chosen, base, first, last)
    for j in range(k):
        value, often = chosen.values[j], chosen.others[j]
        for i in range(len(often)):
            chosen.work[i] -= value * often[i]
    for bag in range(N_SLOTS, N_SLOTS + N_BAGS):
        _note_paying(index, chosen, bag, first, price, support)
    _end_sums(chosen, first, last)


@jit(inner=True)
def unexplained_of(
    index: Any, chosen: Any, k: int, base: float, slot: int, left_out: int, price: float, support: float
) -> None:
    """The same for one slot's strings only, as if one rule were not there."""
    first, keys = index.starts[slot], index.keys[:, slot]
    _begin_sums(chosen, base, first, index.starts[slot + 1])
    for j in range(k):
        if j != left_out:
            value = chosen.values[j]
            for row in chosen.rows[j, : chosen.n_rows[j]]:
                chosen.work[keys[row] - first] -= value
    _note_paying(index, chosen, slot, first, price, support)
    _end_sums(chosen, first, index.starts[slot + 1])


@jit(inner=True)
def _note_paying(index: Any, chosen: Any, section: int, first: int, price: float, support: float) -> None:
    low, high, bench = index.starts[section], index.starts[section + 1], chosen.bench
    sums, counts = chosen.work[low - first : high - first], index.counts[low:high]
    bench.n_paying[section] = paying(sums, counts, low, support, price, bench.paying[section])


@jit(inner=True)
def _begin_sums(chosen: Any, base: float, first: int, last: int) -> None:
    start, root, work = chosen.start[first:last], chosen.root[first:last], chosen.work[: last - first]
    for i in range(len(work)):
        work[i] = start[i] - base * root[i, 1]


@jit(inner=True)
def _end_sums(chosen: Any, first: int, last: int) -> None:
    root, work = chosen.root[first:last], chosen.work[: last - first]
    for i in range(len(work)):
        root[i, 0] = work[i]
