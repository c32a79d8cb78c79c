"""The check of a claim about what a unit writes: does turning the unit up change the next token as claimed?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped

from assay.referee.checks import NOISE_MULTIPLE
from assay.referee.verdict import LEVEL, CheckInput
from assay.stats.bootstrap import Estimate, Interval, document_index, document_weights
from assay.stats.undecided import too_few_documents

EFFECT_VERSION = 1  # stored with every piece of evidence; see PREDICTION_VERSION

UP, DIRECTIONS, RIVAL = "up", "matched_norm", "other_unit"


class EffectCheck(NamedTuple):
    """The effect check of one claim.

    ``score``: correlation, over the vocabulary, of the claimed change with the mean change, corrected for attenuation:
    1 for a claim that says all that can be said without looking at the text. ``ceiling``: the r at a single place that
    such a claim gets; the claim's own is ``score`` times that.
    """

    check: CheckInput
    score: Interval
    ceiling: Interval


def effect_check(
    r: Mapping[str, Float[np.ndarray, "*k p"]],
    likeness: Float[np.ndarray, "p p"],
    documents: Shaped[np.ndarray, " p"],
    effect: Float[np.ndarray, " p"],
    noise: Float[np.ndarray, " p"],
    *,
    reasons: tuple[str, ...] = (),
    replicates: int = 2000,
    seed: int = 0,
) -> EffectCheck:
    """Does the next token change as claimed when the unit is turned up?

    With z the change of the logits over the vocabulary at one place, centred and of norm 1, and c the claimed change
    likewise, r = c·z is Pearson's r at that place. The mean of z is what the unit writes whatever the text. Its squared
    norm is the mean of z·z' over pairs of places of different documents, so that mean r over the root of that is the
    correlation of the claim with the mean change, whatever the number of places (Spearman's correction for attenuation,
    1904). All scores and nulls are divided by this one root, the unit's own.

    Nulls: ``constant``, whose r is 0; ``matched_norm``, random directions of the same norm, written where the unit
    writes: of k of them the one that another random direction exceeds with a chance of at most 5 % (the largest of 20);
    ``other_unit``, the claim about another unit, where given.

    Undecided with fewer than 20 documents; with an effect under ten times the numerical noise; and where the change at
    one place says nothing of that at another: the lower bound of its squared likeness is not above 0.

    Args:
        r: ``up`` (p,) the claim's r at each place when the unit is turned up, ``matched_norm`` (k, p) when a random
            direction is written in its stead, and ``other_unit`` (p,) the rival's claim's with the unit turned up.
        likeness: (p, p) correlations of the change at one place with that at another.
        documents: (p,) document of each place.
        effect, noise: (p,) root mean square over the vocabulary, in nats, of the change of the unit and of nothing.
        reasons: further ones why the data can't carry this check.
        replicates: resamples of the documents.
        seed: of the resamples.
    """
    where = document_index(documents)
    by_document = document_weights(where.n_documents, replicates, seed)
    weights = np.concatenate([np.ones((1, where.n_documents)), by_document])[:, where.of_token]
    squared = _pairs(likeness, weights, where.of_token)
    root = np.sqrt(np.where(squared > 0, squared, np.nan))

    def scaled(values: Float[np.ndarray, " b"]) -> Estimate:
        share = values / root
        return Estimate(float(share[0]), share[1:])

    means = {name: _means(np.atleast_2d(rows), weights) for name, rows in r.items()}
    score = scaled(means[UP][:, 0])
    nulls = {"constant": Estimate(0.0, np.zeros(replicates))}
    if DIRECTIONS in means and means[DIRECTIONS].shape[1]:
        nulls[DIRECTIONS] = scaled(exceeded_by_few(means[DIRECTIONS]))
    if RIVAL in means:
        nulls[RIVAL] = scaled(means[RIVAL][:, 0])
    reasons += too_few_documents(where.n_documents)
    if not math.sqrt(np.mean(effect**2)) > NOISE_MULTIPLE * math.sqrt(np.mean(noise**2)):
        reasons += (f"effect under {NOISE_MULTIPLE} times the numerical noise",)
    elif not np.quantile(squared[1:], LEVEL / 2) > 0:
        reasons += ("what it writes at one place says nothing of what it writes at another",)
    ceiling = Estimate(float(root[0]), root[1:])
    check = CheckInput(
        score.value,
        {name: null.value for name, null in nulls.items()},
        score.replicates,
        {name: null.replicates for name, null in nulls.items()},
        reasons,
    )
    return EffectCheck(check, score.interval(), ceiling.interval())


def exceeded_by_few(values: Float[np.ndarray, "b k"]) -> Float[np.ndarray, " b"]:
    """Of k exchangeable values the smallest that one more exceeds with a chance of at most 5 %: of 20 the largest."""
    k = values.shape[1]
    return np.sort(values, axis=1)[:, min(math.ceil((1 - LEVEL) * (k + 1)), k) - 1]


def _means(rows: Float[np.ndarray, "k p"], weights: Float[np.ndarray, "b p"]) -> Float[np.ndarray, "b k"]:
    return weights @ rows.T / weights.sum(1, keepdims=True)


def _pairs(
    likeness: Float[np.ndarray, "p p"], weights: Float[np.ndarray, "b p"], document: Shaped[np.ndarray, " p"]
) -> Float[np.ndarray, " b"]:
    """Mean likeness over pairs of places of different documents, in each resample; NaN where there is no pair."""
    apart = document[:, None] != document[None, :]
    total = np.einsum("bp,bp->b", weights @ np.where(apart, likeness, 0.0), weights)
    count = np.einsum("bp,bp->b", weights @ apart.astype(np.float64), weights)
    return np.divide(total, count, out=np.full(len(weights), np.nan), where=count > 0)
