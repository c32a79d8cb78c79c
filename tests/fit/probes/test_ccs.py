"""Contrast-consistent search, again and again, and the labellings that it can't tell apart."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.special import expit
from scipy.stats import binom

from assay.errors import FitError, UsageError
from assay.fit.probes.ccs import ccs_loss, loss_and_gradient
from assay.probe import CCS, RecursiveCCS, folded_accuracy, orthogonal_random, sign_vectors
from fit.probes.planted import cosine, negations, not_direction


def naive_loss(plus, minus, weights, intercept):
    total = 0.0
    for one, two in zip(plus, minus, strict=True):
        p = 1 / (1 + math.exp(-(one @ weights + intercept)))
        q = 1 / (1 + math.exp(-(two @ weights + intercept)))
        total += (p - (1 - q)) ** 2 + min(p, q) ** 2
    return total / len(plus)


@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_the_gradient_is_that_of_the_loss(l2):
    rng = np.random.default_rng(0)
    plus, minus = rng.normal(size=(2, 30, 6))
    for _ in range(5):
        at = rng.normal(size=7)
        loss, gradient = loss_and_gradient(plus, minus, at, l2)
        assert loss == pytest.approx(naive_loss(plus, minus, at[:6], at[6]) + l2 / 2 * (at[:6] @ at[:6]), rel=1e-12)
        numeric = approx_fprime(at, lambda x: loss_and_gradient(plus, minus, x, l2)[0], 1e-7)
        np.testing.assert_allclose(gradient, numeric, atol=3e-7)


@pytest.mark.parametrize(("m", "d", "snr", "least"), [(200, 24, 4.0, 0.93), (300, 400, 5.0, 0.85)])
def test_it_finds_a_planted_truth_without_labels(m, d, snr, least):
    data = negations(m, d, snr)
    probe = CCS(n_init=4).fit(data.x, pairs=data.pairs)
    rng = np.random.default_rng(1)
    new_y = rng.integers(0, 2, 1000)
    new = snr * np.outer(2 * new_y - 1, data.truth) + math.sqrt(2) * rng.normal(size=(1000, d))
    assert cosine(probe.coef_[0], data.truth) > least
    assert folded_accuracy(probe.decision_function(new)[:, None], new_y)[0] > 0.97
    said = ccs_loss(*(probe.decision_function(data.x[side::2])[:, None] for side in (0, 1)))[0]
    assert probe.loss_ == pytest.approx(said, rel=1e-4)
    assert probe.loss_ == probe.losses_.min()
    assert probe.losses_.shape == (4,)


def test_labels_only_turn_it_round():
    data = negations(100, 10, 3.0)
    bare = CCS(n_init=2).fit(data.x, pairs=data.pairs)
    told = CCS(n_init=2).fit(data.x, data.y, pairs=data.pairs)
    np.testing.assert_array_equal(np.abs(bare.coef_), np.abs(told.coef_))
    assert told.score(data.x, data.y) > 0.95
    assert folded_accuracy(bare.decision_function(data.x)[:, None], data.y)[0] == told.score(data.x, data.y)


def test_the_not_is_found_unless_each_side_is_normalised():
    """What all second sides share is consistent too, and plainer than the truth."""
    data = negations(200, 30, 3.0, second=12.0)
    joint = CCS(normalize="joint", n_init=4).fit(data.x, pairs=data.pairs)
    sides = CCS(normalize="sides", shuffle=False, n_init=4).fit(data.x, pairs=data.pairs)
    assert cosine(joint.coef_[0], not_direction(30)) > 0.8
    assert cosine(joint.coef_[0], data.truth) < 0.5
    assert cosine(sides.coef_[0], data.truth) > 0.85
    assert abs(sides.decision_function(data.x).mean()) < 0.3 * sides.decision_function(data.x).std()


def test_normalising_makes_up_for_the_units_of_coordinates():
    data = negations(100, 12, 3.0)
    units = 10.0 ** np.linspace(-3, 3, 12)
    one = CCS(n_init=3).fit(data.x, pairs=data.pairs)
    other = CCS(n_init=3).fit(data.x * units + 100, pairs=data.pairs)
    np.testing.assert_allclose(other.coef_ * units, one.coef_, rtol=1e-3, atol=1e-3 * np.abs(one.coef_).max())
    raw = CCS(n_init=3, normalize=None).fit(data.x * units + 100, pairs=data.pairs)
    assert cosine(raw.coef_[0] * units, one.coef_[0]) < 0.9


def test_with_fewer_pairs_than_dimensions_wrong_directions_have_no_loss():
    """Unpenalised, as published, from single starts; the penalty picks a direction along which pairs differ more."""
    alone, best = [], []
    for seed in range(10):
        data = negations(60, 300, 5.0, seed)
        bare = CCS(n_init=1, l2=0.0, random_state=seed).fit(data.x, pairs=data.pairs)
        assert bare.loss_ < 1e-4
        alone.append(cosine(bare.coef_[0], data.truth))
        best.append(cosine(CCS(random_state=seed).fit(data.x, pairs=data.pairs).coef_[0], data.truth))
    assert 2 <= sum(one < 0.6 for one in alone) <= 8
    assert min(alone) < 0.3
    assert np.mean(best) > 0.8


def test_the_weights_lie_in_the_span_of_the_pairs():
    data = negations(20, 100, 3.0)
    weights = CCS(n_init=1).fit(data.x, pairs=data.pairs).coef_[0]
    centred = data.x - data.x.mean(0)
    inside = centred.T @ np.linalg.lstsq(centred.T, weights, rcond=None)[0]
    np.testing.assert_allclose(inside, weights, atol=1e-5 * np.abs(weights).max())
    padded = np.hstack([data.x[:, :5], np.full((40, 2), 7.0)])
    assert CCS(n_init=1).fit(padded, pairs=data.pairs).coef_[0, 5:].tolist() == pytest.approx([0, 0], abs=1e-12)


def test_what_ccs_refuses():
    data = negations(6, 4, 1.0)
    with pytest.raises(FitError, match="CCS needs contrast pairs, such as a statement and its negation"):
        CCS().fit(data.x, data.y)
    with pytest.raises(FitError, match="no two rows are a pair; CCS needs"):
        CCS().fit(data.x, data.y, pairs=np.arange(12))
    with pytest.raises(FitError, match="two rows of every pair are equal"):
        CCS().fit(np.repeat(data.x[::2], 2, 0), data.y, pairs=data.pairs)
    with pytest.raises(FitError, match=r"normalize must be joint, sides or None.* Got 'both', 10 and 0.01 instead."):
        CCS(normalize="both").fit(data.x, data.y, pairs=data.pairs)
    with pytest.raises(FitError, match="Got 'joint', 0 and"):
        CCS(n_init=0).fit(data.x, data.y, pairs=data.pairs)


def test_each_direction_is_found_in_what_those_before_have_left():
    data = negations(150, 20, 4.0)
    probe = RecursiveCCS(n_directions=5, n_init=3).fit(data.x, data.y, pairs=data.pairs)
    np.testing.assert_allclose(probe.directions_ @ probe.directions_.T, np.eye(5), atol=1e-12)
    once = CCS(n_init=3).fit(data.x, data.y, pairs=data.pairs)
    np.testing.assert_array_equal(probe.coef_, once.coef_)
    assert probe.loss_ == once.loss_ == probe.losses_[0]
    assert probe.losses_.shape == probe.intercepts_.shape == (5,)
    assert (probe.losses_[1:] > 5 * probe.losses_[0]).all()
    first = probe.directions_[:1]
    again = CCS(n_init=3).fit(data.x - data.x @ first.T @ first, data.y, pairs=data.pairs)
    assert cosine(probe.directions_[1], again.coef_[0] - first[0] * (first[0] @ again.coef_[0])) == pytest.approx(1)
    said = probe.decisions(data.x)
    size = np.linalg.norm(once.coef_)
    np.testing.assert_allclose(said[:, 0] * size, once.decision_function(data.x), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(said[:, 1] > 0, again.decision_function(data.x - data.x @ first.T @ first) > 0)


def test_two_planted_truths_lie_in_the_first_two_directions():
    rng = np.random.default_rng(2)
    m, d = 300, 16
    planes = orthogonal_random(d, 2, 3)
    signs = rng.choice([-1.0, 1.0], (m, 2))
    plus = 5 * signs @ planes + rng.normal(size=(m, d))
    minus = -5 * signs @ planes + rng.normal(size=(m, d))
    x = np.stack([plus, minus], 1).reshape(-1, d)
    probe = RecursiveCCS(n_directions=3, n_init=4).fit(x, pairs=np.arange(2 * m) // 2)
    inside = np.linalg.norm(probe.directions_ @ planes.T, axis=1)
    assert inside[:2].min() > 0.9
    assert probe.losses_[2] > 5 * probe.losses_[1]


def test_there_are_no_more_directions_than_x_varies_in():
    data = negations(20, 3, 1.0)
    with pytest.raises(FitError, match=r"n_directions must be from 1 to the 3 dimensions of X. Got 4 instead."):
        RecursiveCCS(n_directions=4).fit(data.x, pairs=data.pairs)
    flat = data.x @ orthogonal_random(8, 3, 0)
    with pytest.raises(FitError, match="after 3 directions nothing is left of X; lower n_directions"):
        RecursiveCCS(n_directions=4, n_init=1).fit(flat, pairs=data.pairs)


def test_folded_accuracy_of_coins_is_above_a_half():
    rng = np.random.default_rng(5)
    n, k = 100, 4000
    labels = rng.integers(0, 2, n)
    found = folded_accuracy(rng.normal(size=(n, k)), labels)
    share = np.arange(n + 1) / n
    expected = float(binom.pmf(np.arange(n + 1), n, 0.5) @ np.maximum(share, 1 - share))
    assert expected > 0.535
    assert found.mean() == pytest.approx(expected, abs=5 * 0.03 / math.sqrt(k))
    values = np.array([[1.0, -1.0], [-2.0, 3.0], [4.0, 0.5]])
    assert folded_accuracy(values, np.array([1, 0, 1])).tolist() == pytest.approx([1, 2 / 3])
    assert folded_accuracy(values, np.array([1, 0, 1]), 3.5).tolist() == pytest.approx([2 / 3, 2 / 3])


def test_all_sign_vectors_of_twelve_facts_are_solutions():
    truth = np.random.default_rng(6).random(12) < 0.5
    found = sign_vectors(truth)
    assert found.signs.shape == (4096, 12)
    assert len(np.unique(found.signs, axis=0)) == 4096
    np.testing.assert_allclose(found.losses, expit(-10.0) ** 2, rtol=1e-9)
    assert found.losses.max() < 1e-8
    counts = np.bincount(np.rint(found.accuracies * 12).astype(int), minlength=13)
    np.testing.assert_allclose(counts, 4096 * binom.pmf(np.arange(13), 12, 0.5), rtol=1e-9)
    best = found.signs[found.accuracies == 1]
    assert (best == np.where(truth, 1, -1)).all()
    assert best.shape == (1, 12)
    facts = np.eye(12)
    for row in (0, 77, 4095):
        assert naive_loss(facts, -facts, 10.0 * found.signs[row], 0.0) == pytest.approx(found.losses[row], rel=1e-9)
    np.testing.assert_allclose(sign_vectors(truth, 1.0).losses, expit(-1.0) ** 2)


def test_ccs_itself_gives_a_labelling_by_lot():
    facts = np.eye(12)
    x = np.stack([facts, -facts], 1).reshape(-1, 12)
    found = [CCS(n_init=1, l2=0.0, random_state=seed).fit(x, pairs=np.arange(24) // 2) for seed in range(20)]
    assert max(probe.loss_ for probe in found) < 1e-3
    signs = np.sign([probe.coef_[0] for probe in found])
    assert (np.abs(signs) == 1).all()
    assert len(np.unique(signs, axis=0)) >= 15


def test_more_facts_than_can_be_enumerated_are_refused():
    with pytest.raises(UsageError, match=r"enumerated for 1 to 16 facts. Got 20."):
        sign_vectors(np.ones(20, bool))
