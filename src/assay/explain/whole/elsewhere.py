"""All claims of a layer on other text: every score again, and how far r drops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.explain.material import Part
from assay.referee.many import many_prediction_checks
from assay.rules.apply import Applier
from assay.stats import Interval, independent_difference
from assay.stats.bootstrap import document_index, document_weights
from assay.stats.many import Context, Many, ManyScores, many_scores

Floats = NDArray[np.float32]


class OtherText(NamedTuple):
    """What is the same for all layers: the text as explanations see it, and resamples of its documents."""

    part: Part
    at: Applier
    of_token: NDArray[np.int64]
    weights: NDArray[np.float64]


class Away(NamedTuple):
    """What other text answers to one explainer's claims. ``nulls``: (u,) of r; ``references``: (u,) their r."""

    scores: ManyScores
    nulls: Mapping[str, NDArray[np.float64]]
    references: Mapping[str, NDArray[np.float64]]
    drop: Many
    documents: int


def other_text(part: Part | None, replicates: int, seed: int) -> OtherText | None:
    """Read other text as explanations see it: only the tokens that count."""
    if part is None:
        return None
    index = document_index(part.table.flat_documents[part.scored])
    weights = document_weights(index.n_documents, replicates, seed)
    return OtherText(part, Applier(part.view), index.of_token.astype(np.int64), weights)


def score_away(
    other: OtherText,
    predicted: Floats,
    rival: Floats,
    activations: Floats,
    home: Many,
    fire_above: NDArray[np.float64],
    thresholds: NDArray[np.float64],
    context: Context,
    references: Mapping[str, NDArray[np.float64]],
    seed: int,
) -> Away:
    """Every score of calibrated predictions on the tokens of other text that count.

    Args:
        predicted, rival, activations: (u, n) on these tokens.
        home: r on the test split.
    """
    checks = many_prediction_checks(predicted, activations, other.of_token, other.weights, rival, seed=seed)
    scores = many_scores(
        predicted, activations, other.of_token, other.weights, fire_above,
        thresholds=thresholds, context=context, r=checks.r,
    )  # fmt: skip
    pairs = zip(zip(*home, strict=True), zip(*checks.r, strict=True), strict=True)
    drops = np.array([independent_difference(Interval(*map(float, a)), Interval(*map(float, b))) for a, b in pairs])
    nulls = {"constant": np.zeros(len(predicted)), "shuffled": checks.shuffled, "other_unit": checks.other_unit}
    return Away(scores, nulls, references, Many(*drops.T), other.weights.shape[1])
