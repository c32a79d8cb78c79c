from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import rel_entr

from assay.stats import document_weights, jensen_shannon, ratio_score


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0.1, 3.0, 30.0, 3000.0]))
def test_it_is_the_textbook_formula(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    log_p, log_q = _log_softmax(rng.standard_normal((2, 5, 40)) * scale)
    p, q = (np.where(log > -700, np.exp(log), 0.0) for log in (log_p, log_q))  # half of the least float is 0
    expected = (rel_entr(p, (p + q) / 2) + rel_entr(q, (p + q) / 2)).sum(axis=-1) / 2
    assert jensen_shannon(log_p, log_q) == pytest.approx(expected, abs=1e-9)
    assert np.array_equal(jensen_shannon(log_p, log_q), jensen_shannon(log_q, log_p))


def test_equal_rows_give_exactly_0() -> None:
    log_p = _log_softmax(np.random.default_rng(0).standard_normal((4, 3000)).astype(np.float32) * 5)
    assert np.all(jensen_shannon(log_p, log_p) == 0)


def test_disjoint_rows_give_ln_2() -> None:
    with np.errstate(divide="ignore"):
        log_p, log_q = np.log([0.5, 0.5, 0, 0]), np.log([0, 0, 1.0, 0])
    assert jensen_shannon(log_p, log_q) == pytest.approx(np.log(2))
    assert jensen_shannon(log_p, log_p) == 0


def test_tiny_changes_keep_their_digits() -> None:
    """For a small change of log-probabilities JSD is Σ p δ² / 8; the textbook formula would be lost in rounding."""
    rng = np.random.default_rng(1)
    log_p = _log_softmax(rng.standard_normal(5000))
    log_q = _log_softmax(log_p + 1e-6 * rng.standard_normal(5000))
    expected = (np.exp(log_p) * (log_q - log_p) ** 2).sum() / 8
    assert expected < 1e-12
    assert jensen_shannon(log_p, log_q) == pytest.approx(expected, rel=1e-3)


def test_ratio_score_and_its_resamples() -> None:
    rng = np.random.default_rng(3)
    j_mean, documents = rng.exponential(size=90), np.arange(90) // 3
    j_claim, excerpt_weights = j_mean * rng.random(90), rng.random(90)
    weights = document_weights(30, 25, seed=2)
    found = ratio_score(j_claim, j_mean, documents, excerpt_weights, weights)
    assert found.value == pytest.approx(1 - (excerpt_weights @ j_claim) / (excerpt_weights @ j_mean))
    for row, value in zip(weights, found.replicates, strict=True):
        w = excerpt_weights * row[documents]
        assert value == pytest.approx(1 - (w @ j_claim) / (w @ j_mean))


def test_the_ends_of_the_ratio_score() -> None:
    j_mean, documents, weights = np.ones(20), np.arange(20), document_weights(20, 10)
    assert ratio_score(np.zeros(20), j_mean, documents, np.ones(20), weights).value == 1
    assert ratio_score(j_mean, j_mean, documents, np.ones(20), weights).value == 0
    assert ratio_score(3 * j_mean, j_mean, documents, np.ones(20), weights).value == -2
    assert np.isnan(ratio_score(j_mean, np.zeros(20), documents, np.ones(20), weights).value)
