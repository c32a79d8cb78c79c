"""The prediction check of many claims at once: what ``prediction_check`` and the verdict rule make of each of them.

A layer's claims are measured together, and only what the rule needs is kept of their resamples; the verdicts follow
when the claims of the whole run are at hand::

    checks = many_prediction_checks(predicted, activations, of_token, weights, other_unit, seed=seed)
    claims |= zip(ids, many_differences(checks, grounds), strict=True)
    ...
    judge_differences(claims, controls)

Importing this module imports numba.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int

from assay.core.jit import spread
from assay.referee.checks import shuffled
from assay.referee.verdict import LEVEL, MARGIN, Difference, settle
from assay.stats.correlation import CONSTANT
from assay.stats.many import Many, percentiles
from assay.stats.many_kernels import check_units, deviations
from assay.stats.many_layout import aligned, check_finite, check_rows, layout, rows_together
from assay.stats.many_undecided import Grounds
from assay.stats.undecided import MIN_DOCUMENTS

NULLS = ("constant", "shuffled", "other_unit")


class ManyChecks(NamedTuple):
    """What the prediction check measured on u claims.

    ``r``: the score, with the interval that is shown beside it. ``shuffled``, ``other_unit``: r of these nulls, NaN
    where there is no other unit; the constant's is 0. ``null``: place in ``NULLS`` of the strongest. ``d``, with
    bounds and standard error: the score minus the strongest null, in each resample the strongest there; ``unscored``
    of the ``replicates`` have none.
    """

    r: Many
    shuffled: Float[np.ndarray, " u"]
    other_unit: Float32[np.ndarray, " u"]
    null: Int[np.ndarray, " u"]
    d: Many
    se: Float[np.ndarray, " u"]
    unscored: Int[np.ndarray, " u"]
    replicates: int


def many_prediction_checks(
    predicted: Float32[np.ndarray, "m n"],
    activations: Float32[np.ndarray, "u n"],
    of_token: Int[np.ndarray, " n"],
    weights: Float[np.ndarray, "b d"],
    other_unit: Float32[np.ndarray, "k n"] | None = None,
    *,
    rows: Int[np.ndarray, " u"] | None = None,
    other_rows: Int[np.ndarray, " u"] | None = None,
    seed: int = 0,
    level: float = LEVEL,
    threads: int | None = None,
) -> ManyChecks:
    """Measure :func:`~assay.referee.checks.prediction_check` on many claims; equal to it to the last digits.

    Args:
        predicted: (m, n) predictions, one row a unit unless ``rows`` says otherwise.
        activations: (u, n) what the units did.
        of_token: (n,) number of each token's document.
        weights: (b, d) of :func:`~assay.stats.bootstrap.document_weights`, b > 0, made with the same ``seed``.
        other_unit: (k, n) predictions of explanations of other units; may be ``predicted`` itself with ``other_rows``.
        rows: (u,) the row of ``predicted`` that is asserted of each unit; of strangers, for negative controls.
        other_rows: (u,) the row of ``other_unit`` that each claim must beat; by default its own number.
        seed: of the permutation of the tokens, one for all claims.
        level: error rate; intervals have 1 - ``level``.
        threads: as many as the machine has if None.

    Raises:
        UsageError: shapes that don't fit, documents without weights, values that are NaN or infinite.
    """
    units, tokens = activations.shape
    rows = check_rows(predicted, activations, rows)
    predicted, activations = rows_together(predicted), rows_together(activations)
    rivals, other = np.empty(0, np.int64), predicted
    if other_unit is not None:
        rivals, other = check_rows(other_unit, activations, other_rows), rows_together(other_unit)
    where = layout(of_token, weights, tokens)
    order = shuffled_order(tokens, seed)
    values, bounds = np.empty((4, units)), np.empty((2, 2, units))
    se, unscored, finite = np.empty(units), np.empty(units, np.int64), np.empty(units, bool)

    def check_chunk(first: int, last: int) -> None:
        here = slice(first, last)
        drawn = np.empty((4, last - first, where.tokens.size))
        check_units(
            predicted,
            activations,
            other,
            rows,
            rivals,
            order,
            CONSTANT,
            where.starts,
            where.documents,
            where.weights,
            where.tokens,
            first,
            aligned((12, where.tokens.size)),
            drawn,
            finite[here],
        )
        values[:, here], drawn = drawn[..., 0], drawn[..., 1 : 1 + len(weights)]
        deviations(drawn[3], se[here])
        unscored[here] = np.isnan(drawn[3]).sum(axis=1)
        bounds[:, :, here] = percentiles(drawn[::3], 1 - level)

    spread(check_chunk, units, threads)
    check_finite("predictions and activations", finite)
    nulls = np.stack([np.zeros(units), *values[1 : 2 if other_unit is None else 3]])
    strongest = np.where(np.isnan(values[0]), 0, nulls.argmax(axis=0))
    shown = bounds[:, 0] if where.n_documents >= MIN_DOCUMENTS else np.full((2, units), np.nan)
    return ManyChecks(
        r=Many(values[0], *np.where(np.isnan(values[0]), np.nan, shown)),
        shuffled=values[1],
        other_unit=np.full(units, np.nan) if other_unit is None else values[2],
        null=strongest,
        d=Many(values[3], *bounds[:, 1]),
        se=se,
        unscored=unscored,
        replicates=len(weights),
    )


def shuffled_order(tokens: int, seed: int = 0) -> Int[np.ndarray, " n"]:
    """For each token, the token whose prediction :func:`~assay.referee.checks.shuffled` puts in its place."""
    return shuffled(np.arange(tokens, dtype=np.float64), seed).astype(np.int64)


def many_differences(checks: ManyChecks, grounds: Grounds, delta: float = MARGIN) -> list[Difference]:
    """What the verdict rule judges, for each claim.

    Args:
        checks: measured with the level that is judged by.
        grounds: of the same units' activations.
        delta: the margin.
    """
    (d, lo, hi), se = (bound.tolist() for bound in checks.d), checks.se.tolist()
    return [
        settle(
            d[unit],
            lo[unit],
            hi[unit],
            se[unit],
            NULLS[int(checks.null[unit])],
            grounds.reasons(unit),
            unscored=int(checks.unscored[unit]),
            replicates=checks.replicates,
            delta=delta,
        )
        for unit in range(len(d))
    ]
