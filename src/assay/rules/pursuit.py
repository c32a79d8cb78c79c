"""Orthogonal matching pursuit of one unit: rule by rule, then the list of one rule after another once more.

The tokens are gone through once, and then only those at which something under consideration holds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.core.jit import jit
from assay.rules.chosen import (
    Chosen,
    count,
    enter,
    price_of_bit,
    refit,
    subtract,
    sum_left,
    unexplained,
    unexplained_of,
)
from assay.rules.index import N_BAGS, N_SLOTS, Index
from assay.rules.kernels import LISTS, NOTHING, PLACE, rows_in, sum_bags
from assay.rules.pool import copy_rule, is_taken, room_of
from assay.rules.search import Settings, best_rule, mask_of, weigh
from assay.rules.sets import best_sets, paying

APART = 0.5  # a ridge just large enough to keep equal rules apart


@jit()
def add_rule(index: Any, chosen: Any, k: int, settings: Any) -> bool:
    """Find the rule that explains most of what the first k leave, and take it in as the next; is there one?"""
    base = refit(chosen, k, APART)
    subtract(chosen, k, base, NOTHING)
    bit = price_of_bit(chosen, k, base, NOTHING, settings)
    unexplained(index, chosen, k, base, bit * settings.string_bits, settings.support)
    if not best_rule(index, chosen.root, chosen.residual, bit, chosen.pool, k, settings, chosen.bench):
        return False
    _place(index, chosen, k + 1, k)
    if k + 1 < len(chosen.gram):
        count(index, chosen, k)
    return True


@jit(inner=True)
def _place(index: Any, chosen: Any, k: int, place: int) -> None:
    """Find the tokens of a rule, and take it into the sums; there are k rules."""
    mask = chosen.masks[place]
    mask_of(index, chosen.pool, place, NOTHING, chosen.bench, mask)
    chosen.n_rows[place] = rows_in(mask, chosen.rows[place])
    enter(index, chosen, k, place)


@jit()
def relist(index: Any, chosen: Any, k: int, place: int, settings: Any) -> None:
    """Choose the strings of one rule's first list outside the bags again, given all other rules of k."""
    base, pool, bench = refit(chosen, k, settings.support), chosen.pool, chosen.bench
    which = _first_list(pool, place)
    if which < 0:
        return
    bit, total = price_of_bit(chosen, k, base, place, settings), sum_left(chosen, k, base, place, place)
    weigh(pool, place, total, float(chosen.n_rows[place]), bit, settings)
    section, room = pool.when[place, which, PLACE], room_of(pool, place) + pool.when[place, which, LISTS]
    first, last = index.starts[section], index.starts[section + 1]
    sums, price = chosen.root if pool.length[place] == 1 else chosen.beside, bit * settings.string_bits
    if pool.length[place] == 1:
        unexplained_of(index, chosen, k, base, section, place, price, settings.support)
    else:
        subtract(chosen, k, base, place)
        _sum_beside(index, chosen, place, which)
        own = sums[first:last]
        bench.n_paying[section] = paying(own[:, 0], own[:, 1], first, settings.support, price, bench.paying[section])
    candidates = bench.paying[section, : bench.n_paying[section]]
    best_sets(
        candidates, sums, index.listable, room, settings.support, price, settings.shortlist, bench.found, bench.n_found
    )
    if _take_better(chosen, sums, k, place, which, bit, settings):
        _place(index, chosen, k, place)


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
    mask_of(index, chosen.pool, place, which, chosen.bench, chosen.bench.mask)
    keys = index.keys[:, section]
    for row in chosen.spare[: rows_in(chosen.bench.mask, chosen.spare)]:
        key = keys[row]
        sums[key, 0] += chosen.residual[row]
        sums[key, 1] += 1.0


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
def begin(index: Any, named: Any, chosen: Any) -> None:
    """Sum the centred unit over every feature."""
    mean, start, classes = chosen.moments[0], chosen.start, index.starts[N_SLOTS + N_BAGS]
    columns = classes + N_SLOTS * index.n_classes
    for feature in range(columns):
        start[feature] = 0.0
    for i in range(len(named)):
        start[columns + i] = named[i] - mean * index.counts[columns + i]
    for row in range(len(chosen.y)):
        for slot in range(N_SLOTS):
            start[index.keys[row, slot]] += chosen.y[row]
    for slot, shift in index.class_slots:
        by_class = start[classes + slot * index.n_classes :]
        for key in range(index.starts[slot], index.starts[slot + 1]):
            for at in range(index.class_start[key + shift], index.class_start[key + shift + 1]):
                by_class[index.class_of[at]] += start[key]
    sum_bags(index, chosen.y, start[index.starts[N_SLOTS] : classes], chosen.before)


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
    mean = float(target.mean())
    np.subtract(target, mean, out=chosen.y)
    chosen.moments[:] = mean, chosen.y @ chosen.y
    begin(index, named, chosen)
    k = 0
    while k < rules and add_rule(index, chosen, k, settings):
        k += 1
    for place in [*range(k)] * sweeps:
        relist(index, chosen, k, place, settings)
    return k, refit(chosen, k, settings.support) + mean
