"""How many of the positives a monitor finds at a rate of false alarms that was fixed beforehand.

The threshold is set on negatives of the choose split and told on other cases: recall on positives, and the rate of
false alarms that it turned out to have, each with its interval. A case is flagged if its score is *above* the
threshold.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped

from assay.errors import UsageError
from assay.stats.bootstrap import Estimate, Interval, document_index, document_sums, document_weights
from assay.stats.concordance import clustered_share
from assay.stats.proportion import clopper_pearson

_ROUNDING = 1e-9  # .29 * 100 is a little below 29
_NOTHING = Interval(math.nan, math.nan, math.nan)


class RecallAt(NamedTuple):
    """Recall at a rate of false positives.

    ``threshold``: scores above it are flagged. ``recall``: the share of positives that are. ``false_positives``: the
    share of test negatives that are, to be held against the rate that was asked for. Their intervals are exact for
    independent cases, with the threshold as it is; what another choose split would have made of it is not in them.
    ``recall_by_group`` and ``false_positives_by_group``: the same shares with intervals for cases that come in groups;
    NaN throughout where no groups were given. ``reason``: why all this is NaN; empty if it is not.
    """

    threshold: float
    recall: Interval
    false_positives: Interval
    recall_by_group: Interval = _NOTHING
    false_positives_by_group: Interval = _NOTHING
    reason: str = ""


def threshold_at(negatives: Shaped[np.ndarray, " n"], rate: float = 0.01) -> float | None:
    """The smallest threshold with at most ``rate`` of the negatives above it; None with fewer than 1 / ``rate``.

    It is the (k + 1)-th highest score, k = floor(``rate`` n). Equal scores there are all flagged or none, so none are,
    and the rate is then below the one that was asked for. Of other negatives of the same kind (k + 1) / (n + 1) are
    above it on average, or fewer with ties: for a rate of .01 that is .0198 with n = 100 and .0110 with n = 1,000.
    Fewer than 1 / ``rate`` negatives say nothing of so low a rate; their highest score would be a threshold with
    1 / (n + 1).

    Raises:
        UsageError: a rate that is not between 0 and 1, or scores that are NaN.
    """
    if not 0 < rate < 1:
        raise UsageError(f"the rate of false positives must be between 0 and 1. Got {rate} instead.")
    scores = _checked(negatives, "negatives")
    allowed = math.floor(rate * scores.size + _ROUNDING)
    return float(np.sort(scores)[scores.size - 1 - allowed]) if allowed else None


def recall_at(
    scores_negative_choose: Shaped[np.ndarray, " n"],
    scores_positive: Shaped[np.ndarray, " p"],
    scores_negative_test: Shaped[np.ndarray, " q"],
    rate: float = 0.01,
    level: float = 0.95,
    *,
    groups_positive: Shaped[np.ndarray, " p_groups"] | None = None,
    groups_negative_test: Shaped[np.ndarray, " q_groups"] | None = None,
) -> RecallAt:
    """Set a threshold on negatives for choosing, tell recall and the rate of false positives on test cases.

    The exact intervals (:func:`clopper_pearson`) take the cases as independent, which those of one template or one
    prompt are not: give the groups, and see the intervals by group (:func:`assay.stats.concordance.clustered_share`,
    at 95 %). Unscored, with a reason, if the negatives for choosing are too few to set the threshold by.

    Raises:
        UsageError: a rate that is not between 0 and 1, scores that are NaN, or not one group a case.
    """
    threshold = threshold_at(scores_negative_choose, rate)
    if threshold is None:
        needed, got = math.ceil(1 / rate - _ROUNDING), len(scores_negative_choose)
        reason = f"a false positive rate of {rate:.3g} needs {needed} negatives to set a threshold by; got {got}"
        return RecallAt(math.nan, _NOTHING, _NOTHING, reason=reason)
    found = _checked(scores_positive, "positives") > threshold
    alarms = _checked(scores_negative_test, "negatives") > threshold
    return RecallAt(
        threshold,
        clopper_pearson(int(found.sum()), found.size, level),
        clopper_pearson(int(alarms.sum()), alarms.size, level),
        _by_group(found, groups_positive),
        _by_group(alarms, groups_negative_test),
    )


def recall_estimate(
    scores: Shaped[np.ndarray, " n"],
    threshold: float,
    groups: Shaped[np.ndarray, " n_groups"],
    replicates: int = 2000,
    seed: int = 0,
) -> Estimate:
    """The share of cases above a threshold with its bootstrap over groups: recall of positives, alarms of negatives.

    For differences of two scorers on the same cases, resample by resample. As an interval of its own the percentiles
    collapse to a point where all or none are found; :func:`recall_at` has one that does not. Without two groups no
    resample says anything, and all are NaN.

    Raises:
        UsageError: scores that are NaN, not one group a case, or no case at all.
    """
    flagged = _checked(scores, "cases") > threshold
    _one_group_each(flagged, groups)
    index = document_index(groups)
    weights = document_weights(index.n_documents, replicates, seed)
    sums = document_sums([flagged, np.ones(flagged.size)], index.of_token, index.n_documents)
    drawn = weights @ sums if index.n_documents > 1 else np.full((replicates, 2), np.nan)
    return Estimate(float(flagged.mean()), drawn[:, 0] / drawn[:, 1])


def _by_group(flagged: Shaped[np.ndarray, " n"], groups: Shaped[np.ndarray, " k"] | None) -> Interval:
    if groups is None:
        return _NOTHING
    _one_group_each(flagged, groups)
    return clustered_share(flagged, groups).share


def _one_group_each(cases: Shaped[np.ndarray, " n"], groups: Shaped[np.ndarray, " k"]) -> None:
    if len(groups) != len(cases):
        raise UsageError(f"each case needs its group. Got {len(cases)} cases and {len(groups)} groups.")


def _checked(scores: Shaped[np.ndarray, " n"], what: str) -> Float[np.ndarray, " n"]:
    checked = scores.astype(np.float64)
    unscored = int(np.isnan(checked).sum())
    if unscored:
        raise UsageError(f"every case must have a score. Got NaN for {unscored} of {checked.size} {what}.")
    return checked
