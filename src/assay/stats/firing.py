"""Scores of firing as yes or no: F1 at a threshold, and the area under the precision-recall curve."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.stats.bootstrap import Estimate, document_sums

MAX_BINS = 64


def f1_score(counts: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch"]:
    """F1 from counts of true positives, false positives and false negatives. NaN where nothing fires."""
    tp, fp, fn = np.moveaxis(counts, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(tp + fn > 0, 2 * tp / (2 * tp + fp + fn), np.nan))


def f1(
    says: Bool[np.ndarray, " n"],
    fires: Bool[np.ndarray, " n"],
    index: Int[np.ndarray, " n"],
    weights: Float[np.ndarray, "b d"],
) -> Estimate:
    """F1 of the firings that a prediction ``says`` against those that are, with its bootstrap over documents."""
    counts = document_sums([says & fires, says & ~fires, ~says & fires], index, weights.shape[1])
    return Estimate(float(f1_score(counts.sum(axis=0))), f1_score(weights @ counts))


def bin_borders(predicted: Float[np.ndarray, " n"], fires: Bool[np.ndarray, " n"]) -> Float[np.ndarray, " k"]:
    """The lowest prediction of each score bin, highest bin first, at most 64; equal predictions share a bin.

    The borders are quantiles of the predictions *where the unit fires*: average precision takes its steps there and
    nowhere else, so that up to 64 distinct predictions at firings lose nothing. At a firing rate of 1 %, quantiles
    over all tokens would put every firing of a good prediction into one bin.
    """
    descending = np.sort(predicted[fires].astype(np.float64))[::-1]
    if np.unique(descending).size > MAX_BINS:
        last = np.ceil(descending.size * np.arange(1, MAX_BINS + 1) / MAX_BINS).astype(np.int64) - 1
        descending = descending[last]
    return np.unique(descending)[::-1]


def average_precision(
    positives: Float[np.ndarray, "*batch k"], totals: Float[np.ndarray, "*batch k"]
) -> Float[np.ndarray, "*batch"]:
    """AUPRC as average precision, Σ (R_k - R_{k-1}) P_k, from counts per bin, highest bin first.

    The step-wise sum, not the trapezium, which is too kind (Davis and Goadrich 2006). NaN where nothing fires.
    """
    tp, seen = positives.cumsum(axis=-1), totals.cumsum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(seen > 0, tp / seen, 0.0)
        return np.asarray((positives * precision).sum(axis=-1) / tp[..., -1])


def auprc(
    predicted: Float[np.ndarray, " n"],
    fires: Bool[np.ndarray, " n"],
    index: Int[np.ndarray, " n"],
    weights: Float[np.ndarray, "b d"],
) -> Estimate:
    """Average precision of a prediction at ranking the firings first, with its bootstrap over documents.

    Exact, in every resample, for up to 64 distinct predictions; otherwise a step function of 64 thresholds. A
    constant prediction gets the firing rate. NaN where nothing fires.
    """
    documents, borders = weights.shape[1], bin_borders(predicted, fires)
    if borders.size == 0:
        return Estimate(float("nan"), np.full(weights.shape[0], np.nan))
    bins = np.searchsorted(-borders, -predicted.astype(np.float64))
    above = bins < borders.size  # predictions below every firing's take no step
    cell, shape = index[above] * borders.size + bins[above], (documents, borders.size)
    totals = np.bincount(cell, minlength=documents * borders.size).reshape(shape).astype(np.float64)
    positives = np.bincount(cell, weights=fires[above], minlength=documents * borders.size).reshape(shape)
    value = average_precision(positives.sum(axis=0), totals.sum(axis=0))
    return Estimate(float(value), average_precision(weights @ positives, weights @ totals))


def best_threshold(predicted: Float[np.ndarray, " n"], fires: Bool[np.ndarray, " n"]) -> float | None:
    """The threshold above which to say "fires" so that F1 is largest; of equals the highest.

    Thresholds lie midway between neighbouring predictions, so that rounding on disk moves no token across. None when
    nothing fires: there is nothing to choose by. To be called on the choose split, never on the test split.
    """
    if not fires.any():
        return None
    values, rank = np.unique(predicted.astype(np.float64), return_inverse=True)
    said = np.bincount(rank.reshape(-1))[::-1].cumsum()
    hits = np.bincount(rank.reshape(-1), weights=fires)[::-1].cumsum()
    best = int(np.argmax(2 * hits / (said + fires.sum())))
    lowest_said = values.size - 1 - best
    upper = float(values[lowest_said])
    lower = float(values[lowest_said - 1]) if lowest_said else upper - 2.0  # everything fires: any lower number does
    return min(lower + (upper - lower) / 2, float(np.nextafter(upper, -np.inf)))
