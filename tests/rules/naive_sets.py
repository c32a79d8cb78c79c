"""The best set of strings to give one common value: the inner problem of the search for rules."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

_QUANTILES = (0.3, 0.5, 0.7, 0.8, 0.9, 0.97, 1.0)
_ROUNDS = 3


def best_sets(
    sums: Float64[np.ndarray, " k"],
    counts: Float64[np.ndarray, " k"],
    *,
    room: int,
    support: float,
    price: float,
    shortlist: int,
) -> list[NDArray[np.intp]]:
    """Per sign, the set of at most ``room`` strings that explains most with one common value, best string first.

    A set explains ``S**2 / (n + support * size) - price * size``, with S and n its residual sum and count. For a
    common value v a string is worth ``v * (2 * S - v * (n + support)) - price``, so that the best set for a given v
    is read off by sorting: a grid of values is tried, and v fitted again to the set found. This is exact at the
    optimum, where v is the set's own mean; the grid makes it likely to get there, it does not prove it.

    Args:
        sums: residual sum of every string of a slot; entry 0, nothing, is never listed.
        counts: how often each occurs.
        support: pseudo-observations of zero for each string.
        price: squared error that listing one string must remove.
        shortlist: how many strings are looked at, those first that explain most alone.
    """
    found: list[NDArray[np.intp]] = []
    for sign in (1.0, -1.0):
        signed = sign * sums
        alone = np.where(signed > 0, signed**2 / (counts + support) - price, 0.0)
        alone[0] = 0
        paying = np.flatnonzero(alone > 0)
        short = paying[np.argsort(-alone[paying], kind="stable")[:shortlist]]
        if len(short):
            picked = _best_set(signed[short], counts[short] + support, room, price)
            if len(picked):
                found.append(short[picked])
    return found


def _best_set(
    sums: Float64[np.ndarray, " k"], weights: Float64[np.ndarray, " k"], room: int, price: float
) -> NDArray[np.intp]:
    best, best_gain = np.zeros(0, dtype=np.intp), 0.0
    for value in np.quantile(sums / weights, _QUANTILES):
        for _ in range(_ROUNDS):
            worth = value * (2 * sums - value * weights) - price
            pick = np.argsort(-worth, kind="stable")[:room]
            pick = pick[worth[pick] > 0]
            if not len(pick):
                break
            value = sums[pick].sum() / weights[pick].sum()
            gain = sums[pick].sum() ** 2 / weights[pick].sum() - price * len(pick)
            if gain > best_gain:
                best, best_gain = pick, float(gain)
    return best
