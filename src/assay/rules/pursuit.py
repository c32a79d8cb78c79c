"""Orthogonal matching pursuit of one unit, compiled: rule by rule, then one rule after another once more.

Sums of the residual over every feature follow from those of the unit and from how often each feature holds where each
rule does (batch OMP: Rubinstein, Zibulevsky, Elad 2008), so that the tokens are gone through once, and then only those
at which something under consideration holds.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.core.jit import jit
from assay.rules.index import N_BAGS, N_SLOTS, Index
from assay.rules.kernels import LISTS, NONE, NOTHING, PLACE, count_features, sum_bags
from assay.rules.pool import Pool, copy_rule, is_taken, new_pool, room_of
from assay.rules.search import Bench, Settings, best_rule, new_bench, rows_of, weigh
from assay.rules.sets import best_sets, paying

APART = 0.5  # a ridge just large enough to keep equal rules apart
_LN4 = 2 * float(np.log(2))
_TILE = 1024  # features that are summed up at a time: they stay in the first cache


class Chosen(NamedTuple):
    """The rules of one unit, and working space for them.

    ``pool``: the rules, and two places more. ``rows``: (rules, n) and ``n_rows`` the tokens of each.
    ``holds``: (rules, p) how often each feature holds at them. ``gram``: (rules, rules) tokens that two rules share.
    ``sums``: (rules,) of the unit over a rule's tokens. ``cover``: (n,) bit i is set where rule i holds.
    ``y``: (n,) the unit, centred; ``residual``: what is left of it. ``start``: (p,) its sum over every feature;
    ``root``: (p, 2) that of the residual, and counts; ``beside``: (strings, 2) the same where a rule's other conditions
    hold. ``mean``: (1,) of the unit. The rest is scratch.
    """

    pool: Pool
    rows: NDArray[np.int32]
    n_rows: NDArray[np.int64]
    holds: NDArray[np.float32]
    gram: NDArray[np.float64]
    sums: NDArray[np.float64]
    cover: NDArray[np.uint64]
    values: NDArray[np.float64]
    root: NDArray[np.float32]
    beside: NDArray[np.float32]
    start: NDArray[np.float64]
    work: NDArray[np.float64]
    residual: NDArray[np.float64]
    y: NDArray[np.float64]
    mean: NDArray[np.float64]
    before: NDArray[np.float64]
    bench: Bench
    spare: NDArray[np.int32]


def new_chosen(index: Index, rules: int, settings: Settings) -> Chosen:
    """Working space for lists of at most so many rules; not to be shared between threads."""
    tokens, features = index.keys.shape[1], len(index.counts)
    root = np.zeros((features, 2), np.float32)
    root[:, 1] = index.counts
    return Chosen(
        pool=new_pool(rules + 2, settings.conditions),
        rows=np.zeros((rules, tokens), np.int32),
        n_rows=np.zeros(rules, np.int64),
        holds=np.zeros((rules, features), np.float32),
        gram=np.zeros((rules, rules)),
        sums=np.zeros(rules),
        cover=np.zeros(tokens, np.uint64),
        values=np.zeros(rules),
        root=root,
        beside=np.zeros((int(index.starts[-1]), 2), np.float32),
        start=np.zeros(features),
        work=np.zeros(_TILE),
        residual=np.zeros(tokens),
        y=np.zeros(tokens),
        mean=np.zeros(1),
        before=np.zeros(index.forms.shape[1] + 1),
        bench=new_bench(index, settings),
        spare=np.zeros(tokens, np.int32),
    )


@jit()
def refit(chosen: Any, k: int, ridge: float) -> float:
    """Least squares of the centred unit on the first k rules with a ridge on their values; the base, not shrunk.

    By Cholesky's factorisation. Values and residual are left in ``chosen``.
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
    for row in range(n):
        chosen.residual[row] = chosen.y[row] - base
    for i in range(k):
        for row in chosen.rows[i, : chosen.n_rows[i]]:
            chosen.residual[row] -= values[i]
    return base


@jit(inner=True)
def _price(residual: Any, settings: Any) -> float:
    """The squared error that one bit of description must remove."""
    total, squares = 0.0, 0.0
    for value in residual:
        total += value
        squares += value * value
    n = len(residual)
    return settings.price * _LN4 * (squares - total * total / n) / n


@jit(inner=True)
def _enter(index: Any, chosen: Any, k: int, place: int) -> None:
    """Take the rule whose tokens stand in ``rows[place]`` into the sums; there are k rules."""
    bit = np.uint64(1) << np.uint64(place)
    for i in range(k):
        chosen.gram[place, i] = 0.0
    total = 0.0
    own = chosen.rows[place, : chosen.n_rows[place]]
    for row in own:
        total += chosen.y[row]
        others = chosen.cover[row]
        chosen.cover[row] = others | bit
        i = 0
        while others:
            if others & np.uint64(1):
                chosen.gram[place, i] += 1.0
            others >>= np.uint64(1)
            i += 1
    chosen.gram[place, place] = len(own)
    for i in range(k):
        chosen.gram[i, place] = chosen.gram[place, i]
    chosen.sums[place] = total
    count_features(index, own, chosen.holds[place], chosen.before)


@jit(inner=True)
def _leave(chosen: Any, place: int) -> None:
    bit = ~(np.uint64(1) << np.uint64(place))
    for row in chosen.rows[place, : chosen.n_rows[place]]:
        chosen.cover[row] &= bit


@jit(inner=True)
def _unexplained(index: Any, chosen: Any, k: int, base: float, low: int, high: int, left_out: int) -> None:
    """Residual sums of the features from ``low`` to ``high``, as if one rule (-1: none) were not there."""
    sums = chosen.work
    for first in range(low, high, _TILE):
        last = min(first + _TILE, high)
        start, counts, root = chosen.start[first:last], index.counts[first:last], chosen.root[first:last]
        for i in range(len(start)):
            sums[i] = start[i] - base * counts[i]
        for j in range(k):
            if j != left_out:
                value, holds = chosen.values[j], chosen.holds[j, first:last]
                for i in range(len(holds)):
                    sums[i] -= value * holds[i]
        for i in range(len(root)):
            root[i, 0] = sums[i]


@jit()
def add_rule(index: Any, chosen: Any, k: int, settings: Any) -> bool:
    """Find the rule that explains most of what the first k leave, and take it in as the next; is there one?"""
    base = refit(chosen, k, APART)
    _unexplained(index, chosen, k, base, NONE, len(index.counts), NOTHING)
    bit = _price(chosen.residual, settings)
    found = best_rule(index, chosen.root, chosen.residual, bit, chosen.pool, k, settings, chosen.bench, chosen.rows[k])
    if found < 0:
        return False
    chosen.n_rows[k] = found
    _enter(index, chosen, k + 1, k)
    return True


@jit()
def relist(index: Any, chosen: Any, k: int, place: int, settings: Any) -> None:
    """Choose the strings of one rule's first list outside the bags again, given all other rules of k."""
    base, pool, bench = refit(chosen, k, settings.support), chosen.pool, chosen.bench
    which = _first_list(pool, place)
    if which < 0:
        return
    total, back = 0.0, chosen.residual
    for row in chosen.rows[place, : chosen.n_rows[place]]:
        back[row] += chosen.values[place]
        total += back[row]
    bit = _price(back, settings)
    weigh(pool, place, total, float(chosen.n_rows[place]), bit, settings)
    section, room = pool.when[place, which, PLACE], room_of(pool, place) + pool.when[place, which, LISTS]
    first, last = index.starts[section], index.starts[section + 1]
    sums = chosen.root if pool.length[place] == 1 else chosen.beside
    if pool.length[place] == 1:
        _unexplained(index, chosen, k, base, first, last, place)
    else:
        _sum_beside(index, chosen, place, which)
    price = bit * settings.string_bits
    candidates = bench.paying[: paying(sums, first, last, settings.support, price, bench.paying)]
    best_sets(
        candidates, sums, index.listable, room, settings.support, price, settings.shortlist, bench.found, bench.n_found
    )
    if _take_better(chosen, sums, k, place, which, bit, settings):
        _leave(chosen, place)
        chosen.n_rows[place] = rows_of(index, pool, place, NOTHING, bench, chosen.rows[place])
        _enter(index, chosen, k, place)


@jit(inner=True)
def _first_list(pool: Any, place: int) -> int:
    """Which condition of a rule is its first list outside the bags; -1 for none."""
    for i in range(pool.length[place]):
        if pool.when[place, i, LISTS] > 0 and pool.when[place, i, PLACE] < N_SLOTS:
            return i
    return -1


@jit(inner=True)
def _sum_beside(index: Any, chosen: Any, place: int, which: int) -> None:
    """Residual sums and counts of one slot's strings where all conditions of a rule hold but that on the slot."""
    section, sums = chosen.pool.when[place, which, PLACE], chosen.beside
    for string in range(index.starts[section], index.starts[section + 1]):
        sums[string, 0], sums[string, 1] = 0.0, 0.0
    count = rows_of(index, chosen.pool, place, which, chosen.bench, chosen.spare)
    for row in chosen.spare[:count]:
        sums[index.keys[section, row], 0] += chosen.residual[row]
        sums[index.keys[section, row], 1] += 1.0


@jit(inner=True)
def _take_better(chosen: Any, sums: Any, k: int, place: int, which: int, bit: float, settings: Any) -> bool:
    """Give a rule the better of the lists found if that gains, and makes no rule that is there; was it so?"""
    pool, bench, better = chosen.pool, chosen.bench, False
    best = len(pool.gain) - 1
    trial = best - 1
    copy_rule(pool, place, pool, best)
    for side in range(2):
        size, total, n = bench.n_found[side], 0.0, 0.0
        copy_rule(pool, place, pool, trial)
        pool.when[trial, which, LISTS] = size
        for i in range(size):
            string = bench.found[side, i]
            pool.strings[trial, which, i] = string
            total += sums[string, 0]
            n += sums[string, 1]
        weigh(pool, trial, total, n, bit, settings)
        if size > 0 and pool.gain[trial] > pool.gain[best] and not is_taken(pool, trial, pool, k):
            copy_rule(pool, trial, pool, best)
            better = True
    copy_rule(pool, best, pool, place)
    return better


@jit()
def begin(index: Any, target: Any, named: Any, chosen: Any) -> None:
    """Centre the unit, and sum it over every feature."""
    mean, start = 0.0, chosen.start
    for value in target:
        mean += value
    mean /= len(target)
    chosen.mean[0] = mean
    for row in range(len(target)):
        chosen.y[row] = target[row] - mean
        chosen.cover[row] = 0
    classes = index.starts[N_SLOTS + N_BAGS]
    columns = classes + N_SLOTS * index.n_classes
    for feature in range(columns):
        start[feature] = 0.0
    for i in range(len(named)):
        start[columns + i] = named[i] - mean * index.counts[columns + i]
    for slot in range(N_SLOTS):
        keys = index.keys[slot]
        for row in range(len(keys)):
            start[keys[row]] += chosen.y[row]
        for key in range(index.starts[slot], index.starts[slot + 1]):
            for at in range(index.class_start[key], index.class_start[key + 1]):
                start[classes + slot * index.n_classes + index.class_of[at]] += start[key]
    sum_bags(index, chosen.y, start, chosen.before)


def pursue(
    index: Index,
    target: NDArray[np.float64],
    named: NDArray[np.float64],
    rules: int,
    sweeps: int,
    settings: Settings,
    chosen: Chosen,
) -> tuple[int, float]:
    """Learn the rules of one unit, into ``chosen``: how many they are, and the base.

    Args:
        target: (n,) what the unit did; not constant.
        named: (flags and classes,) sums of the target over the tokens where each flag holds and each class is near.
    """
    begin(index, target, named, chosen)
    k = 0
    while k < rules and add_rule(index, chosen, k, settings):
        k += 1
    for place in [*range(k)] * sweeps:
        relist(index, chosen, k, place, settings)
    return k, refit(chosen, k, settings.support) + float(chosen.mean[0])
