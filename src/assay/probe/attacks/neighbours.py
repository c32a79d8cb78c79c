"""The labels of the nearest rows."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from assay.probe.attacks.arena import Arena

NEAREST = 15


def neighbour_scores(arena: Arena) -> Float[NDArray[np.float64], "sets n"]:
    """The share of label 1, less one half, among the :data:`NEAREST` rows of other folds, for each set of labels."""
    lengths = np.square(arena.x).sum(1)
    scores = np.empty(arena.labels.shape)
    for fitted, held in arena.splits():
        far = lengths[fitted] - 2 * arena.x[held] @ arena.x[fitted].T
        count = min(NEAREST, far.shape[1] - 1)
        nearest = np.argpartition(far, count, axis=1)[:, :count]
        scores[:, held] = arena.labels[:, fitted][:, nearest].mean(2) - 0.5
    return scores
