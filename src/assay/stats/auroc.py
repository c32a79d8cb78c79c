"""Area under the ROC curve, of one scorer or of many on the same cases, with its bootstrap over groups.

Mann and Whitney's statistic (1947): the chance that a positive is scored above a negative, ties counting half. Whole
groups are drawn again (see :mod:`assay.stats.bootstrap`), and in a resample a case counts as often as its group was
drawn. Calls with the same groups, number of replicates and seed see the same resamples, so that replicates of a claim
and of its nulls can be subtracted one by one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from assay.errors import UsageError
from assay.stats.bootstrap import Estimate, document_index, document_weights
from assay.stats.literature import auc

_CELLS = 1 << 17  # cases times resamples at once, so that temporaries stay in the processor's cache


class Aurocs(NamedTuple):
    """AUROCs of m scorers: ``values`` (m,) on the cases as they are, ``replicates`` (m, b) on b resamples of groups."""

    values: Float[np.ndarray, " m"]
    replicates: Float[np.ndarray, "m b"]

    def one(self, number: int) -> Estimate:
        """That of one scorer."""
        return Estimate(float(self.values[number]), self.replicates[number])


class _Places(NamedTuple):
    """For one scorer: negatives by score, and how many of them are below each positive, and not above it."""

    order: Int[np.ndarray, " negatives"]
    below: Int[np.ndarray, " positives"]
    upto: Int[np.ndarray, " positives"]


def auroc(scores: Shaped[np.ndarray, " n"], labels: Shaped[np.ndarray, " n_labels"]) -> float:
    """The chance that a case of label 1 is scored above one of label 0, ties counting half; NaN without either.

    Raises:
        UsageError: labels that are not 0 or 1, scores that are NaN, or not one label a score.
    """
    columns, positive = _checked(scores[:, None], labels)
    return auc(columns[:, 0], positive)


def auroc_estimate(
    scores: Shaped[np.ndarray, " n"],
    labels: Shaped[np.ndarray, " n_labels"],
    groups: Shaped[np.ndarray, " n_groups"],
    replicates: int = 2000,
    seed: int = 0,
) -> Estimate:
    """:func:`auroc` with its bootstrap over groups; see :func:`auroc_estimates`."""
    return auroc_estimates(scores[:, None], labels, groups, replicates, seed).one(0)


def auroc_estimates(
    scores: Shaped[np.ndarray, "n m"],
    labels: Shaped[np.ndarray, " n_labels"],
    groups: Shaped[np.ndarray, " n_groups"],
    replicates: int = 2000,
    seed: int = 0,
) -> Aurocs:
    """AUROCs of m scorers of the same n cases, on the same resamples.

    Args:
        scores: one column a scorer.
        labels: 1 for the cases that ought to score high, 0 for the others.
        groups: what is drawn again as one, an id a case: integers or strings.
        replicates: how many resamples, with ``seed``.

    A resample without either label has no AUROC (NaN). With fewer than two groups no resample has one: nothing then
    says how groups differ.

    Raises:
        UsageError: labels that are not 0 or 1, scores that are NaN, lengths that differ, or no case at all.
    """
    columns, positive = _checked(scores, labels)
    if len(groups) != len(labels):
        raise UsageError(f"each case needs its group. Got {len(labels)} cases and {len(groups)} groups.")
    index = document_index(groups)
    weights = document_weights(index.n_documents, replicates, seed)
    values = np.array([auc(column, positive) for column in columns.T], dtype=np.float64)
    drawn = np.full((len(values), replicates), np.nan)
    if index.n_documents > 1:
        places = [_places(column, positive) for column in columns.T]
        block = max(_CELLS // len(positive), 16)
        for start in range(0, replicates, block):
            part = np.ascontiguousarray(weights[start : start + block].T)
            up, down = part[index.of_token[positive]], part[index.of_token[~positive]]
            drawn[:, start : start + block] = _weighted(up, down, places)
    return Aurocs(values, drawn)


def folded(estimate: Estimate) -> Estimate:
    """The AUROC of a scorer whose sign means nothing: the larger of it and its complement, in each resample, too.

    It is never below one half, whatever the scorer: to be compared with folded nulls only.
    """
    return Estimate(max(estimate.value, 1 - estimate.value), np.maximum(estimate.replicates, 1 - estimate.replicates))


def _places(scores: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]) -> _Places:
    negatives = scores[~positive]
    order = np.argsort(negatives, kind="stable")
    ranked = negatives[order]
    below, upto = (np.searchsorted(ranked, scores[positive], side) for side in ("left", "right"))
    return _Places(order, below, upto)


def _weighted(
    up: Float[np.ndarray, "positives b"], down: Float[np.ndarray, "negatives b"], places: list[_Places]
) -> Float[np.ndarray, "m b"]:
    """AUROCs where positives and negatives count ``up`` and ``down`` times; whole weights give exact sums."""
    wins = np.empty((len(places), up.shape[1]))
    passed = np.zeros((len(down) + 1, up.shape[1]))
    for row, (order, below, upto) in zip(wins, places, strict=True):
        np.cumsum(down[order], axis=0, out=passed[1:])
        beaten = passed[below]
        beaten += beaten if np.array_equal(below, upto) else passed[upto]
        np.einsum("pb,pb->b", up, beaten, out=row)
    pairs = 2 * up.sum(axis=0) * down.sum(axis=0)
    return np.divide(wins, pairs, out=np.full_like(wins, np.nan), where=pairs > 0)


def _checked(
    scores: Shaped[np.ndarray, "n m"], labels: Shaped[np.ndarray, " k"]
) -> tuple[Float[np.ndarray, "n m"], Bool[np.ndarray, " k"]]:
    if len(scores) != len(labels):
        raise UsageError(f"each score needs its label. Got {len(scores)} scores and {len(labels)} labels.")
    positive = labels == 1
    if not (positive | (labels == 0)).all():
        raise UsageError(f"labels must be 0 or 1. Got {np.unique(labels)[:5].tolist()} instead.")
    columns = scores.astype(np.float64)
    unscored = int(np.isnan(columns).any(axis=1).sum())
    if unscored:
        raise UsageError(f"every case must have a score. Got NaN for {unscored} of {len(scores)} cases.")
    return columns, positive
