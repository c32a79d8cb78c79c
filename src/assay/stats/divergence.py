"""Jensen-Shannon divergence, and the behaviour score made of it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from assay.stats.bootstrap import Estimate, document_sums


def jensen_shannon(
    log_p: Float[np.ndarray, "*batch v"], log_q: Float[np.ndarray, "*batch v"]
) -> Float[np.ndarray, "*batch"]:
    """Jensen-Shannon divergence in nats (0 to ln 2) of rows of natural-log probabilities, in float64.

    Written in the difference of the logs, log((p + q) / 2p) = log1p(expm1(log q - log p) / 2), so that equal rows give
    exactly 0 and near-equal ones keep their digits: the effects of one neuron are about 1e-5. Minus infinity (a
    probability of 0) is allowed. The reference for faster versions elsewhere. (Lin 1991, with equal weights.)
    """
    p, q = log_p.astype(np.float64), log_q.astype(np.float64)
    terms = _term(p, q) + _term(q, p)
    return np.asarray(np.maximum(0.5 * terms.sum(axis=-1), 0.0))


def _term(log_p: Float[np.ndarray, "*batch v"], log_q: Float[np.ndarray, "*batch v"]) -> Float[np.ndarray, "*batch v"]:
    present = log_p > -np.inf
    gap = np.where(present, log_q, 0.0) - np.where(present, log_p, 0.0)
    log_ratio = np.maximum(gap, 0.0) + np.log1p(np.expm1(-np.abs(gap)) / 2)  # log((p + q) / 2p), never overflowing
    return np.where(present, -np.exp(log_p) * log_ratio, 0.0)


def ratio_score(
    j_claim: Float[np.ndarray, " e"],
    j_mean: Float[np.ndarray, " e"],
    index: Int[np.ndarray, " e"],
    excerpt_weights: Float[np.ndarray, " e"],
    weights: Float[np.ndarray, "b d"],
) -> Estimate:
    """1 - Σ w J(claim) / Σ w J(mean), with its bootstrap over documents.

    1: the output is as without the edit; 0: no better than the unit's mean; below 0: worse. ``j_*`` are sums of
    divergences over the positions of an excerpt, ``excerpt_weights`` bring excerpts back to their natural frequency.
    NaN where the mean changes nothing.
    """
    sums = document_sums([excerpt_weights * j_claim, excerpt_weights * j_mean], index, weights.shape[1])
    return Estimate(float(_ratio(sums.sum(axis=0))), _ratio(weights @ sums))


def _ratio(sums: Float[np.ndarray, "*batch 2"]) -> Float[np.ndarray, "*batch"]:
    claim, mean = np.moveaxis(sums, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(mean > 0, 1 - claim / mean, np.nan))
