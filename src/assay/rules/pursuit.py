"""Orthogonal matching pursuit of one unit: rule by rule, then the list of one rule after another once more.

The tokens are gone through once, and then only those at which something under consideration holds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.core.jit import jit
from assay.rules.chosen import Chosen, enter, leave, price_of_bit, refit, unexplained
from assay.rules.index import N_BAGS, N_SLOTS, Index
from assay.rules.kernels import LISTS, NONE, NOTHING, PLACE, sum_bags
from assay.rules.pool import copy_rule, is_taken, room_of
from assay.rules.search import Settings, best_rule, rows_of, weigh
from assay.rules.sets import best_sets, paying

APART = 0.5  # a ridge just large enough to keep equal rules apart


@jit()
def add_rule(index: Any, chosen: Any, k: int, settings: Any) -> bool:
    """Find the rule that explains most of what the first k leave, and take it in as the next; is there one?"""
    base = refit(chosen, k, APART)
    unexplained(index, chosen, k, base, NONE, len(index.counts), NOTHING)
    bit = price_of_bit(chosen.residual, settings)
    found = best_rule(index, chosen.root, chosen.residual, bit, chosen.pool, k, settings, chosen.bench, chosen.rows[k])
    if found < 0:
        return False
    chosen.n_rows[k] = found
    enter(index, chosen, k + 1, k)
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
    bit = price_of_bit(back, settings)
    weigh(pool, place, total, float(chosen.n_rows[place]), bit, settings)
    section, room = pool.when[place, which, PLACE], room_of(pool, place) + pool.when[place, which, LISTS]
    first, last = index.starts[section], index.starts[section + 1]
    sums = chosen.root if pool.length[place] == 1 else chosen.beside
    if pool.length[place] == 1:
        unexplained(index, chosen, k, base, first, last, place)
    else:
        _sum_beside(index, chosen, place, which)
    price = bit * settings.string_bits
    candidates = bench.paying[: paying(sums, first, last, settings.support, price, bench.paying)]
    best_sets(
        candidates, sums, index.listable, room, settings.support, price, settings.shortlist, bench.found, bench.n_found
    )
    if _take_better(chosen, sums, k, place, which, bit, settings):
        leave(chosen, place)
        chosen.n_rows[place] = rows_of(index, pool, place, NOTHING, bench, chosen.rows[place])
        enter(index, chosen, k, place)


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
