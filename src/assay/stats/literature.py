"""Scores that others publish, for comparison with them only.

Most can't see an explanation that is too broad or too narrow: ``assay selftest`` shows which (Oikarinen, Yan, Weng,
ICML 2025, from where the list is taken).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped

from assay.errors import UsageError
from assay.stats.correlation import moment_sums, pearson


def top_and_random_r(
    predicted: Float[np.ndarray, " n"],
    activations: Float[np.ndarray, " n"],
    windows: Shaped[np.ndarray, " n"],
    seed: int = 0,
    each: int = 5,
) -> float:
    """Pearson's r over the ``each`` windows with the largest activations and as many random others.

    ``windows`` names the excerpt of each token. The score of Bills et al. 2023 (OpenAI). Half the tokens it looks at
    come from where the unit fires most, so firings predicted elsewhere hardly count. NaN when the activation is
    constant over the windows drawn.

    Raises:
        UsageError: fewer windows than the score needs.
    """
    names, window = np.unique(windows, return_inverse=True)
    window = window.reshape(-1)
    if names.size < 2 * each:
        raise UsageError(f"top-and-random r needs {2 * each} windows; got {names.size}")
    peaks = np.full(names.size, -np.inf)
    np.maximum.at(peaks, window, activations)
    order = np.argsort(-peaks, kind="stable")
    others = np.random.default_rng(seed).choice(order[each:], each, replace=False)
    seen = np.isin(window, np.concatenate([order[:each], others]))
    sums = moment_sums(predicted[seen], activations[seen], np.zeros(int(seen.sum()), dtype=np.int64), 1)
    return float(pearson(sums[0]))


class Confusion(NamedTuple):
    """How often a prediction says that a unit fires, and it does: counts of tokens. A score without a case is NaN."""

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def recall(self) -> float:
        """Share of the firings that are predicted."""
        return _share(self.tp, self.tp + self.fn)

    @property
    def precision(self) -> float:
        """Share of the predicted firings that are right."""
        return _share(self.tp, self.tp + self.fp)

    @property
    def accuracy(self) -> float:
        """Share of the tokens that are right."""
        return _share(self.tp + self.tn, sum(self))

    @property
    def balanced_accuracy(self) -> float:
        """Mean of the shares that are right among firings and among the others.

        What "fuzzing" measures on average: as many firing tokens as others, each to be told apart.
        """
        return (self.recall + _share(self.tn, self.tn + self.fp)) / 2

    @property
    def iou(self) -> float:
        """Intersection over union of the predicted firings and the real ones."""
        return _share(self.tp, self.tp + self.fp + self.fn)


def confusion(says: Bool[np.ndarray, " n"], fires: Bool[np.ndarray, " n"]) -> Confusion:
    """Count the tokens by what is said and what is so."""
    return Confusion(*(int((s & f).sum()) for s, f in ((says, fires), (says, ~fires), (~says, fires), (~says, ~fires))))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def auc(predicted: Float[np.ndarray, " n"], fires: Bool[np.ndarray, " n"]) -> float:
    """Area under the ROC curve: the chance that a firing is predicted above another token, ties counting half.

    NaN where all or none fire.
    """
    positives, negatives = int(fires.sum()), int((~fires).sum())
    if not positives or not negatives:
        return float("nan")
    above = float(_ranks(predicted)[fires].sum()) - positives * (positives + 1) / 2
    return above / (positives * negatives)


def _ranks(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Ranks from 1; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place.reshape(-1)]


def spearman(predicted: Float[np.ndarray, " n"], activations: Float[np.ndarray, " n"]) -> float:
    """Spearman's rank correlation, ties at their mean rank; 0 for a constant prediction."""
    one = np.zeros(predicted.size, dtype=np.int64)
    return float(pearson(moment_sums(_ranks(predicted), _ranks(activations), one, 1)[0]))


def cosine(predicted: Float[np.ndarray, " n"], activations: Float[np.ndarray, " n"]) -> float:
    """Cosine of prediction and activation, not centred; 0 where the prediction is 0 throughout."""
    p, a = predicted.astype(np.float64), activations.astype(np.float64)
    size = float(np.linalg.norm(p) * np.linalg.norm(a))
    return float(p @ a) / size if size else 0.0


def mean_activation_difference(says: Bool[np.ndarray, " n"], activations: Float[np.ndarray, " n"]) -> float:
    """Mean activation where the unit is said to fire, less that elsewhere, in standard deviations of the activation.

    NaN where it is said to fire everywhere or nowhere.
    """
    if says.all() or not says.any():
        return float("nan")
    a = activations.astype(np.float64)
    return float((a[says].mean() - a[~says].mean()) / a.std())


def detection_accuracy(
    says: Bool[np.ndarray, " n"],
    fires: Bool[np.ndarray, " n"],
    excerpts: Shaped[np.ndarray, " n"],
    seed: int = 0,
    each: int = 50,
) -> float:
    """How often a prediction tells excerpts in which a unit fires from others, of half of either kind.

    ``each`` excerpts of a kind are drawn, or as many as there are of the rarer one; ``excerpts`` names that of each
    token. A prediction finds the unit in an excerpt if it says "fires" at any token of it. The detection score of
    Paulo et al. 2024, with a prediction in the place of a judge. NaN where all or no excerpts have a firing.
    """
    names, excerpt = np.unique(excerpts, return_inverse=True)
    said, fired = (np.bincount(excerpt.reshape(-1), what, len(names)) > 0 for what in (says, fires))
    rng = np.random.default_rng([seed, 50])
    count = min(each, int(fired.sum()), int((~fired).sum()))
    if not count:
        return float("nan")
    found = rng.choice(np.flatnonzero(fired), count, replace=False)
    others = rng.choice(np.flatnonzero(~fired), count, replace=False)
    return float((said[found].mean() + (~said[others]).mean()) / 2)
