"""Every prediction score of many units at once: what :func:`assay.stats.score.score` gives for each of them.

For a layer of units on the same tokens. It has the same definitions, the same resamples of the documents and the same
intervals, and is tested against it; only the loops are compiled. Importing this module imports numba.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int, Integer
from numpy.typing import NDArray

from assay.core.jit import spread
from assay.errors import UsageError
from assay.stats.context import ROUNDING
from assay.stats.correlation import CONSTANT
from assay.stats.firing import MAX_BINS
from assay.stats.many_firing_kernels import WIDTH, score_firing
from assay.stats.many_kernels import plain_r, score_units
from assay.stats.many_layout import aligned, check_finite, check_rows, layout, one_a_unit, rows_together
from assay.stats.undecided import MIN_DOCUMENTS

_Places = NDArray[np.int64]
_Values = NDArray[np.float64]


class Many(NamedTuple):
    """A score of each of u units, with its interval. NaN where it is not defined, or the data carry no interval."""

    value: Float[np.ndarray, " u"]
    lo: Float[np.ndarray, " u"]
    hi: Float[np.ndarray, " u"]


class ManyScores(NamedTuple):
    """The scores of :class:`~assay.stats.score.Scores`, of many units."""

    r: Many
    r_pos: Many
    r_neg: Many
    r_context: Many
    f1: Many
    auprc: Many


class Context(NamedTuple):
    """What ``r_context`` takes off: the mean at each token id, from the fit split.

    ``columns`` (n,): for each token the column of its id; number the ids that occur
    (``np.unique(ids, return_inverse=True)``) rather than the vocabulary. ``means`` (u, k): of the activations, shrunk;
    ``predicted_means`` (u, k): of each unit's predictions, unshrunk, None to take them from the predictions that are
    scored. :func:`~assay.stats.many_means.many_token_means` gives both.
    """

    columns: Integer[np.ndarray, " n"]
    means: Float[np.ndarray, "u k"]
    predicted_means: Float[np.ndarray, "u k"] | None = None


def many_scores(
    predicted: Float32[np.ndarray, "m n"],
    activations: Float32[np.ndarray, "u n"],
    of_token: Int[np.ndarray, " n"],
    weights: Float[np.ndarray, "b d"],
    fire_above: Float[np.ndarray, " u"],
    *,
    thresholds: Float[np.ndarray, " u"] | None = None,
    context: Context | None = None,
    rows: Int[np.ndarray, " u"] | None = None,
    order: Int[np.ndarray, " n"] | None = None,
    r: Many | None = None,
    level: float = 0.95,
    threads: int | None = None,
) -> ManyScores:
    """Score a prediction of each unit on the same tokens.

    The values are those of :func:`~assay.stats.score.score` to the last digits of float64, for predictions and
    activations in float32 as well: all sums are taken in float64, counts are exact.

    Args:
        predicted: (m, n) predictions, one row a unit unless ``rows`` says otherwise.
        activations: (u, n) what the units did.
        of_token: (n,) number of each token's document; fastest when the tokens of a document lie together.
        weights: (b, d) of :func:`~assay.stats.bootstrap.document_weights`; with no rows there are values alone.
        fire_above: (u,) a unit fires above this.
        thresholds: (u,) the prediction says "fires" above this; NaN, or None for all: no F1.
        context: token means; without them no ``r_context``.
        rows: (u,) the row of ``predicted`` that is asserted of each unit.
        order: (n,) token whose prediction is put in each token's place: the shuffled null.
        r: the first score, where it is known already (``many_prediction_checks`` has it).
        level: of the intervals.
        threads: as many as the machine has if None.

    Raises:
        UsageError: shapes that don't fit, documents without weights, values that are NaN or infinite.
    """
    units = len(activations)
    rows = check_rows(predicted, activations, rows)
    predicted, activations = rows_together(predicted), rows_together(activations)
    where = layout(of_token, weights, activations.shape[1])
    columns, counts, means, predicted_means = _context_arrays(context, units, of_token.size)
    levels = one_a_unit("fire_above", fire_above, units)
    limits = np.full(units, np.nan) if thresholds is None else one_a_unit("thresholds", thresholds, units)
    swap = np.empty(0, np.int64) if order is None else order.astype(np.int64)
    if order is not None and not np.array_equal(np.sort(order), np.arange(of_token.size)):
        raise UsageError(f"order must hold each of {of_token.size} tokens once")
    found, finite = np.empty((3, 6, units)), np.ones(units, bool)

    def score_chunk(first: int, last: int) -> None:
        drawn = np.full((6, last - first, where.tokens.size), np.nan)
        score_units(
            predicted,
            activations,
            rows,
            swap,
            columns,
            counts,
            means,
            predicted_means,
            ROUNDING,
            CONSTANT,
            where.starts,
            where.documents,
            where.weights,
            where.tokens,
            first,
            0 if r is None else 1,
            aligned((20, where.tokens.size)),
            drawn[:4],
            finite[first:last],
        )
        score_firing(
            predicted,
            activations,
            rows,
            swap,
            levels,
            limits,
            MAX_BINS,
            of_token.astype(np.int64),
            where.starts,
            where.documents,
            where.count_weights,
            first,
            aligned((3, WIDTH), where.count_weights.dtype),
            drawn[4:],
        )
        found[0, :, first:last] = drawn[..., 0]
        found[1:, :, first:last] = percentiles(drawn[..., 1 : 1 + len(weights)], level)

    spread(score_chunk, units, threads)
    check_finite("predicted and activations", finite)
    if context is None:
        found[:, 3] = np.nan
    found[1:, np.isnan(found[0])] = np.nan
    if where.n_documents < MIN_DOCUMENTS:
        found[1:] = np.nan
    scores = ManyScores(*(Many(*found[:, i]) for i in range(6)))
    return scores if r is None else scores._replace(r=r)


def percentiles(replicates: Float[np.ndarray, "*rows b"], level: float = 0.95) -> Float[np.ndarray, "2 ..."]:
    """:func:`~assay.stats.bootstrap.interval` of each row. The rows are sorted in place."""
    size = replicates.shape[-1]
    bounds = np.full((2, *replicates.shape[:-1]), np.nan)
    if size == 0:
        return bounds
    replicates.sort(axis=-1)  # NaN comes last
    scored = size - np.isnan(replicates).sum(axis=-1)
    carried = (scored > 0) & (size - scored <= (1 - level) * size)
    for bound, share in zip(bounds, ((1 - level) / 2, (1 + level) / 2), strict=True):
        at = np.maximum(scored - 1, 0) * share
        below = np.floor(at).astype(np.int64)
        above = np.minimum(below + 1, np.maximum(scored - 1, 0))
        low, high = (np.take_along_axis(replicates, k[..., None], axis=-1)[..., 0] for k in (below, above))
        bound[carried] = (low + (high - low) * (at - below))[carried]
    return bounds


def many_r(
    predicted: Float32[np.ndarray, "m n"],
    activations: Float32[np.ndarray, "u n"],
    *,
    rows: Int[np.ndarray, " u"] | None = None,
    threads: int | None = None,
) -> Float[np.ndarray, " u"]:
    """Pearson's r of each unit with its prediction, without an interval: for references and for choosing rivals.

    0 for a constant prediction, NaN for a constant activation.

    Raises:
        UsageError: shapes that don't fit, values that are NaN or infinite.
    """
    rows = check_rows(predicted, activations, rows)
    predicted, activations = rows_together(predicted), rows_together(activations)
    values, finite = np.empty(len(activations)), np.ones(len(activations), bool)
    spread(
        lambda first, last: plain_r(predicted, activations, rows, CONSTANT, first, last, values, finite),
        len(activations),
        threads,
    )
    check_finite("predicted and activations", finite)
    return values


def _context_arrays(context: Context | None, units: int, tokens: int) -> tuple[_Places, _Values, _Values, _Values]:
    none = np.empty((0, 0))
    if context is None:
        return np.empty(0, np.int64), np.empty(0), none, none
    columns, means, predicted = context
    size = means.shape[1]
    if columns.shape != (tokens,) or columns.min() < 0 or columns.max() >= size or len(means) != units:
        raise UsageError(f"r_context needs a column from 0 to {size - 1} for each of {tokens} tokens, and {units} rows")
    if predicted is not None and predicted.shape != means.shape:
        raise UsageError(f"token means of predictions must be of shape {means.shape}; got {predicted.shape}")
    counts = np.bincount(columns, minlength=size).astype(np.float64)
    own = none if predicted is None else predicted.astype(np.float64)
    return columns.astype(np.int64), counts, means.astype(np.float64), own
