"""The rules of one unit that are chosen so far: their values, what they leave, how often each feature holds in them.

Sums of the residual over every feature follow from those of the unit and from how often each feature holds where each
rule does (batch OMP: Rubinstein, Zibulevsky, Elad 2008).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.core.jit import jit
from assay.rules.index import Index
from assay.rules.kernels import count_features
from assay.rules.pool import Pool, new_pool
from assay.rules.search import Bench, Settings, new_bench

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
def price_of_bit(residual: Any, settings: Any) -> float:
    """The squared error that one bit of description must remove."""
    total, squares = 0.0, 0.0
    for value in residual:
        total += value
        squares += value * value
    n = len(residual)
    return settings.price * _LN4 * (squares - total * total / n) / n


@jit(inner=True)
def enter(index: Any, chosen: Any, k: int, place: int) -> None:
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
def leave(chosen: Any, place: int) -> None:
    bit = ~(np.uint64(1) << np.uint64(place))
    for row in chosen.rows[place, : chosen.n_rows[place]]:
        chosen.cover[row] &= bit


@jit(inner=True)
def unexplained(index: Any, chosen: Any, k: int, base: float, low: int, high: int, left_out: int) -> None:
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
