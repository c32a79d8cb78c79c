from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score

from assay.stats import auprc, average_precision, best_threshold, bin_borders, document_weights, f1


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 64))
@example(0, 64)
def test_auprc_is_sklearn_s_up_to_64_distinct_predictions(seed: int, distinct: int) -> None:
    rng = np.random.default_rng(seed)
    predicted = rng.permutation(np.arange(300) % distinct) / 7
    fires = rng.random(300) < 0.1 + 0.3 * predicted / (predicted.max() + 1)
    fires[np.unique(predicted, return_index=True)[1]] = True  # every value at a firing, some at several
    documents = np.arange(300) // 30
    weights = document_weights(10, 20, seed=seed)
    found = auprc(predicted, fires, documents, weights)
    assert found.value == pytest.approx(average_precision_score(fires, predicted), abs=1e-12)
    for row, value in zip(weights, found.replicates, strict=True):
        tokens = np.repeat(np.arange(300), row[documents].astype(int))
        if fires[tokens].any():
            assert value == pytest.approx(average_precision_score(fires[tokens], predicted[tokens]), abs=1e-12)
        else:
            assert np.isnan(value)


@pytest.mark.parametrize("signal", [0.5, 2.0, 4.0])
def test_auprc_of_continuous_predictions_is_a_little_below_sklearn_s(signal: float) -> None:
    rng = np.random.default_rng(5)
    fires = rng.random(24_000) < 0.01
    predicted = rng.standard_normal(24_000) + signal * fires
    found = auprc(predicted, fires, np.arange(24_000) // 240, document_weights(100, 10))
    assert bin_borders(predicted, fires).size == 64
    short = average_precision_score(fires, predicted) - found.value
    assert 0 <= short < 0.007  # a step down is taken at the end of its bin: never too kind


def test_borders_are_predictions_at_firings_and_share_them_out() -> None:
    rng = np.random.default_rng(0)
    predicted = np.concatenate([rng.exponential(size=6000), np.full(500, 0.7)])
    fires = rng.random(6500) < 0.1
    borders = bin_borders(predicted, fires)
    assert np.all(np.diff(borders) < 0)
    assert np.isin(borders, predicted[fires]).all()
    assert borders[-1] == predicted[fires].min()
    held = -np.diff([(predicted[fires] >= border).sum() for border in (np.inf, *borders)])
    ties = int((fires & (predicted == 0.7)).sum())
    assert sorted(-held)[-2] <= fires.sum() / 64 + 1
    assert ties <= max(-held) <= ties + fires.sum() / 64 + 1


@pytest.mark.parametrize("distinct", [64, 65])
def test_64_predictions_at_firings_lose_nothing(distinct: int) -> None:
    rng = np.random.default_rng(distinct)
    predicted = rng.standard_normal(4000)
    fires = np.zeros(4000, dtype=bool)
    fires[rng.choice(4000, distinct, replace=False)] = True
    documents, weights = np.arange(4000) // 200, document_weights(20, 20)
    tokens = [np.repeat(np.arange(4000), row[documents].astype(int)) for row in weights]
    oracle = [average_precision_score(fires[t], predicted[t]) for t in tokens]
    exact = auprc(predicted, fires, documents, weights).replicates == pytest.approx(oracle, abs=1e-12)
    assert exact is (distinct == 64)


def test_a_constant_prediction_gets_the_firing_rate() -> None:
    fires = np.arange(100) % 20 == 0
    assert auprc(np.zeros(100), fires, np.arange(100) // 10, document_weights(10, 10)).value == pytest.approx(0.05)


def test_nothing_fires_is_unscored() -> None:
    assert np.isnan(average_precision(np.zeros(3), np.ones(3)))
    never = np.zeros(20, dtype=bool)
    found = f1(~never, never, np.arange(20) // 2, document_weights(10, 10))
    assert np.isnan(found.value)
    assert np.isnan(found.replicates).all()


def test_f1_is_sklearn_s_in_every_resample() -> None:
    rng = np.random.default_rng(2)
    fires, documents = rng.random(400) < 0.2, np.arange(400) // 20
    says = fires ^ (rng.random(400) < 0.1)
    weights = document_weights(20, 40, seed=1)
    found = f1(says, fires, documents, weights)
    assert found.value == pytest.approx(f1_score(fires, says))
    for row, value in zip(weights, found.replicates, strict=True):
        tokens = np.repeat(np.arange(400), row[documents].astype(int))
        assert value == pytest.approx(f1_score(fires[tokens], says[tokens]))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 12))
def test_the_best_threshold_beats_every_other(seed: int, distinct: int) -> None:
    rng = np.random.default_rng(seed)
    predicted = rng.integers(0, distinct, 60).astype(np.float32)
    fires = rng.random(60) < 0.3
    fires[0] = True
    threshold = best_threshold(predicted, fires)
    assert threshold is not None
    best = max(f1_score(fires, predicted > t) for t in np.arange(-1, distinct) + 0.5)
    assert f1_score(fires, predicted > threshold) == pytest.approx(best)


def test_the_threshold_lies_midway_and_of_equals_highest() -> None:
    predicted = np.array([0.0, 0.0, 1.0, 3.0])
    assert best_threshold(predicted, np.array([False, False, True, True])) == 0.5
    assert best_threshold(predicted, np.array([False, False, False, True])) == 2.0
    assert best_threshold(predicted, np.array([True, True, True, True])) == -1.0
    assert best_threshold(np.ones(4), np.array([True, False, False, False])) == 0.0
    # Saying 3 alone: 1 hit, F1 2/3. Saying 2, 1 and 0 as well: 2 hits of 4, F1 2/3 again.
    assert best_threshold(np.array([0.0, 1.0, 2.0, 3.0]), np.array([True, False, False, True])) == 2.5
    assert best_threshold(predicted, np.zeros(4, dtype=bool)) is None


def test_neighbouring_floats_are_told_apart() -> None:
    upper = 1.0
    lower = float(np.nextafter(upper, 0))
    threshold = best_threshold(np.array([lower, upper]), np.array([False, True]))
    assert threshold is not None
    assert lower <= threshold < upper
