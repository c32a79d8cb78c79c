"""Pearson's r from per-document sums, so that every bootstrap replicate of it is exact and cheap."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from assay.stats.bootstrap import Estimate, document_sums

# A variance below this share of the second moment is rounding: the numbers are one number.
CONSTANT = 1e-10


def moment_sums(
    predicted: Float[np.ndarray, " n"],
    activations: Float[np.ndarray, " n"],
    index: Int[np.ndarray, " n"],
    count: int,
) -> Float[np.ndarray, "d 6"]:
    """Per document: n, Σp, Σa, Σp², Σa², Σpa.

    Both sides are first centred on their mean over all tokens and divided by their largest distance from it: r
    does not change, and the subtractions in it lose no digits.
    """
    p, a = _standardised(predicted), _standardised(activations)
    return document_sums([np.ones_like(p), p, a, p * p, a * a, p * a], index, count)


def _standardised(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    values = values.astype(np.float64)
    if values.size == 0 or np.ptp(values) == 0:
        return np.zeros_like(values)  # exactly: the mean of equal numbers may differ from them in the last digit
    centred = values - values.mean()
    return centred / np.abs(centred).max()


def pearson(sums: Float[np.ndarray, "*batch 6"]) -> Float[np.ndarray, "*batch"]:
    """Pearson's r from the sums of :func:`moment_sums`, added up over documents.

    A constant prediction tells nothing about the activation: its r is 0 by definition. A constant activation leaves
    nothing to predict: NaN, whatever the prediction.
    """
    n, sp, sa, spp, saa, spa = np.moveaxis(sums, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        var_p, var_a, cov = spp - sp * sp / n, saa - sa * sa / n, spa - sp * sa / n
        r = cov / np.sqrt(var_p * var_a)
    r = np.where(var_p > CONSTANT * spp, r, 0.0)
    return np.asarray(np.clip(np.where(var_a > CONSTANT * saa, r, np.nan), -1.0, 1.0))


def correlate(
    predicted: Float[np.ndarray, " n"],
    activations: Float[np.ndarray, " n"],
    index: Int[np.ndarray, " n"],
    weights: Float[np.ndarray, "b d"],
) -> Estimate:
    """Pearson's r over all tokens, and its value in each resample of the documents.

    ``index`` numbers the documents from 0; ``weights`` are those of
    :func:`~assay.stats.bootstrap.document_weights`.
    """
    sums = moment_sums(predicted, activations, index, weights.shape[1])
    return Estimate(float(pearson(sums.sum(axis=0))), pearson(weights @ sums))
