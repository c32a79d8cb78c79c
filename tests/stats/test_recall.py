"""Exact intervals of shares, and recall at a rate of false positives."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from assay.errors import UsageError
from assay.stats import (
    clopper_pearson,
    document_index,
    document_weights,
    recall_at,
    recall_estimate,
    threshold_at,
    wilson,
)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.floats(0, 1), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_clopper_pearson_is_scipy_s(cases: int, share: float, level: float) -> None:
    successes = round(share * cases)
    exact = binomtest(successes, cases).proportion_ci(level, method="exact")
    assert clopper_pearson(successes, cases, level) == pytest.approx((successes / cases, *exact), abs=1e-9)


def test_clopper_pearson_covers_whatever_the_truth() -> None:
    """Exact coverage, summed over all outcomes of 20 cases; Wilson's falls below the level."""
    lowest = {"exact": 1.0, "wilson": 1.0}
    for p in np.linspace(0.01, 0.99, 99):
        chance = binom.pmf(np.arange(21), 20, p)
        for name, method in (("exact", clopper_pearson), ("wilson", wilson)):
            covers = [found.lo <= p <= found.hi for found in (method(k, 20) for k in range(21))]
            lowest[name] = min(lowest[name], float(chance[covers].sum()))
    assert lowest["exact"] >= 0.95
    assert lowest["wilson"] < 0.93


def test_clopper_pearson_at_the_ends_and_without_cases() -> None:
    assert clopper_pearson(0, 10) == pytest.approx((0, 0, 1 - 0.025 ** (1 / 10)))
    assert clopper_pearson(10, 10) == pytest.approx((1, 0.025 ** (1 / 10), 1))
    assert all(math.isnan(x) for x in clopper_pearson(0, 0))
    for successes, cases in ((3, 2), (-1, 2)):
        with pytest.raises(UsageError, match="successes must be 0 to 2"):
            clopper_pearson(successes, cases)
    with pytest.raises(UsageError, match=r"level must be between 0 and 1, got 95.0"):
        clopper_pearson(1, 2, 95.0)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 8), min_size=1, max_size=60), st.sampled_from([0.01, 0.05, 0.1, 0.29, 0.5]))
def test_the_threshold_is_the_smallest_that_keeps_the_rate(scores: list[int], rate: float) -> None:
    negatives = np.array(scores, np.float64)
    found = threshold_at(negatives, rate)
    if found is None:
        assert len(scores) * rate < 1
        return
    within = [t for t in np.arange(-1, 9.5, 0.5) if (negatives > t).sum() <= rate * len(scores) + 1e-9]
    assert found == min(within)


def test_rounding_costs_no_negative() -> None:
    assert threshold_at(np.arange(100.0), 0.29) == 70  # .29 * 100 is 28.999999999999996; 29 of 100 are above 70
    assert threshold_at(np.arange(100.0)) == 98
    assert threshold_at(np.arange(99.0)) is None


def test_ties_at_the_threshold_are_not_flagged() -> None:
    negatives = np.r_[np.zeros(90), np.ones(10)]
    found = recall_at(negatives, np.array([1.0, 1.0, 2.0, 0.5]), negatives, rate=0.05)
    assert found.threshold == 1
    assert found.recall == clopper_pearson(1, 4)
    assert found.false_positives == clopper_pearson(0, 100)


def test_the_rate_on_other_negatives_is_what_is_said() -> None:
    """(k + 1) / (n + 1) on average: .0198 with 100 negatives to choose by, not .01."""
    rng = np.random.default_rng(0)
    rates = [recall_at(rng.random(100), np.ones(1), rng.random(500)).false_positives.value for _ in range(2000)]
    # One rate has a variance of about 2 / 101^2 + .0198 / 500, hence the mean a standard error of .0003.
    assert np.mean(rates) == pytest.approx(2 / 101, abs=5 * 0.00035)


def test_recall_is_told_of_other_cases() -> None:
    rng = np.random.default_rng(3)
    choose, test, positives = rng.standard_normal(400), rng.standard_normal(300), rng.standard_normal(50) + 2
    found = recall_at(choose, positives, test, level=0.9)
    assert found.threshold == np.sort(choose)[-5]
    assert found.recall == clopper_pearson(int((positives > found.threshold).sum()), 50, 0.9)
    assert found.false_positives == clopper_pearson(int((test > found.threshold).sum()), 300, 0.9)
    assert 0.2 < found.recall.value < 0.7
    assert math.isnan(found.recall_by_group.value)
    assert math.isnan(found.false_positives_by_group.value)
    assert found.reason == ""


def test_groups_widen_the_interval() -> None:
    """Ten prompts, each found five times or never: ten cases, not fifty."""
    scores, groups = np.repeat([2.0, 0.0] * 5, 5), np.repeat([f"prompt {i}" for i in range(10)], 5)
    found = recall_at(np.arange(100) / 100, scores, scores, groups_positive=groups, groups_negative_test=groups[::-1])
    assert found.recall.value == found.recall_by_group.value == 0.5
    assert found.recall.hi - found.recall.lo < 0.3
    assert found.recall_by_group.hi - found.recall_by_group.lo > 0.5
    assert found.false_positives_by_group == found.recall_by_group


def test_too_few_negatives_leave_it_unscored_and_say_why() -> None:
    found = recall_at(np.arange(99.0), np.ones(5), np.ones(5))
    assert found.reason == "a false positive rate of 0.01 needs 100 negatives to set a threshold by; got 99"
    assert np.isnan([found.threshold, *found.recall, *found.false_positives]).all()


def test_no_positives_are_no_recall() -> None:
    found = recall_at(np.arange(100.0), np.zeros(0), np.ones(5), groups_positive=np.zeros(0, int))
    assert np.isnan([*found.recall, *found.recall_by_group]).all()
    assert found.false_positives.value == 0


def test_recall_by_resamples_is_the_weighted_share() -> None:
    rng = np.random.default_rng(4)
    scores, groups = rng.standard_normal(40), rng.integers(0, 7, 40)
    found = recall_estimate(scores, 0.3, groups, 60, 2)
    index = document_index(groups)
    weights = document_weights(index.n_documents, 60, 2)[:, index.of_token]
    assert found.value == (scores > 0.3).mean()
    assert found.replicates == pytest.approx(np.average(np.tile(scores > 0.3, (60, 1)), axis=1, weights=weights))
    assert np.isnan(recall_estimate(scores, 0.3, np.zeros(40, int), 5).replicates).all()


def test_what_is_refused() -> None:
    one, bad = np.ones(200), np.array([0.0, np.nan])
    for rate in (0.0, 1.0):
        with pytest.raises(UsageError, match=rf"must be between 0 and 1. Got {rate} instead."):
            recall_at(one, one, one, rate)
    for arrays, what in (
        ((bad, one, one), "negatives"),
        ((one, bad, one), "positives"),
        ((one, one, bad), "negatives"),
    ):
        with pytest.raises(UsageError, match=f"Got NaN for 1 of 2 {what}."):
            recall_at(*arrays, rate=0.5)
    with pytest.raises(UsageError, match=r"each case needs its group. Got 200 cases and 2 groups."):
        recall_at(one, one, one, groups_positive=np.zeros(2, int))
    with pytest.raises(UsageError, match="each case needs its group"):
        recall_estimate(one, 0.5, np.zeros(2, int))
