"""The best threshold on one of many random projections to a line."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from assay.probe.attacks.arena import Arena

PROJECTIONS = 1000


def threshold_scores(arena: Arena, seed: int) -> Float[NDArray[np.float64], "sets n"]:
    """1 or -1 for each row, for each set of labels.

    On the folds that a row is not in, the projection, threshold and side with the greatest balanced accuracy are
    looked for among all thresholds between two rows on :data:`PROJECTIONS` directions drawn evenly.
    """
    rng = np.random.default_rng([seed, 1])
    along = rng.standard_normal((PROJECTIONS, arena.x.shape[1])) @ arena.x.T
    scores = np.empty(arena.labels.shape)
    for fitted, held in arena.splits():
        order = np.argsort(along[:, fitted], axis=1)
        ranked = np.take_along_axis(along[:, fitted], order, 1)
        between = ranked[:, 1:] > ranked[:, :-1]
        for labels, out in zip(arena.labels[:, fitted], scores, strict=True):
            ones = max(int(labels.sum()), 1)
            weights = np.where(labels == 1, -1 / ones, 1 / max(len(labels) - ones, 1))
            # What is below a cut: the share of label 0 less the share of label 1, twice the balanced accuracy less 1.
            gain = np.cumsum(weights[order[:, :-1]], axis=1) * between
            best = int(np.abs(gain).argmax())
            line, cut = divmod(best, gain.shape[1])
            middle = (ranked[line, cut] + ranked[line, cut + 1]) / 2
            out[held] = np.where((along[line, held] > middle) == (gain[line, cut] > 0), 1.0, -1.0)
    return scores
