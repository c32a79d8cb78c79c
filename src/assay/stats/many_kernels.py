"""Compiled loops over many units: per-document sums, their resamples, and Pearson's r of each.

The first column of the weights stands for the data as they are; see :func:`~assay.stats.many_layout.layout`.

Sums are in float64 throughout, each side first centred and scaled as in :mod:`assay.stats.correlation`. The weighted
sums of all resamples are a matrix product; it is written out here because the matrices of one unit (a dozen sums by
some hundred documents) are small, and stay in the cache together with what is made of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from assay.core.jit import jit

# Sums may be reordered; NaN and infinity keep their meaning.
_FAST = {"contract", "reassoc", "nsz"}
LANES = 4  # rows and documents at a time
_WIDTH = 256  # resamples at a time: the weights of 400 documents for them take 0.8 MB


@jit(inner=True, fastmath=_FAST, error_model="numpy")
def average(values: Any) -> float:
    """The mean in float64; not finite when a value is not."""
    total = 0.0
    for t in range(values.size):
        total += values[t]
    return total / values.size


@jit(inner=True, fastmath=_FAST, error_model="numpy")
def centre(values: Any) -> float:
    """Take the mean off in place, and return it."""
    mean = average(values)
    for t in range(values.size):
        values[t] -= mean
    return mean


@jit(inner=True, fastmath=_FAST, error_model="numpy")
def take(values: Any, order: Any, out: Any) -> None:
    """A row of values in float64, in another order where one is given."""
    if order.size:
        for t in range(out.size):
            out[t] = values[order[t]]
    else:
        for t in range(out.size):
            out[t] = values[t]


@jit(inner=True)
def largest(values: Any) -> Any:
    """The largest distance of float32 numbers from 0: their bits without the sign are in the same order."""
    bits, far = values.view(np.int32), np.empty(1, np.int32)
    most = np.int32(0)
    for t in range(bits.size):
        most = max(most, bits[t] & np.int32(0x7FFFFFFF))
    far[0] = most
    return far.view(np.float32)[0]


@jit(inner=True, fastmath=_FAST, error_model="numpy")
def clip(values: Any, sign: float, out: Any) -> None:
    """max(sign * value, 0), centred."""
    for t in range(values.size):
        out[t] = max(sign * values[t], 0.0)
    centre(out)


@jit(inner=True, fastmath=_FAST, error_model="numpy")
def leave_context(values: Any, columns: Any, means: Any, least: float, out: Any) -> None:
    """Values minus the mean of their token, centred; what is left of rounding alone (up to ``least``) is 0."""
    for t in range(values.size):
        rest = values[t] - means[columns[t]]
        out[t] = 0.0 if abs(rest) <= least else rest
    centre(out)


@jit(inner=True, fastmath=_FAST, error_model="numpy")
def own_means(values: Any, columns: Any, counts: Any, out: Any) -> None:
    """Mean value at each token id, unshrunk. ``counts``: how often each occurs."""
    overall = average(values)
    out[:] = 0.0
    for t in range(values.size):
        out[columns[t]] += values[t] - overall
    for k in range(out.size):
        out[k] = overall + out[k] / max(counts[k], 1.0)


@jit(inner=True, fastmath=_FAST, error_model="numpy")
def sum_pair(x: Any, y: Any, starts: Any, documents: Any, sums: Any) -> None:
    """Per document Σx, Σx², Σxy, Σy and Σy², into five rows."""
    for run in range(documents.size):
        p, q = x[starts[run] : starts[run + 1]], y[starts[run] : starts[run + 1]]
        sx, sxx, sxy, sy, syy = 0.0, 0.0, 0.0, 0.0, 0.0
        for t in range(p.size):
            sx += p[t]
            sxx += p[t] * p[t]
            sxy += p[t] * q[t]
            sy += q[t]
            syy += q[t] * q[t]
        d = documents[run]
        sums[0, d] += sx
        sums[1, d] += sxx
        sums[2, d] += sxy
        sums[3, d] += sy
        sums[4, d] += syy


@jit(inner=True, fastmath=_FAST, error_model="numpy")
def sum_null(x: Any, y: Any, starts: Any, documents: Any, sums: Any) -> None:
    """Per document Σx, Σx² and Σxy, into three rows: for what meets the same y as another."""
    for run in range(documents.size):
        p, q = x[starts[run] : starts[run + 1]], y[starts[run] : starts[run + 1]]
        sx, sxx, sxy = 0.0, 0.0, 0.0
        for t in range(p.size):
            sx += p[t]
            sxx += p[t] * p[t]
            sxy += p[t] * q[t]
        d = documents[run]
        sums[0, d] += sx
        sums[1, d] += sxx
        sums[2, d] += sxy


@jit(inner=True, fastmath=_FAST, error_model="numpy")
def resample(sums: Any, weights: Any, out: Any) -> None:
    """``sums @ weights``, four rows and four documents at a time: (k, d) by (d, b), both k and d multiples of four."""
    count, documents = sums.shape
    for b0 in range(0, weights.shape[1], _WIDTH):
        b1 = min(weights.shape[1], b0 + _WIDTH)
        for k in range(0, count, LANES):
            o0, o1, o2, o3 = out[k, b0:b1], out[k + 1, b0:b1], out[k + 2, b0:b1], out[k + 3, b0:b1]
            o0[:], o1[:], o2[:], o3[:] = 0.0, 0.0, 0.0, 0.0
            s0, s1, s2, s3 = sums[k], sums[k + 1], sums[k + 2], sums[k + 3]
            for d in range(0, documents, LANES):
                e, f, g = d + 1, d + 2, d + 3
                w0, w1, w2, w3 = weights[d, b0:b1], weights[e, b0:b1], weights[f, b0:b1], weights[g, b0:b1]
                a0, a1, a2, a3 = s0[d], s0[e], s0[f], s0[g]
                c0, c1, c2, c3 = s1[d], s1[e], s1[f], s1[g]
                x0, x1, x2, x3 = s2[d], s2[e], s2[f], s2[g]
                z0, z1, z2, z3 = s3[d], s3[e], s3[f], s3[g]
                for b in range(b1 - b0):
                    u0, u1, u2, u3 = w0[b], w1[b], w2[b], w3[b]
                    o0[b] += a0 * u0 + a1 * u1 + a2 * u2 + a3 * u3
                    o1[b] += c0 * u0 + c1 * u1 + c2 * u2 + c3 * u3
                    o2[b] += x0 * u0 + x1 * u1 + x2 * u2 + x3 * u3
                    o3[b] += z0 * u0 + z1 * u1 + z2 * u2 + z3 * u3


@jit(inner=True, fastmath=_FAST, error_model="numpy")
def pearson(n: Any, sums: Any, x: int, y: int, constant: float, out: Any) -> None:
    """r of each column of sums, from Σx, Σx², Σxy in rows from ``x`` and Σy, Σy² in rows from ``y``.

    A variance below the share ``constant`` of the second moment is rounding.
    """
    sx, sxx, sxy, sy, syy = sums[x], sums[x + 1], sums[x + 2], sums[y], sums[y + 1]
    for b in range(out.size):
        var_x, var_y = sxx[b] - sx[b] * sx[b] / n[b], syy[b] - sy[b] * sy[b] / n[b]
        r = (sxy[b] - sx[b] * sy[b] / n[b]) / np.sqrt(var_x * var_y)
        r = max(min(r, 1.0), -1.0) if var_x > constant * sxx[b] else 0.0
        out[b] = r if var_y > constant * syy[b] else np.nan


@jit(fastmath=_FAST, error_model="numpy")
def score_units(
    predicted: Any,
    activations: Any,
    rows: Any,
    order: Any,
    columns: Any,
    counts: Any,
    means: Any,
    predicted_means: Any,
    rounding: float,
    constant: float,
    starts: Any,
    documents: Any,
    weights: Any,
    tokens: Any,
    first: int,
    skip: int,
    drawn: Any,
    out: Any,
    finite: Any,
) -> None:
    """r, r_pos, r_neg and r_context of the units from ``first``, in each resample: (4, units, b).

    ``skip`` of these measures are left alone. ``drawn`` is room for 20 rows of sums. ``order``, ``columns`` and
    ``predicted_means`` may be empty.
    """
    n = activations.shape[1]
    p, a, x, y = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    token_means = np.empty(counts.size)
    sums = np.zeros((20, weights.shape[0]))
    for i in range(out.shape[1]):
        unit = first + i
        take(predicted[rows[unit]], order, p)
        take(activations[unit], order[:0], a)
        finite[i] = np.isfinite(average(p)) and np.isfinite(average(a))
        sums[:] = 0.0
        for measure in range(skip, 4):
            if measure == 0:
                x[:], y[:] = p, a
                centre(x)
                centre(y)
            elif measure < 3:
                clip(p, 3.0 - 2.0 * measure, x)
                clip(a, 3.0 - 2.0 * measure, y)
            elif columns.size:
                if predicted_means.size:
                    token_means[:] = predicted_means[unit]
                else:
                    own_means(p, columns, counts, token_means)
                leave_context(p, columns, token_means, rounding * largest(predicted[rows[unit]]), x)
                leave_context(a, columns, means[unit], rounding * largest(activations[unit]), y)
            else:
                break
            sum_pair(x, y, starts, documents, sums[5 * measure : 5 * measure + 5])
        lowest = 5 * skip // LANES * LANES
        resample(sums[lowest:], weights, drawn[lowest:])
        for measure in range(skip, 4):
            pearson(tokens, drawn, 5 * measure, 5 * measure + 3, constant, out[measure, i])


@jit(fastmath=_FAST, error_model="numpy")
def check_units(
    predicted: Any,
    activations: Any,
    other: Any,
    rows: Any,
    other_rows: Any,
    order: Any,
    constant: float,
    starts: Any,
    documents: Any,
    weights: Any,
    tokens: Any,
    first: int,
    drawn: Any,
    out: Any,
    finite: Any,
) -> None:
    """r of each claim, of the claim shuffled, of the other unit, and d, in each resample: (4, units, b).

    d is r minus the largest of these two and 0. Without ``other_rows`` the other unit's r is 0. ``drawn`` is room
    for 12 rows of sums.
    """
    n = activations.shape[1]
    x, y, shuffled = np.empty(n), np.empty(n), np.empty(n)
    sums = np.zeros((12, weights.shape[0]))
    for i in range(out.shape[1]):
        unit = first + i
        sums[:] = 0.0
        take(activations[unit], order[:0], y)
        take(predicted[rows[unit]], order[:0], x)
        finite[i] = np.isfinite(centre(x)) and np.isfinite(centre(y))
        sum_pair(x, y, starts, documents, sums)
        take(x, order, shuffled)
        sum_null(shuffled, y, starts, documents, sums[5:])
        if other_rows.size:
            take(other[other_rows[unit]], order[:0], x)
            finite[i] = np.isfinite(centre(x)) and finite[i]
            sum_null(x, y, starts, documents, sums[8:])
        resample(sums, weights, drawn)
        r, shuffled_r, other_r, d = out[0, i], out[1, i], out[2, i], out[3, i]
        pearson(tokens, drawn, 0, 3, constant, r)
        pearson(tokens, drawn, 5, 3, constant, shuffled_r)
        pearson(tokens, drawn, 8, 3, constant, other_r)
        for b in range(r.size):
            d[b] = r[b] - max(max(shuffled_r[b], other_r[b]), 0.0)


@jit(fastmath=_FAST, error_model="numpy")
def deviations(replicates: Any, out: Any) -> None:
    """Standard deviation (ddof 1) of the replicates that are not NaN, by row; 0 when they are all equal."""
    for i in range(replicates.shape[0]):
        count, mean, low, high = 0, 0.0, np.inf, -np.inf
        for k in range(replicates.shape[1]):
            value = replicates[i, k]
            if not np.isnan(value):
                count += 1
                mean += value
                low, high = min(low, value), max(high, value)
        mean /= max(count, 1)
        squares = 0.0
        for k in range(replicates.shape[1]):
            value = replicates[i, k]
            if not np.isnan(value):
                squares += (value - mean) ** 2
        out[i] = np.sqrt(squares / (count - 1)) if high > low else 0.0


@jit(fastmath=_FAST, error_model="numpy")
def plain_r(
    predicted: Any, activations: Any, rows: Any, constant: float, first: int, last: int, values: Any, finite: Any
) -> None:
    """r of the units from ``first`` to ``last``, over all tokens."""
    sums, size = np.zeros((5, 1)), np.full(1, float(activations.shape[1]))
    for unit in range(first, last):
        p, q = predicted[rows[unit]], activations[unit]
        mean_p, mean_q = average(p), average(q)
        finite[unit] = np.isfinite(mean_p) and np.isfinite(mean_q)
        sx, sxx, sxy, sy, syy = 0.0, 0.0, 0.0, 0.0, 0.0
        for t in range(p.size):
            x, y = p[t] - mean_p, q[t] - mean_q
            sx += x
            sxx += x * x
            sxy += x * y
            sy += y
            syy += y * y
        sums[0, 0], sums[1, 0], sums[2, 0], sums[3, 0], sums[4, 0] = sx, sxx, sxy, sy, syy
        pearson(size, sums, 0, 3, constant, values[unit : unit + 1])
