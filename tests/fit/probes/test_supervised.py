"""Mean difference, LDA and logistic regression, against closed forms and against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression

from assay.errors import FitError
from assay.fit.probes.lda import ledoit_wolf
from assay.fit.probes.logistic import CS, _folds, held_out_losses
from assay.fit.probes.newton import newton_logistic
from assay.probe import LDA, Logistic, MeanDifference, RandomDirection, orthogonal_random
from fit.probes.planted import cosine, planted, unit


def gap(data):
    return data.x[data.y == 1].mean(0) - data.x[data.y == 0].mean(0)


@pytest.mark.parametrize(("n", "d", "snr"), [(300, 576, 1.0), (2000, 64, 0.5), (2000, 100, 0.2)])
def test_the_mean_difference_is_as_near_the_truth_as_theory_says(n, d, snr):
    found = [
        cosine(MeanDifference().fit(data.x, data.y).coef_[0], data.truth)
        for data in (planted(n, d, snr, seed) for seed in range(20))
    ]
    # the difference is 2 snr truth + noise of variance 4 / n in each of d coordinates
    assert np.mean(found) == pytest.approx(1 / math.sqrt(1 + d / (n * snr**2)), abs=0.015)


def test_the_mean_difference_is_0_half_way():
    data = planted(80, 5, 1.0, share=0.2)
    probe = MeanDifference().fit(data.x, data.y)
    means = np.stack([data.x[data.y == 1].mean(0), data.x[data.y == 0].mean(0)])
    assert probe.decision_function(means).sum() == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(probe.coef_[0], means[0] - means[1], rtol=1e-6)


def within(data):
    return data.x - np.where(data.y[:, None] == 1, data.x[data.y == 1].mean(0), data.x[data.y == 0].mean(0))


@pytest.mark.parametrize("shrinkage", [None, 1e-3, 0.5, 1.0])
@pytest.mark.parametrize(("n", "d"), [(300, 12), (60, 60), (40, 90)])
def test_lda_is_that_of_scikit_learn(n, d, shrinkage):
    data = planted(n, d, 1.0, share=0.3)
    ours = LDA(shrinkage).fit(data.x, data.y)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=ours.shrinkage_).fit(data.x, data.y)
    size = np.abs(theirs.coef_).max()
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-6 * size)
    assert ours.intercept_ == pytest.approx(theirs.intercept_, rel=1e-6, abs=1e-6)


def test_lda_without_shrinkage_is_that_of_scikit_learn():
    data = planted(200, 12, 1.0)
    theirs = LinearDiscriminantAnalysis(solver="lsqr").fit(data.x, data.y)
    np.testing.assert_allclose(LDA(0).fit(data.x, data.y).coef_, theirs.coef_, rtol=1e-5)


@pytest.mark.parametrize(("n", "d"), [(300, 12), (40, 90)])
def test_the_share_of_ledoit_and_wolf_is_that_of_scikit_learn(n, d):
    centred = within(planted(n, d, 1.0)) * np.linspace(0.1, 3, d)
    theirs = ledoit_wolf_shrinkage(centred, assume_centered=True)
    assert 0 < theirs < 1
    for squares in (centred @ centred.T, centred.T @ centred):
        assert ledoit_wolf(centred, squares) == pytest.approx(theirs, rel=1e-10)


def test_lda_sees_through_noise_that_the_classes_share():
    rng = np.random.default_rng(3)
    n, d = 3000, 40
    truth, loud = unit(rng, d), unit(rng, d)
    y = rng.integers(0, 2, n)
    x = np.outer(2 * y - 1, truth) * 0.5 + rng.normal(size=(n, d)) + 60 * np.outer(rng.normal(size=n), loud)
    best = truth - loud * (loud @ truth) * 3600 / 3601
    assert cosine(MeanDifference().fit(x, y).coef_[0], best) < 0.9
    assert cosine(LDA(1e-4).fit(x, y).coef_[0], best) > 0.95


def test_lda_says_what_follows_from_more_dimensions_than_rows():
    data = planted(20, 30, 1.0)
    with pytest.raises(FitError, match="covariance within classes, of 20 rows in 30 dimensions, can't be inverted"):
        LDA(0).fit(data.x, data.y)
    twice = np.hstack([planted(50, 3, 1.0).x] * 2)
    with pytest.raises(FitError, match="of 50 rows in 6 dimensions"):
        LDA(0).fit(twice, np.arange(50) % 2)
    with pytest.raises(FitError, match="rows don't vary within the classes"):
        LDA().fit([[0.0, 1.0], [2.0, 1.0], [0.0, 1.0]], [0, 1, 0])
    with pytest.raises(FitError, match=r"shrinkage must be None or from 0 to 1. Got 1.5 instead."):
        LDA(1.5).fit(data.x, data.y)


@pytest.mark.parametrize(("n", "d", "c"), [(300, 20, 1e-3), (300, 20, 100.0), (60, 150, 0.1), (60, 150, 100.0)])
def test_logistic_is_that_of_scikit_learn_on_raw_rows(n, d, c):
    """With d > n it is solved in the span of the rows; scikit-learn is given the rows as they are."""
    data = planted(n, d, 1.0, share=0.3, sd=3.0)
    ours = Logistic(C=c).fit(data.x, data.y)
    assert ours.scale_ == pytest.approx((data.x - data.x.mean(0)).std(), rel=1e-12)
    raw = c / ours.scale_**2
    theirs = LogisticRegression(C=raw, solver="newton-cholesky", tol=1e-12, max_iter=500).fit(data.x, data.y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-6 * np.abs(theirs.coef_).max())
    assert ours.intercept_ == pytest.approx(theirs.intercept_, abs=1e-5)


def test_c_means_the_same_at_every_scale_of_the_rows():
    data = planted(120, 30, 1.0)
    one, other = (Logistic().fit(scale * data.x, data.y) for scale in (1.0, 1000.0))
    assert one.C_ == other.C_
    np.testing.assert_allclose(one.coef_, 1000 * other.coef_, rtol=1e-5)


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_the_mean_difference_is_the_limit_of_the_penalty(share):
    data = planted(200, 50, 1.0, share=share)
    weights = Logistic().path(data.x, data.y, 10.0 ** np.arange(2, -9, -2))
    cosines = [cosine(row, gap(data)) for row in weights]
    assert weights.shape == (6, 50)
    assert cosines == sorted(cosines)
    assert cosines[0] < 0.9
    assert cosines[-1] == pytest.approx(1, abs=1e-9)
    n, scale = len(data.y), (data.x - data.x.mean(0)).std()
    limit = 1e-8 * n * data.y.mean() * (1 - data.y.mean()) * gap(data) / scale**2
    np.testing.assert_allclose(weights[-1], limit, rtol=1e-4, atol=1e-4 * np.abs(limit).max())


def test_the_path_is_made_of_fits():
    data = planted(60, 80, 1.0)
    rows = Logistic(C=3.0).path(data.x, data.y, [1.0, 0.01, 10.0])
    for c, row in zip([1.0, 0.01, 10.0], rows, strict=True):
        np.testing.assert_allclose(Logistic(C=c).fit(data.x, data.y).coef_[0], row, atol=1e-6 * np.abs(row).max())
    with pytest.raises(FitError, match="Cs must be one or more numbers above 0"):
        Logistic().path(data.x, data.y, [1.0, 0.0])


def test_the_losses_of_the_path_are_those_of_a_loop():
    data = planted(90, 15, 0.7)
    positive, groups = data.y == 1, np.repeat(np.arange(30), 3)
    found = held_out_losses(data.x, positive, groups, CS[:4], np.random.default_rng(4))
    folds = list(_folds(positive, groups, np.random.default_rng(4)))
    assert sum(fold.astype(int) for fold in folds).tolist() == [1] * 90
    for held in folds:
        assert not set(groups[held]) & set(groups[~held])
    for c, loss in zip(CS[:4], found, strict=True):
        naive = 0.0
        for held in folds:
            model = LogisticRegression(C=c, solver="newton-cholesky", tol=1e-10).fit(data.x[~held], data.y[~held])
            chance = model.predict_proba(data.x[held])[np.arange(held.sum()), data.y[held]]
            naive -= np.log(chance).sum() / 90
        assert loss == pytest.approx(naive, abs=1e-4)


def test_folds_that_tear_groups_choose_too_large_a_c():
    """Each group has a label and noise of its own, so that whoever has seen it can tell it by that."""
    rng = np.random.default_rng(6)
    groups = np.repeat(np.arange(24), 8)
    y = rng.permutation(np.arange(24) % 2)[groups]
    x = 2 * rng.normal(size=(24, 100))[groups] + rng.normal(size=(192, 100))
    kept, torn = Logistic().fit(x, y, groups=groups), Logistic().fit(x, y)
    assert kept.C_ <= 1e-3
    assert torn.C_ >= 1e-2
    assert np.nanmin(torn.path_losses_) < 0.3
    assert np.nanmin(kept.path_losses_) > 0.6
    worse = int(np.nanargmin(kept.path_losses_)) + 3  # two in a row, and then no more
    assert np.isnan(kept.path_losses_).tolist() == [False] * worse + [True] * (7 - worse)


def test_pairs_are_groups_where_none_are_given():
    data = planted(90, 10, 0.7)
    ids = np.random.default_rng(8).permutation(np.arange(90) // 2)
    by_pair, by_group = Logistic().fit(data.x, data.y, pairs=ids), Logistic().fit(data.x, data.y, groups=ids)
    alone = Logistic().fit(data.x, data.y)
    assert len(np.unique(ids)) == 45
    assert np.nanmin(by_pair.path_losses_) != np.nanmin(alone.path_losses_)
    assert np.nanmin(by_pair.path_losses_) == pytest.approx(np.nanmin(by_group.path_losses_), abs=0.05)


def test_what_logistic_refuses():
    data = planted(20, 5, 1.0)
    with pytest.raises(FitError, match=r"C must be None or above 0. Got -1 instead."):
        Logistic(C=-1).fit(data.x, data.y)
    with pytest.raises(FitError, match="none of 2 groups can be held out and leave both classes; give C"):
        Logistic().fit(data.x, data.y, groups=data.y)
    with pytest.raises(FitError, match=r"groups must have one id a row: got shape \(3,\) for 20 rows"):
        Logistic().fit(data.x, data.y, groups=["a", "b", "c"])
    with pytest.raises(FitError, match="10 pairs lie in two groups each, the first in 0 and 1; give pairs one group"):
        Logistic().fit(data.x, data.y, pairs=np.arange(20) // 2, groups=np.arange(20))


def test_newton_stands_at_the_bottom_where_the_classes_are_apart():
    """A margin so wide that all curvature underflows on the way."""
    x = np.concatenate([np.full((5, 2), -1e3), np.full((5, 2), 1e3)])
    positive = np.arange(10) >= 5
    found = newton_logistic(x, positive, 1e6)
    sign = np.where(positive, 1.0, -1.0)
    wrong = 1 / (1 + np.exp(sign * (x @ found[:2] + found[2])))
    np.testing.assert_allclose(found[:2], 1e6 * (sign * wrong) @ x, rtol=1e-4)
    assert found[2] == pytest.approx(0, abs=1e-4)


def test_random_directions_know_nothing_but_which_side_is_which():
    data = planted(400, 100, 2.0, share=0.3)
    found = [RandomDirection(seed).fit(data.x, data.y) for seed in range(300)]
    cosines = np.array([probe.coef_[0] @ data.truth for probe in found])
    assert np.mean(cosines**2) == pytest.approx(1 / 100, abs=5 * math.sqrt(2 / 300) / 100)
    middle = (data.x[data.y == 1].mean(0) + data.x[data.y == 0].mean(0)) / 2
    for probe in found[:20]:
        assert np.linalg.norm(probe.coef_) == pytest.approx(1, abs=1e-6)
        assert probe.coef_[0] @ gap(data) > 0
        assert probe.decision_function(middle[None])[0] == pytest.approx(0, abs=1e-6)


def test_orthogonal_random_directions_are_orthonormal_and_uniform():
    found = orthogonal_random(40, 12, 0)
    np.testing.assert_allclose(found @ found.T, np.eye(12), atol=1e-12)
    firsts = np.stack([orthogonal_random(10, 3, seed) for seed in range(400)])
    # entries of a uniform unit vector have mean 0 and variance 1/d, fourth moment 3 / (d (d + 2))
    assert np.abs(firsts.mean(0)).max() < 4.5 * math.sqrt(1 / 10 / 400)
    assert np.abs(np.square(firsts).mean(0) - 0.1).max() < 4.5 * math.sqrt((3 / 120 - 1 / 100) / 400)
    with pytest.raises(FitError, match=r"1 to 4 orthogonal directions in 4 dimensions. Got 5 instead."):
        orthogonal_random(4, 5, 0)
