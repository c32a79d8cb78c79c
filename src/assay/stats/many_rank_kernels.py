"""Compiled loops of the ranks: standardised rows in float32, and products of pairs of them in float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from assay.core.jit import jit

# Sums may be reordered; NaN and infinity keep their meaning.
_FAST = {"contract", "reassoc", "nsz"}


@jit(fastmath=_FAST, error_model="numpy")
def unit_lines(values: Any, constant: float, first: int, last: int, means: Any, scales: Any, finite: Any) -> None:
    """Mean of each row, and what brings it to length 1 once centred: 0 where its variance is rounding."""
    for unit in range(first, last):
        row = values[unit]
        total, second, squares = 0.0, 0.0, 0.0
        for t in range(row.size):
            total += row[t]
            second += float(row[t]) * float(row[t])
        mean = total / row.size
        for t in range(row.size):
            squares += (row[t] - mean) ** 2
        means[unit], finite[unit] = mean, np.isfinite(mean)
        scales[unit] = 1.0 / np.sqrt(squares) if squares > constant * second else 0.0


@jit(fastmath=_FAST, error_model="numpy")
def fill_block(values: Any, means: Any, scales: Any, t0: int, first: int, last: int, out: Any) -> None:
    """Standardised values of the tokens from ``t0``."""
    for unit in range(first, last):
        mean, scale, row, block = means[unit], scales[unit], values[unit], out[unit]
        for t in range(block.size):
            block[t] = (row[t0 + t] - mean) * scale


@jit(fastmath=_FAST, error_model="numpy")
def fill_groups(values: Any, means: Any, scales: Any, groups: Any, first: int, last: int, out: Any) -> None:
    """Standardised values, added up over the tokens of each group."""
    sums = np.empty(out.shape[1])
    for unit in range(first, last):
        mean, scale, row = means[unit], scales[unit], values[unit]
        sums[:] = 0.0
        for t in range(row.size):
            sums[groups[t]] += row[t] - mean
        for k in range(sums.size):
            out[unit, k] = sums[k] * scale


@jit(error_model="numpy")
def fill_shared(
    values: Any, means: Any, scales: Any, groups: Any, examples: Any, first: int, last: int, out: Any, shared: Any
) -> None:
    """Standardised value of each group's example; whether all tokens of each group have their example's value."""
    for unit in range(first, last):
        mean, scale, row = means[unit], scales[unit], values[unit]
        same = True
        for t in range(row.size):
            same = same and row[t] == row[examples[groups[t]]]
        shared[unit] = same
        for k in range(examples.size):
            out[unit, k] = (row[examples[k]] - mean) * scale


@jit(fastmath=_FAST, error_model="numpy")
def exact_products(
    x: Any, mean_x: Any, scale_x: Any, y: Any, mean_y: Any, scale_y: Any, pairs: Any, first: int, last: int, out: Any
) -> None:
    """r of pairs of rows in float64, tokens always in the same order: equal rows give equal numbers."""
    for k in range(first, last):
        i, j = pairs[0, k], pairs[1, k]
        product = 0.0
        for t in range(x.shape[1]):
            product += (x[i, t] - mean_x[i]) * (y[j, t] - mean_y[j])
        out[k] = product * scale_x[i] * scale_y[j]
