"""Where a unit stands among all units of its layer by r with its own prediction. Importing this imports numba."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32, Int, Integer

from assay.core.jit import spread
from assay.errors import UsageError
from assay.stats.correlation import CONSTANT
from assay.stats.many_layout import check_finite, check_rows, rows_together
from assay.stats.many_rank_kernels import exact_products, fill_block, fill_groups, fill_shared, unit_lines

BLOCK = 4096  # tokens at a time
NEAR = 1e-5  # float32 products of rows of length 1 are within this of the truth, with room to spare

_Rows = tuple[Float[np.ndarray, "u n"], Float[np.ndarray, " u"], Float[np.ndarray, " u"]]


def many_ranks(
    predicted: Float32[np.ndarray, "u n"],
    activations: Float32[np.ndarray, "u n"],
    *,
    groups: Integer[np.ndarray, " n"] | None = None,
    threads: int | None = None,
) -> Int[np.ndarray, " u"]:
    """The place of each unit, from 1, when all units are ordered by their r with its prediction.

    One more than the units whose r is higher; 0 where the prediction or the unit is constant, and r is not defined.
    The u x u products are taken in float32. Units whose r is then within 1e-5 of the own unit's are compared again in
    float64, so that rounding decides nothing; units with equal activations are never above each other.

    Args:
        predicted: (u, n) prediction of each unit.
        activations: (u, n) what the units did.
        groups: (n,) numbers from 0, the same for tokens on which no prediction differs: token ids where all predictions
            are lookups. Far fewer groups than tokens make it far faster.
        threads: as many as the machine has if None; the products take as many as the linear algebra library does.

    Raises:
        UsageError: shapes that don't fit, values that are NaN or infinite, predictions that differ within a group.
    """
    check_rows(predicted, activations, None)
    p = _lines("predicted", predicted, threads)
    a = _lines("activations", activations, threads)
    r = _products(p, a, threads) if groups is None else _grouped_products(p, a, groups, threads)
    own = r.diagonal().copy()
    live = a[2] > 0
    defined = live & (p[2] > 0)
    places = 1 + (r > own[:, None] + NEAR).sum(axis=1)
    near = (np.abs(r - own[:, None]) <= NEAR) & defined[:, None]
    np.fill_diagonal(near, False)
    pairs = np.stack(np.nonzero(near))
    here = np.repeat(np.flatnonzero(defined)[None], 2, axis=0)
    both = np.ascontiguousarray(np.concatenate([pairs, here], axis=1))
    exact = np.empty(both.shape[1])
    spread(lambda first, last: exact_products(*p, *a, both, first, last, exact), len(exact), threads)
    own_exact = np.zeros(len(own))
    own_exact[here[0]] = exact[pairs.shape[1] :]
    higher = exact[: pairs.shape[1]] > own_exact[pairs[0]]
    places += np.bincount(pairs[0][higher], minlength=len(own))
    return np.where(defined, places, 0)


def _lines(name: str, values: Float32[np.ndarray, "u n"], threads: int | None) -> _Rows:
    values, units = rows_together(values), len(values)
    means, scales, finite = np.empty(units), np.empty(units), np.empty(units, bool)
    spread(
        lambda first, last: unit_lines(values, CONSTANT, first, last, means, scales, finite),
        units,
        threads,
    )
    check_finite(name, finite)
    return values, means, scales


def _products(p: _Rows, a: _Rows, threads: int | None) -> Float32[np.ndarray, "u u"]:
    units, tokens = p[0].shape
    r = np.zeros((units, units), np.float32)
    for t0 in range(0, tokens, BLOCK):
        x, y = (np.empty((units, min(BLOCK, tokens - t0)), np.float32) for _ in range(2))
        for side, out in ((p, x), (a, y)):
            spread(
                lambda first, last, side=side, out=out, t0=t0: fill_block(*side, t0, first, last, out), units, threads
            )
        r += x @ y.T
    return r


def _grouped_products(
    p: _Rows, a: _Rows, groups: Integer[np.ndarray, " n"], threads: int | None
) -> Float32[np.ndarray, "u u"]:
    units, tokens = p[0].shape
    if groups.shape != (tokens,):
        raise UsageError(f"groups must be one number for each of {tokens} tokens; got shape {groups.shape}")
    names, examples, members = np.unique(groups, return_index=True, return_inverse=True)
    x, y = (np.empty((units, names.size), np.float32) for _ in range(2))
    same = np.empty(units, bool)
    spread(
        lambda first, last: fill_shared(*p, members, examples, first, last, x, same),
        units,
        threads,
    )
    if not same.all():
        raise UsageError(f"predictions of {int((~same).sum())} of {units} units differ within a group of tokens")
    spread(lambda first, last: fill_groups(*a, members, first, last, y), units, threads)
    return x @ y.T
