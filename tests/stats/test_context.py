from __future__ import annotations

import numpy as np
import pytest

from assay.errors import UsageError
from assay.stats import correlate_in_context, document_weights, remove_token_means, token_means


def test_means_shrink_by_the_pseudo_count() -> None:
    values, tokens = np.array([1.0, 3.0, 8.0]), np.array([2, 2, 0])
    exact = token_means(values, tokens, 4, pseudo_count=0.0)
    assert exact == pytest.approx([8, 4, 2, 4])
    shrunk = token_means(values, tokens, 4, pseudo_count=2.0)
    assert shrunk == pytest.approx([(8 + 2 * 4) / 3, 4, (4 + 2 * 4) / 4, 4])


def test_unseen_tokens_get_the_mean_over_all() -> None:
    means = token_means(np.array([1.0, 3.0, 8.0]), np.array([2, 2, 0]), 5)
    assert means[[1, 3, 4]] == pytest.approx(4.0)


def test_token_ids_must_be_in_the_vocabulary() -> None:
    with pytest.raises(UsageError, match="0 to 3; got 1 to 4"):
        token_means(np.ones(2), np.array([1, 4]), 4)
    with pytest.raises(UsageError, match="0 to 3; got -1 to 1"):
        remove_token_means(np.ones(2), np.array([-1, 1]), np.zeros(4))
    with pytest.raises(UsageError, match="at least one token"):
        token_means(np.zeros(0), np.zeros(0, dtype=np.int64), 4)


def _unit(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, 30, 6000)
    by_token = rng.standard_normal(30)[tokens]
    context = rng.standard_normal(6000)
    return tokens, by_token, context, by_token + context


def test_a_lookup_knows_nothing_beyond_the_token() -> None:
    tokens, by_token, _, activations = _unit(0)
    means = token_means(activations, tokens, 30)
    weights = document_weights(60, 100)
    found = correlate_in_context(by_token / 3 + 0.1, activations, tokens, means, None, np.arange(6000) // 100, weights)
    assert found.value == 0
    assert np.all(found.replicates == 0)


def test_what_is_left_is_the_context() -> None:
    tokens, by_token, context, activations = _unit(1)
    documents, weights = np.arange(6000) // 100, document_weights(60, 100)
    fit_tokens, fit_by_token, fit_context, fit_activations = _unit(1)
    means = token_means(fit_activations, fit_tokens, 30)
    of_predictions = token_means(fit_by_token + fit_context, fit_tokens, 30, pseudo_count=0.0)
    for predicted, expected in ((by_token + context, 1.0), (context, 1.0), (by_token - context, -1.0)):
        own = correlate_in_context(predicted, activations, tokens, means, None, documents, weights)
        assert own.value == pytest.approx(expected, abs=0.005)
    given = correlate_in_context(by_token + context, activations, tokens, means, of_predictions, documents, weights)
    assert given.value == pytest.approx(1.0, abs=0.005)


def test_given_prediction_means_are_used() -> None:
    tokens, by_token, _, activations = _unit(2)
    means = token_means(activations, tokens, 30, pseudo_count=0.0)
    documents, weights = np.arange(6000) // 100, document_weights(60, 100)
    # Means of 0 leave the prediction as it is: a function of the token, uncorrelated with the activation's rest.
    left = correlate_in_context(by_token, activations, tokens, means, np.zeros(30), documents, weights)
    assert left.value == pytest.approx(0, abs=1e-9)
    assert left.replicates.std() > 1e-3
