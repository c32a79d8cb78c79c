"""Compiled loops over the activations of many units alone: what they rest on, and their means by token."""

from __future__ import annotations

from typing import Any

import numpy as np

from assay.core.jit import jit

# Sums may be reordered; NaN and infinity keep their meaning.
_FAST = {"contract", "reassoc", "nsz"}


@jit(fastmath=_FAST, error_model="numpy")
def look_at_activations(
    activations: Any,
    fire_above: Any,
    starts: Any,
    documents: Any,
    first: int,
    last: int,
    constant: Any,
    finite: Any,
    held: Any,
    firings: Any,
) -> None:
    """Per unit whether it is constant; per unit and document Σ (a - mean)² and the tokens above the unit's level."""
    for unit in range(first, last):
        a, level, total, same = activations[unit], fire_above[unit], 0.0, True
        for t in range(a.size):
            total += a[t]
            same &= a[t] == a[0]
        mean = total / a.size
        constant[unit], finite[unit] = same, np.isfinite(mean)
        held[unit], firings[unit] = 0.0, 0
        for run in range(documents.size):
            squares, count = 0.0, 0
            for value in a[starts[run] : starts[run + 1]]:
                squares += (value - mean) ** 2
                count += value > level
            held[unit, documents[run]] += squares
            firings[unit, documents[run]] += count


@jit(fastmath=_FAST, error_model="numpy")
def mean_by_token(values: Any, columns: Any, counts: Any, pseudo_count: float, first: int, last: int, out: Any) -> None:
    """Mean of each unit at each token id, drawn towards its mean over all; the last column is thrown away."""
    sums = np.empty(counts.size)
    for unit in range(first, last):
        row, overall = values[unit], 0.0
        for t in range(row.size):
            overall += row[t]
        overall /= row.size
        sums[:] = 0.0
        for t in range(row.size):
            sums[columns[t]] += row[t] - overall
        for k in range(out.shape[1]):
            out[unit, k] = overall + sums[k] / max(counts[k] + pseudo_count, 1.0)


@jit(error_model="numpy")
def highest(values: Any, count: int, room: Any) -> Any:
    """At least ``count`` of the highest values, in no order; all where a look at some did not find where they begin.

    ``room`` is for a number more than there are values.
    """
    some = np.sort(values[:: max(values.size // 2048, 1)])
    level = some[max(some.size - 1 - count * some.size * 5 // (4 * values.size) - 16, 0)]
    size = 0
    for value in values:
        room[size] = value
        size += value >= level
    if size < count:
        room[: values.size] = values
        size = values.size
    return room[:size]
