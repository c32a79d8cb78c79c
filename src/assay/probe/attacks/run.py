"""All attacks on the same rows, each against what it finds where labels mean nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped
from numpy.typing import NDArray

from assay.errors import FitError, UnknownName
from assay.probe.attacks.arena import Arena, prepare
from assay.probe.attacks.linear import LOGISTIC, SQUARED_HINGE, linear_scores
from assay.probe.attacks.neighbours import neighbour_scores
from assay.probe.attacks.network import network_scores
from assay.probe.attacks.threshold import threshold_scores
from assay.stats.auroc import auroc, auroc_estimate

Attack = Callable[[Arena, int], NDArray[Any]]
"""From the arena and a seed to (sets, n): what is said of each row by a reader that never saw its group, for each set
of labels; above 0 is label 1."""

_BY_NAME: Mapping[str, Attack] = {
    "logistic": lambda arena, seed: linear_scores(arena, LOGISTIC),
    "svm": lambda arena, seed: linear_scores(arena, SQUARED_HINGE),
    "threshold": threshold_scores,
    "knn": lambda arena, seed: neighbour_scores(arena),
    "mlp": network_scores,
}
ATTACKS = tuple(_BY_NAME)


class Attacked(NamedTuple):
    """What an attack found in rows that it had not seen.

    ``auc``: of the attack, with its 95 % interval ``lo``, ``hi`` over groups. ``null``: the 95th percentile of its AUC
    on shuffled labels. ``accuracy``: the share of rows on whose side of 0 it comes down rightly. ``leaks``: the AUC is
    above the null and its interval above one half.
    """

    auc: float
    lo: float
    hi: float
    null: float
    accuracy: float
    leaks: bool


def run_attacks(
    x: Shaped[np.ndarray, "n d"],
    y: Shaped[np.ndarray, " n_labels"],
    groups: Shaped[np.ndarray, " n_groups"],
    *,
    names: Sequence[str] = ATTACKS,
    seed: int = 0,
    shuffles: int = 20,
    most: int = 2000,
    replicates: int = 1000,
) -> dict[str, Attacked]:
    """Look for labels in rows, by every attack named.

    Every row is scored once, by a reader fitted on the four fifths of the groups that its own is not among. Columns are
    brought to one variance first. The null is the same attack on labels that keep the structure and mean nothing: where
    a group has both they change places within it, else groups change places. An eraser that was fitted on the same rows
    and labels pushes the AUC below one half, so fit it on others.

    Args:
        x: (n, d) activations, after erasure.
        y: (n,) 0 or 1.
        groups: (n,) what may not be split over folds: integers or strings.
        names: of :data:`ATTACKS`.
        seed: of folds, shuffles, projections, networks and of the bootstrap.
        shuffles: how many sets of labels the null is made of.
        most: rows that are used at most; whole groups are left out, drawn by the seed.
        replicates: of the bootstrap.

    Raises:
        UnknownName: an attack that there isn't.
        FitError: lengths that differ, labels that are not 0 or 1 or all the same, fewer groups than folds, rows that
            are all the same or hold NaN, no shuffles.
    """
    for name in names:
        if name not in _BY_NAME:
            raise UnknownName("attack", name, ATTACKS)
    if shuffles < 1:
        raise FitError(f"a null needs one shuffle or more. Got {shuffles}.")
    arena = prepare(x, y, groups, seed, shuffles, most)
    return {name: _judged(arena, _BY_NAME[name](arena, seed), seed, replicates) for name in names}


def _judged(arena: Arena, scores: NDArray[Any], seed: int, replicates: int) -> Attacked:
    own, labels = scores[0], arena.labels[0]
    floor = [auroc(said, shuffled) for said, shuffled in zip(scores[1:], arena.labels[1:], strict=True)]
    null = float(np.nanquantile(floor, 0.95))
    value, lo, hi = auroc_estimate(own, labels, arena.groups, replicates, seed).interval()
    accuracy = float(((own > 0) == (labels == 1)).mean())
    return Attacked(value, lo, hi, null, accuracy, bool(value > null and lo > 0.5))
