"""Representation reading, and its trap."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.decomposition import PCA

from assay.errors import FitError
from assay.probe import LAT, MeanDifference
from fit.probes.planted import cosine, negations, planted


def cosines(probe, snr=1.0, m=600, d=256, seeds=8, **settings):
    found = []
    for seed in range(seeds):
        data = negations(m, d, snr, seed, **settings)
        found.append(cosine(probe.fit(data.x, data.y, pairs=data.pairs).coef_[0], data.truth))
    return np.array(found)


def spiked(snr, m, d):
    """Cosine of the first component to a planted one, at a large size (Paul 2007)."""
    share, spike = d / m, 2 * snr**2
    return math.sqrt((1 - share / spike**2) / (1 + share / spike))


@pytest.mark.parametrize("order", [True, False])
def test_the_component_of_the_differences_is_as_near_the_truth_as_theory_says(order):
    found = cosines(LAT(), ordered=order)
    assert found.mean() == pytest.approx(spiked(1.0, 600, 256), abs=0.02)


def test_centring_differences_in_one_order_throws_the_concept_away():
    trap, mean = cosines(LAT(shuffle=False, centre=True)), cosines(MeanDifference())
    assert np.sqrt(np.mean(trap**2)) < 2 / math.sqrt(256)  # a random direction's is 1 / sqrt(d)
    assert mean.min() > 0.8
    assert cosines(LAT(shuffle=False)).min() > 0.8


def test_in_random_order_centring_takes_away_next_to_nothing():
    one, other = cosines(LAT()), cosines(LAT(centre=True))
    assert np.abs(one - other).max() < 0.03
    assert (one != other).all()


def test_not_centred_the_order_does_not_matter():
    data = negations(50, 20, 1.0)
    weights = [
        LAT(shuffle=shuffle, random_state=seed).fit(data.x, data.y, pairs=data.pairs).coef_
        for shuffle in (True, False)
        for seed in range(3)
    ]
    for one in weights[1:]:
        np.testing.assert_allclose(one, weights[0], atol=1e-6)


@pytest.mark.parametrize(("m", "d"), [(50, 20), (20, 50)])
def test_the_centred_component_is_that_of_scikit_learn(m, d):
    data = negations(m, d, 1.0, ordered=True)
    theirs = PCA(1, svd_solver="full").fit(data.x[::2] - data.x[1::2]).components_[0]
    ours = LAT(shuffle=False, centre=True).fit(data.x, data.y, pairs=data.pairs)
    assert cosine(ours.coef_[0], theirs) == pytest.approx(1, abs=1e-10)
    assert ours.decision_function(data.x).mean() == pytest.approx(0, abs=1e-6)


def test_an_order_that_is_not_drawn_is_that_of_the_labels_or_of_the_rows():
    data = negations(40, 12, 1.0)
    rows = data.x.reshape(40, 2, 12)
    as_they_stand = PCA(1).fit(rows[:, 0] - rows[:, 1]).components_[0]
    sign = np.where(data.y[::2] == 1, 1, -1)[:, None]
    by_label = PCA(1).fit(sign * (rows[:, 0] - rows[:, 1])).components_[0]
    probe = LAT(shuffle=False, centre=True)
    assert cosine(probe.fit(data.x, pairs=data.pairs).coef_[0], as_they_stand) == pytest.approx(1, abs=1e-10)
    assert cosine(probe.fit(data.x, data.y, pairs=data.pairs).coef_[0], by_label) == pytest.approx(1, abs=1e-10)
    assert cosine(as_they_stand, by_label) < 0.9


def test_without_pairs_rows_are_paired_by_lot():
    data = planted(2001, 20, 2.0)
    one = LAT().fit(data.x, data.y)
    assert cosine(one.coef_[0], data.truth) > 0.97
    assert (one.coef_ != LAT(random_state=1).fit(data.x, data.y).coef_).any()


def test_the_sign_without_labels_is_that_of_the_largest_entry():
    data = negations(40, 12, 1.0)
    weights = LAT().fit(data.x, pairs=data.pairs).coef_[0]
    assert weights[np.abs(weights).argmax()] > 0


def test_what_lat_refuses():
    data = negations(6, 4, 1.0)
    with pytest.raises(FitError, match="no two rows are a pair; LAT needs pairs, or None to draw them"):
        LAT().fit(data.x, data.y, pairs=[""] * 12)
    with pytest.raises(FitError, match="two rows of every pair are equal"):
        LAT().fit(np.repeat(data.x[::2], 2, 0), data.y, pairs=data.pairs)
    with pytest.raises(FitError, match="pair '3' has 6 rows; a contrast pair has two"):
        LAT().fit(data.x, data.y, pairs=[3] * 6 + [-1] * 6)
