from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import t

from assay.stats import wilson
from assay.stats.concordance import Choice, _student, clustered_share, concordance, repeated


def naive(chosen, other, units, lower):
    agree, total, seen = 0, 0, set()
    for one, two, unit in zip(chosen, other, units, strict=True):
        if math.isnan(one) or math.isnan(two) or one == two:
            continue
        total += 1
        agree += one < two if lower else one > two
        seen.add(unit)
    return agree / total, total, len(seen)


@pytest.mark.parametrize("lower", [False, True])
def test_the_share_is_that_of_a_loop_over_pairs(lower):
    draw = np.random.default_rng(3)
    chosen, other = draw.integers(0, 5, (2, 200)).astype(float)
    chosen[draw.random(200) < 0.1] = np.nan
    other[draw.random(200) < 0.1] = np.nan
    units = draw.integers(0, 17, 200).astype(str)
    found = concordance(chosen, other, units, lower_is_better=lower)
    assert (found.share.value, found.choices, found.units) == pytest.approx(naive(chosen, other, units, lower))


def test_the_other_orientation_is_the_other_share():
    draw = np.random.default_rng(4)
    chosen, other = draw.normal(size=(2, 90))
    units = draw.integers(0, 12, 90)
    high, low = (concordance(chosen, other, units, lower_is_better=lower).share for lower in (False, True))
    assert low == pytest.approx((1 - high.value, 1 - high.hi, 1 - high.lo))


def raters(draw, units, mean, accuracy, spread):
    """Choices of raters who see the better of two explanations with this probability, or one around it by unit."""
    counts = np.maximum(1, draw.poisson(mean, units))
    by_unit = np.full(units, accuracy)
    if spread:
        by_unit = draw.beta(accuracy * (1 / spread - 1), (1 - accuracy) * (1 / spread - 1), units)
    index = np.repeat(np.arange(units), counts)
    better, worse = 0.5 + draw.random(index.size), -0.5 + draw.random(index.size) - 1
    right = draw.random(index.size) < by_unit[index]
    return np.where(right, better, worse), np.where(right, worse, better), index


@pytest.mark.parametrize("accuracy", [0.5, 0.75])
@pytest.mark.parametrize(("units", "mean", "spread"), [(12, 3, 0.0), (12, 5, 0.3), (30, 2, 0.15)])
def test_intervals_hold_the_accuracy_of_raters(accuracy, units, mean, spread):
    draw, studies = np.random.default_rng([units, mean]), 600
    inside, shares = 0, []
    for _ in range(studies):
        found = concordance(*raters(draw, units, mean, accuracy, spread), replicates=400).share
        inside += found.lo <= accuracy <= found.hi
        shares.append(found.value)
    # Over more settings it was .93 to .99; four standard errors of 600 studies are .036 at .95.
    assert 0.915 <= inside / studies <= 0.999
    assert np.mean(shares) == pytest.approx(accuracy, abs=5 * np.std(shares) / math.sqrt(studies))


def test_a_rater_at_chance_gets_a_half():
    found = concordance(*raters(np.random.default_rng(1), 400, 10, 0.5, 0.0)).share
    assert found.value == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(4000))
    assert found.lo < 0.5 < found.hi
    assert found.hi - found.lo < 0.04


def test_where_all_agree_a_unit_counts_as_one_case():
    units = np.repeat(np.arange(12), 5)
    found = clustered_share(np.ones(60, bool), units).share
    assert found.value == found.hi == 1
    assert found.lo < wilson(12, 12).lo  # Student's t is wider than the normal
    assert found.lo > 0.6


def test_more_choices_about_the_same_units_do_not_count_as_more_units():
    draw = np.random.default_rng(8)
    right = draw.random(15) < 0.6
    once, often = (clustered_share(np.repeat(right, n), np.repeat(np.arange(15), n)).share for n in (1, 50))
    assert often == pytest.approx(once, abs=1e-9)


def test_without_choices_or_with_one_unit_there_are_no_bounds():
    empty = np.array([], float)
    assert concordance(empty, empty, np.array([], str)).choices == 0
    one = concordance(np.array([1.0, 2.0]), np.array([0.0, 3.0]), np.array(["u", "u"]))
    assert one.share.value == 0.5
    assert math.isnan(one.share.lo)


def test_a_share_is_told_from_thirty_choices_over_ten_units_on():
    def enough(choices, units):
        return clustered_share(np.ones(choices, bool), np.arange(choices) % units).enough

    assert [enough(29, 10), enough(30, 9), enough(30, 10)] == [False, False, True]


def test_repeated_choices_are_compared_within_and_between_raters():
    said = [
        Choice("u", "0-1", "a", "ann"),
        Choice("u", "0-1", "a", "ann"),
        Choice("u", "0-1", "b", "bo"),
        Choice("u", "0-2", "b", "bo"),
        Choice("v", "0-1", "b", "bo"),
    ]
    one, two = repeated(said)
    assert (one.choices, one.share.value) == (1, 1.0)
    assert (two.choices, two.share.value) == (2, 0.0)


@pytest.mark.parametrize("freedom", [6, 9, 20, 100])
def test_quantiles_of_student_are_scipys(freedom):
    assert _student(freedom) == pytest.approx(t.ppf(0.975, freedom), abs=2e-3)
