from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.stats import correlate, document_index, document_weights, moment_sums, pearson


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.floats(-1e4, 1e4), st.sampled_from([1e-6, 1.0, 1e6]))
def test_every_replicate_is_the_r_of_its_resampled_tokens(seed: int, offset: float, scale: float) -> None:
    """Oracle: repeat the tokens of each document as often as it was drawn, then numpy's own r."""
    rng = np.random.default_rng(seed)
    documents, n_documents = document_index(rng.integers(0, 6, 80))
    activations = rng.standard_normal(80) * scale + offset * scale
    predicted = rng.standard_normal(80) + activations / scale
    weights = document_weights(n_documents, 30, seed=seed)
    found = correlate(predicted, activations, documents, weights)
    assert found.value == pytest.approx(np.corrcoef(predicted, activations)[0, 1], abs=1e-9)
    for row, r in zip(weights, found.replicates, strict=True):
        tokens = np.repeat(np.arange(80), row[documents].astype(int))
        assert r == pytest.approx(np.corrcoef(predicted[tokens], activations[tokens])[0, 1], abs=1e-9)


def test_sums_of_documents_add_up() -> None:
    predicted, activations = np.array([1.0, 2.0, 3.0, 6.0]), np.array([0.0, 1.0, 0.0, 3.0])
    sums = moment_sums(predicted, activations, np.array([0, 0, 1, 1]), 2)
    assert sums[:, 0].tolist() == [2, 2]
    assert sums.sum(axis=0)[1:3] == pytest.approx([0, 0])
    # centred (-2, -1, 0, 3) / 3 and (-1, 0, -1, 2) / 2
    assert sums[:, 5] == pytest.approx([2 / 6, 6 / 6])


@pytest.mark.parametrize("value", [0.0, 0.1, 1e9])
def test_a_constant_prediction_scores_0(value: float) -> None:
    activations = np.random.default_rng(0).standard_normal(200)
    found = correlate(np.full(200, value), activations, np.arange(200) // 10, document_weights(20, 100))
    assert found.value == 0
    assert np.all(found.replicates == 0)


def test_a_constant_activation_is_unscored() -> None:
    predicted = np.random.default_rng(0).standard_normal(200)
    weights = document_weights(20, 100)
    for prediction in (predicted, np.zeros(200)):
        found = correlate(prediction, np.full(200, 0.1), np.arange(200) // 10, weights)
        assert np.isnan(found.value)
        assert np.all(np.isnan(found.replicates))


@pytest.mark.parametrize("tokens", [7, 97, 311])
def test_a_resample_without_the_only_firing_document_is_constant(tokens: int) -> None:
    """The global mean leaves a rounding error behind in such a resample; it must not pass for a signal."""
    rng = np.random.default_rng(tokens)
    documents = np.arange(20 * tokens) // tokens
    predicted = np.where(np.arange(20 * tokens) == 5, 3.7, 0.1)
    weights = document_weights(20, 300, seed=4)
    found = correlate(predicted, rng.standard_normal(20 * tokens), documents, weights)
    without = weights[:, 0] == 0
    assert 60 < without.sum() < 160
    assert np.all(found.replicates[without] == 0)
    assert np.all(found.replicates[~without] != 0)
    swapped = correlate(rng.standard_normal(20 * tokens), predicted, documents, weights)
    assert np.array_equal(np.isnan(swapped.replicates), without)


def test_r_is_1_and_minus_1_at_the_ends() -> None:
    x = np.random.default_rng(0).standard_normal(50).astype(np.float32)
    weights = document_weights(5, 50)
    assert np.all(correlate(3 * x + 1, x, np.arange(50) // 10, weights).replicates > 1 - 1e-9)
    assert correlate(-x, x, np.arange(50) // 10, weights).value == pytest.approx(-1)
    assert np.abs(correlate(x, x, np.arange(50) // 10, weights).replicates).max() <= 1


def test_pearson_takes_any_batch() -> None:
    sums = moment_sums(np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, 2.0]), np.zeros(3, dtype=np.int64), 1)
    expected = np.corrcoef([1, 2, 4], [1, 3, 2])[0, 1]
    assert pearson(np.tile(sums, (2, 3, 1))) == pytest.approx(np.full((2, 3), expected))
