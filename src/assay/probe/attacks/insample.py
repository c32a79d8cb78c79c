"""How well a probe reads the rows that it was fitted on, and how much of that is overfitting."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped

from assay.probe.attacks.arena import checked, standardised
from assay.probe.attacks.linear import LOGISTIC, fit_readers
from assay.stats.auroc import auroc
from assay.stats.nulls import shuffled_labels

PENALTY = 1.0  # see assay.probe.attacks.linear


class InSample(NamedTuple):
    """``auc`` on the rows fitted on; ``floor`` and ``null``: median and 95th percentile of that for shuffled labels."""

    auc: float
    floor: float
    null: float


def in_sample(
    x: Shaped[np.ndarray, "n d"],
    y: Shaped[np.ndarray, " n_labels"],
    groups: Shaped[np.ndarray, " n_groups"] | None = None,
    *,
    seed: int = 0,
    shuffles: int = 20,
) -> InSample:
    """The AUC of a logistic probe on its own rows: what not to report, with what it reads where labels mean nothing.

    Args:
        x: (n, d) activations.
        y: (n,) 0 or 1.
        groups: (n,) within which, or as wholes, labels are shuffled; every row by itself if left out.

    Raises:
        FitError: lengths that differ, labels that are not 0 or 1 or all the same, rows that are all the same or hold
            NaN.
    """
    labels = checked(x, y)
    own = np.arange(len(labels)) if groups is None else groups
    rng = np.random.default_rng([seed, 0])
    sets = np.stack([labels, *(shuffled_labels(labels, own, rng) for _ in range(shuffles))])
    rows = standardised(x)
    said = fit_readers(rows, 2.0 * sets.T - 1.0, np.full(len(sets), PENALTY), LOGISTIC).says(rows)
    value, *floor = (auroc(column, one) for column, one in zip(said.T, sets, strict=True))
    return InSample(value, float(np.median(floor)), float(np.quantile(floor, 0.95)))
