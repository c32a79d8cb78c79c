"""Compiled loops of what is settled on the choose split: lines and thresholds."""

from __future__ import annotations

from typing import Any

import numpy as np

from assay.core.jit import jit

# Sums may be reordered; NaN and infinity keep their meaning.
_FAST = {"contract", "reassoc", "nsz"}


@jit(fastmath=_FAST, error_model="numpy")
def fit_lines(
    predicted: Any, activations: Any, rows: Any, least_slope: float, first: int, last: int, lines: Any, finite: Any
) -> None:
    """Least squares from prediction to activation: slopes and intercepts into two rows."""
    n = activations.shape[1]
    for unit in range(first, last):
        p, a = predicted[rows[unit]], activations[unit]
        sum_p, sum_a, constant = 0.0, 0.0, True
        for t in range(n):
            sum_p += p[t]
            sum_a += a[t]
            constant &= p[t] == p[0]
        mean_p, mean_a = sum_p / n, sum_a / n
        finite[unit] = np.isfinite(mean_p) and np.isfinite(mean_a)
        spp, spa, saa = 0.0, 0.0, 0.0
        for t in range(n):
            x, y = p[t] - mean_p, a[t] - mean_a
            spp += x * x
            spa += x * y
            saa += y * y
        slope = 0.0 if constant else max(spa / spp, least_slope * np.sqrt(saa / spp))
        lines[0, unit] = slope
        lines[1, unit] = mean_a - slope * mean_p


@jit(error_model="numpy")
def apply_lines(predicted: Any, rows: Any, slopes: Any, intercepts: Any, first: int, last: int, out: Any) -> None:
    """``intercept + slope * prediction``, rounded to the type of ``out``."""
    for unit in range(first, last):
        slope, intercept, row = slopes[unit], intercepts[unit], predicted[rows[unit]]
        for t in range(row.size):
            out[unit, t] = intercept + slope * row[t]


@jit(inner=True, error_model="numpy")
def bin_of(value: float, borders: Any) -> int:
    """The first of the descending borders that is not above the value; there is one. Without a branch to guess."""
    low, left = 0, borders.size
    while left > 1:
        half = left // 2
        low += half * (borders[low + half - 1] > value)
        left -= half
    return low


@jit(inner=True, error_model="numpy")
def highest_below(values: Any, limit: float) -> float:
    """The largest value below a limit, minus infinity when there is none; in eight lanes."""
    lanes = np.full(8, -np.inf)
    for t0 in range(0, values.size - 7, 8):
        for k in range(8):
            value = values[t0 + k] if values[t0 + k] < limit else -np.inf
            lanes[k] = value if value > lanes[k] else lanes[k]
    for value in values[values.size // 8 * 8 :]:
        if lanes[0] < value < limit:
            lanes[0] = value
    return lanes.max()


@jit(inner=True, error_model="numpy")
def most_common(values: Any) -> float:
    """The commonest of some of the values."""
    some = np.sort(values[:: max(values.size // 256, 1)])
    common, longest, length = some[0], 0, 0
    for k in range(some.size):
        length = length + 1 if k and some[k] == some[k - 1] else 1
        if length > longest:
            common, longest = some[k], length
    return common


@jit(inner=True, error_model="numpy")
def best_border(values: Any, fired: Any, others: Any, said: Any) -> float:
    """The lowest prediction that should still say "fires", from all predictions and those at firings.

    It is one at which something fires: any other says "fires" at a token more, and hits nothing with it. Tokens with
    the commonest prediction are counted apart. ``others`` and ``said`` have room for a number more than there are
    tokens.
    """
    hits, borders = np.sort(fired)[::-1], np.unique(fired)[::-1]
    common, lowest, size, commons = most_common(values), borders[-1], 0, 0
    for value in values:
        others[size] = value
        size += (value != common) & (value >= lowest)
        commons += value == common
    said[: borders.size] = 0
    for value in others[:size]:
        said[bin_of(value, borders)] += 1
    if common >= lowest:
        said[bin_of(common, borders)] += commons
    best, most, count, hit = borders[0], -1.0, 0, 0
    for k in range(borders.size):
        count += said[k]
        while hit < hits.size and hits[hit] >= borders[k]:
            hit += 1
        f1 = 2 * hit / (count + hits.size)
        if f1 > most:
            best, most = borders[k], f1
    return best


@jit(error_model="numpy")
def choose_thresholds(
    predicted: Any,
    activations: Any,
    rows: Any,
    fire_above: Any,
    slopes: Any,
    intercepts: Any,
    first: int,
    last: int,
    out: Any,
) -> None:
    """The threshold with the largest F1 for each unit from ``first``; NaN where nothing fires."""
    n = activations.shape[1]
    values, fired, others, said = np.empty(n), np.empty(n + 1), np.empty(n + 1), np.empty(n + 1, np.int64)
    for unit in range(first, last):
        p, a, level, firings = predicted[rows[unit]], activations[unit], fire_above[unit], 0
        for t in range(n):
            values[t] = intercepts[unit] + slopes[unit] * p[t]
        for t in range(n):
            fired[firings] = values[t]
            firings += a[t] > level
        if firings == 0:
            out[unit] = np.nan
            continue
        border = best_border(values, fired[:firings], others, said)
        below = highest_below(values, border)
        below = border - 2.0 if np.isinf(below) else below
        out[unit] = min(below + (border - below) / 2, np.nextafter(border, -np.inf))
