"""Compiled loops over many units: F1 and AUPRC with their resamples.

A unit fires on about one token in a hundred, so that counts per document and score bin are nearly all 0: only those
that are not are weighted.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from assay.core.jit import jit

WIDTH = 256  # resamples at a time
_BLOCK = 2048  # tokens at a time


@jit(inner=True, error_model="numpy")
def score_bins(predicted: Any, most: int) -> Any:
    """The lowest prediction of each score bin, highest first, so many at most, from the predictions at firings."""
    distinct = np.unique(predicted)[::-1]
    if distinct.size <= most:
        return distinct
    ascending = np.sort(predicted)
    borders = np.empty(most, predicted.dtype)
    for k in range(1, most + 1):
        borders[k - 1] = ascending[predicted.size + -predicted.size * k // most]
    return np.unique(borders)[::-1]


@jit(inner=True, fastmath={"contract", "reassoc", "nsz"}, error_model="numpy")
def add_weighted(counts: Any, where: Any, size: int, weights: Any, b0: int, b1: int, out: Any) -> None:
    """Add counts of some documents, weighted, to each resample from ``b0`` to ``b1``."""
    k = 0
    while k + 4 <= size:
        a0, a1, a2, a3 = counts[k], counts[k + 1], counts[k + 2], counts[k + 3]
        w0, w1 = weights[where[k], b0:b1], weights[where[k + 1], b0:b1]
        w2, w3 = weights[where[k + 2], b0:b1], weights[where[k + 3], b0:b1]
        for b in range(b1 - b0):
            out[b] += a0 * w0[b] + a1 * w1[b] + a2 * w2[b] + a3 * w3[b]
        k += 4
    while k < size:
        a0, w0 = counts[k], weights[where[k], b0:b1]
        for b in range(b1 - b0):
            out[b] += a0 * w0[b]
        k += 1


@jit(inner=True, error_model="numpy")
def squeeze(counts: Any, kept: Any, where: Any) -> int:
    """The counts that are not 0, and their documents. Both have a place more than there are documents."""
    size = 0
    for d in range(counts.size):
        kept[size], where[size] = counts[d], d
        size += counts[d] != 0
    return size


@jit(inner=True, error_model="numpy")
def average_precisions(
    positives: Any, totals: Any, bins: int, weights: Any, kept: Any, where: Any, room: Any, out: Any
) -> None:
    """Average precision in each resample, from counts per bin and document, highest bin first."""
    sizes = np.empty((2, bins), np.int64)
    for k in range(bins):
        sizes[0, k] = squeeze(positives[k], kept[0, k], where[0, k])
        sizes[1, k] = squeeze(totals[k], kept[1, k], where[1, k])
    hit, seen, found = room[0], room[1], room[2]
    area = np.empty(WIDTH)
    for b0 in range(0, out.size, WIDTH):
        b1 = min(out.size, b0 + WIDTH)
        seen[:], found[:], area[:] = 0, 0, 0.0
        for k in range(bins):
            hit[:] = 0
            add_weighted(kept[0, k], where[0, k], sizes[0, k], weights, b0, b1, hit)
            add_weighted(kept[1, k], where[1, k], sizes[1, k], weights, b0, b1, seen)
            for b in range(b1 - b0):
                found[b] += hit[b]
                area[b] += float(hit[b]) * (float(found[b]) / max(float(seen[b]), 1.0))
        for b in range(b1 - b0):
            out[b0 + b] = area[b] / float(found[b])


@jit(inner=True, error_model="numpy")
def f1_scores(counts: Any, weights: Any, kept: Any, where: Any, room: Any, out: Any) -> None:
    """F1 in each resample, from true positives, false positives and false negatives per document."""
    sizes = np.empty(3, np.int64)
    for k in range(3):
        sizes[k] = squeeze(counts[k], kept[0, k], where[0, k])
    for b0 in range(0, out.size, WIDTH):
        b1 = min(out.size, b0 + WIDTH)
        room[:] = 0
        for k in range(3):
            add_weighted(kept[0, k], where[0, k], sizes[k], weights, b0, b1, room[k])
        for b in range(b1 - b0):
            hit, false, missed = float(room[0, b]), float(room[1, b]), float(room[2, b])
            out[b0 + b] = 2 * hit / (2 * hit + false + missed) if hit + missed > 0 else np.nan


@jit(inner=True, error_model="numpy")
def find_bins(values: Any, borders: Any, out: Any) -> None:
    """For each value the number of borders above it: its bin, one too many when it is in none."""
    for t0 in range(0, values.size, _BLOCK):
        t1 = min(values.size, t0 + _BLOCK)
        block, bins = values[t0:t1], out[t0:t1]
        bins[:] = 0
        for k in range(borders.size):
            border = borders[k]
            for t in range(t1 - t0):
                bins[t] += block[t] < border


@jit(inner=True, error_model="numpy")
def count_by_bin(
    bins: Any,
    fired: Any,
    of_token: Any,
    starts: Any,
    documents: Any,
    count: int,
    others: Any,
    totals: Any,
    positives: Any,
) -> None:
    """Tokens and firings per bin and document; those in no bin have a row of their own after all bins.

    Most tokens are in one bin: no rule says anything of them. It is guessed from some, and counted by what the others
    leave of each document. ``others`` is room for a number more than there are tokens.
    """
    sample = np.zeros(count + 1, np.int64)
    for t in range(0, bins.size, 16):
        sample[bins[t]] += 1
    common, size = np.argmax(sample), 0
    for t in range(bins.size):
        others[size] = t
        size += bins[t] != common
    for run in range(documents.size):
        totals[common, documents[run]] += starts[run + 1] - starts[run]
    for t in others[:size]:
        totals[bins[t], of_token[t]] += 1
        totals[common, of_token[t]] -= 1
    for t in fired:
        positives[bins[t], of_token[t]] += 1


@jit(inner=True, error_model="numpy")
def find_firings(activations: Any, level: float, out: Any) -> int:
    """The tokens above a level; how many there are."""
    size = 0
    for t in range(activations.size):
        out[size] = t
        size += activations[t] > level
    return size


@jit(inner=True, error_model="numpy")
def count_said(values: Any, threshold: float, fired: Any, of_token: Any, others: Any, out: Any) -> None:
    """True positives, false positives and false negatives per document, into three rows."""
    out[:] = 0
    for t in others[: find_firings(values, threshold, others)]:
        out[1, of_token[t]] += 1
    for t in fired:
        if values[t] > threshold:
            out[0, of_token[t]] += 1
            out[1, of_token[t]] -= 1
        else:
            out[2, of_token[t]] += 1


@jit(error_model="numpy")
def score_firing(
    predicted: Any,
    activations: Any,
    rows: Any,
    order: Any,
    fire_above: Any,
    thresholds: Any,
    most_bins: int,
    of_token: Any,
    starts: Any,
    documents: Any,
    weights: Any,
    first: int,
    room: Any,
    out: Any,
) -> None:
    """F1 and AUPRC of the units from ``first``, in each resample: (2, units, b).

    ``room`` is for three rows of ``WIDTH`` counts.
    """
    n, d = activations.shape[1], weights.shape[0]
    p, bins, tokens = np.empty(n, predicted.dtype), np.empty(n, np.int32), np.empty((2, n + 1), np.int64)
    counts, totals = np.zeros((3, d), weights.dtype), np.zeros((most_bins + 1, d), weights.dtype)
    positives = np.zeros((most_bins + 1, d), weights.dtype)
    kept, where = np.empty((2, most_bins, d + 1), weights.dtype), np.empty((2, most_bins, d + 1), np.int64)
    out[:] = np.nan
    for i in range(out.shape[1]):
        unit = first + i
        row = predicted[rows[unit]]
        fired = tokens[0, : find_firings(activations[unit], fire_above[unit], tokens[0])]
        if fired.size == 0:
            continue
        if order.size:
            for t in range(n):
                p[t] = row[order[t]]
        else:
            p[:] = row
        borders = score_bins(p[fired], most_bins)
        count = borders.size
        find_bins(p, borders, bins)
        totals[: count + 1], positives[: count + 1] = 0, 0
        count_by_bin(bins, fired, of_token, starts, documents, count, tokens[1], totals, positives)
        average_precisions(positives, totals, count, weights, kept, where, room, out[1, i])
        if not np.isnan(thresholds[unit]):
            count_said(p, thresholds[unit], fired, of_token, tokens[1], counts)
            f1_scores(counts, weights, kept, where, room, out[0, i])
