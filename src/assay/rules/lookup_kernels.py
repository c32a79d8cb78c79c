"""Loops that fit lookups of many units. Compiled on first use."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.core.jit import jit

PRIOR = 2.0


class Groups(NamedTuple):
    """The n tokens of a view by their text, t kinds, and by their pair of texts, p kinds.

    The pairs with one second text lie together, from ``start`` of that text on. ``token``, ``pair``: (n,) the kinds.
    ``counts``: (t,) and ``pair_counts``: (p,) tokens of each kind. ``second``: (p,) the pair's token. ``known``: (p,)
    has it text on either side? ``rank``: (p,) which of equally good pairs comes first.
    """

    token: NDArray[np.int32]
    pair: NDArray[np.int32]
    counts: NDArray[np.float64]
    pair_counts: NDArray[np.float64]
    start: NDArray[np.int64]
    second: NDArray[np.int32]
    known: NDArray[np.uint8]
    rank: NDArray[np.int64]


class Estimates(NamedTuple):
    """What is known of one unit: sums, shrunk means and gains by token, sums and shrunk means by pair.

    ``over_base``, ``over_token``: what a pair's entry removes without its token's entry, and with it. ``best``: (t,)
    the best pair of each token, ``best_gain`` its gain. The rest is scratch of the choice.
    """

    sums: NDArray[np.float64]
    means: NDArray[np.float64]
    gains: NDArray[np.float64]
    pair_sums: NDArray[np.float64]
    values: NDArray[np.float64]
    over_base: NDArray[np.float64]
    over_token: NDArray[np.float64]
    best: NDArray[np.int64]
    best_gain: NDArray[np.float64]
    counts: NDArray[np.float64]
    listed: NDArray[np.uint8]
    taken: NDArray[np.uint8]


@jit(inner=True)
def gain(total: float, count: float, value: float) -> float:
    """Squared error removed by predicting a value for so many tokens with this residual sum."""
    return 2 * value * total - value * value * count


@jit(inner=True)
def estimate_tokens(groups: Any, target: Any, base: float, unit: Any) -> None:
    """Sums, shrunk means and gains of every token."""
    for token in range(len(unit.sums)):
        unit.sums[token] = 0.0
    for row in range(len(target)):
        unit.sums[groups.token[row]] += target[row] - base
    for token in range(len(unit.sums)):
        total, count = unit.sums[token], groups.counts[token]
        unit.means[token] = total / (count + PRIOR)
        unit.gains[token] = gain(total, count, unit.means[token])
    unit.gains[0] = 0.0  # a token without text can't be looked up


@jit(inner=True)
def insert(items: Any, worth: Any, ranks: Any, size: int, item: int, own: float, rank: int) -> int:
    """Put an item into a list that is sorted by worth, of equals that of lower rank first; its new size."""
    most = len(items)
    if most == 0 or (size == most and (own < worth[-1] or (own == worth[-1] and rank > ranks[-1]))):
        return size
    at = size if size < most else most - 1
    while at > 0 and (worth[at - 1] < own or (worth[at - 1] == own and ranks[at - 1] > rank)):
        items[at], worth[at], ranks[at] = items[at - 1], worth[at - 1], ranks[at - 1]
        at -= 1
    items[at], worth[at], ranks[at] = item, own, rank
    return min(size + 1, most)


@jit(inner=True)
def best_tokens(gains: Any, picks: Any) -> int:
    """The tokens that gain most, as many as ``picks`` holds, best first; how many."""
    worth, ranks, size = np.empty(len(picks)), np.empty(len(picks), np.int64), 0
    for token in range(len(gains)):
        if gains[token] > 0:
            size = insert(picks, worth, ranks, size, token, gains[token], token)
    return size


@jit()
def fit_tokens(groups: Any, targets: Any, bases: Any, unit: Any, picks: Any, means: Any, sizes: Any) -> None:
    """Tables of tokens: as many entries a unit as ``sizes`` (b,) says or fewer, into ``picks`` and ``means`` (b, most).

    ``sizes`` says afterwards how many they are.
    """
    for i in range(len(targets)):
        estimate_tokens(groups, targets[i], bases[i], unit)
        sizes[i] = best_tokens(unit.gains, picks[i, : sizes[i]])
        for at in range(sizes[i]):
            means[i, at] = unit.means[picks[i, at]]
