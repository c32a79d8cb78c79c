"""The best set of strings to give one common value: the inner problem of the search for rules."""

from __future__ import annotations

from typing import Any

import numpy as np

from assay.core.jit import jit

_QUANTILES = np.array([0.3, 0.5, 0.7, 0.8, 0.9, 0.97, 1.0])
_ROUNDS = 3
_STRETCH = 64  # strings that are looked at together: few stretches have one that pays
_NONE: Any = np.int64(0)  # not a literal: see the kernels


@jit()
def best_sets(
    candidates: Any,
    sums: Any,
    listable: Any,
    room: int,
    support: float,
    price: float,
    shortlist: int,
    found: Any,
    n_found: Any,
) -> None:
    """Per sign, the set of at most ``room`` strings that explains most with one common value; best string first.

    A set explains ``S**2 / (n + support * size) - price * size``, with S and n its residual sum and count. For a
    common value v a string is worth ``v * (2 * S - v * (n + support)) - price``, so that the best set for a given v
    is read off by picking the best: a grid of values is tried, and v fitted again to the set found. This is exact at
    the optimum, where v is the set's own mean; the grid makes it likely to get there, it does not prove it.

    Args:
        candidates: strings to look at.
        sums: (strings, 2) residual sum and count of every string.
        listable: (strings,) may a string be listed?
        support: pseudo-observations of zero for each string.
        price: squared error that listing one string must remove.
        shortlist: how many strings are looked at, those first that explain most alone.
        found, n_found: (2, room or more) and (2,): the set with a positive value, that with a negative one.
    """
    strings, gains = np.empty((2, shortlist), np.int64), np.empty((2, shortlist))
    n_found[0], n_found[1] = _NONE, _NONE
    for string in candidates:
        total, weight = sums[string, 0], sums[string, 1] + support
        if total * total > price * weight and listable[string]:
            side = 0 if total > 0 else 1
            n_found[side] = _insert(strings[side], gains[side], n_found[side], string, total * total / weight)
    s, w, pick = np.empty(shortlist), np.empty(shortlist), np.empty(room, np.int64)
    for side in range(2):
        count = n_found[side]
        for i in range(count):
            string = strings[side, i]
            s[i], w[i] = abs(sums[string, 0]), sums[string, 1] + support
        n_found[side] = _best_members(s[:count], w[:count], room, price, pick)
        for i in range(n_found[side]):
            found[side, i] = strings[side, pick[i]]


@jit(inner=True)
def paying(sums: Any, counts: Any, first: int, support: float, price: float, found: Any) -> int:
    """Strings that pay alone, into ``found``, numbered from ``first``; how many. A best set has no others.

    Args:
        sums, counts: (strings,) residual sum and count.
    """
    size = 0
    for low in range(0, len(sums), _STRETCH):
        own, n, some = sums[low : low + _STRETCH], counts[low : low + _STRETCH], 0
        for i in range(len(own)):
            some += own[i] * own[i] > price * (n[i] + support)
        for i in range(len(own) if some else 0):
            if own[i] * own[i] > price * (n[i] + support):
                found[size] = first + low + i
                size += 1
    return size


@jit(inner=True)
def _insert(items: Any, worth: Any, size: int, item: int, own: float) -> int:
    """Put an item into a list that is sorted by worth, the best first and the earlier of equals; its new size.

    A full list drops its last item, or does not take the new one.
    """
    most = len(items)
    if size == most and own <= worth[size - 1]:
        return size
    at = size if size < most else most - 1
    while at > 0 and worth[at - 1] < own:
        worth[at], items[at] = worth[at - 1], items[at - 1]
        at -= 1
    worth[at], items[at] = own, item
    return min(size + 1, most)


@jit(inner=True)
def _sorted_means(sums: Any, weights: Any) -> Any:
    means = np.empty(len(sums))
    for i in range(len(sums)):
        mean, at = sums[i] / weights[i], i
        while at > 0 and means[at - 1] > mean:
            means[at] = means[at - 1]
            at -= 1
        means[at] = mean
    return means


@jit(inner=True)
def _best_members(sums: Any, weights: Any, room: int, price: float, best: Any) -> int:
    """The members of the best set, into ``best``, those first that are worth most; how many they are."""
    pick, worth, means = np.empty(room, np.int64), np.empty(room), _sorted_means(sums, weights)
    best_gain, best_size = 0.0, 0
    for quantile in _QUANTILES[: len(_QUANTILES) * min(len(sums), 1)]:
        at = quantile * (len(means) - 1)
        low = int(at)
        high = min(low + 1, len(means) - 1)
        value = means[low] + (at - low) * (means[high] - means[low])
        for _ in range(_ROUNDS):
            size, total, weight = _NONE, 0.0, 0.0
            for i in range(len(sums)):
                own = value * (2 * sums[i] - value * weights[i]) - price
                if own > 0:
                    size = _insert(pick, worth, size, i, own)
            if size == 0:
                break
            for i in range(size):
                total += sums[pick[i]]
                weight += weights[pick[i]]
            gain, before = total * total / weight - price * size, value
            value = total / weight
            if gain > best_gain:
                best_gain, best_size = gain, size
                for i in range(size):
                    best[i] = pick[i]
            if value == before:
                break
    return best_size
