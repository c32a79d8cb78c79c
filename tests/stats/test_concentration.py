from __future__ import annotations

import numpy as np
import pytest

from assay.stats import documents_with_half_the_variance, reasons_undecided


def test_even_documents_share_the_variance() -> None:
    activations = np.tile([1.0, -1.0], 200)
    assert documents_with_half_the_variance(activations, np.arange(400) // 10, 40) == 20


def test_one_loud_document_is_half_of_it() -> None:
    activations = np.tile([1.0, -1.0], 200)
    activations[:10] *= 10
    assert documents_with_half_the_variance(activations, np.arange(400) // 10, 40) == 1


def test_the_offset_of_the_activation_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    activations, documents = rng.exponential(size=900) ** 3, np.arange(900) // 10
    count = documents_with_half_the_variance(activations, documents, 90)
    variance = np.bincount(documents, weights=(activations - activations.mean()) ** 2)
    top = np.sort(variance)[::-1].cumsum() / variance.sum()
    assert top[count - 1] >= 0.5 > top[count - 2]
    assert documents_with_half_the_variance(activations + 5, documents, 90) == count


def test_a_constant_has_no_variance() -> None:
    assert documents_with_half_the_variance(np.full(40, 0.1), np.arange(40) // 2, 20) == 0


def _firing(n_documents: int, firings: int, spread: int) -> tuple[tuple[str, ...], int]:
    """A noisy unit with so many firings, in so many documents."""
    documents = np.repeat(np.arange(n_documents), 50)
    activations = np.random.default_rng(0).standard_normal(documents.size) / 10
    activations[[50 * (i % spread) + i // spread for i in range(firings)]] = 0.5
    return reasons_undecided(activations, documents, n_documents, 0.49), documents.size


def test_nothing_stands_against_a_unit_that_fires_often_everywhere() -> None:
    assert _firing(60, 60, 30)[0] == ()
    assert _firing(60, 20, 10)[0] == ()
    documents = np.repeat(np.arange(20), 50)
    only = reasons_undecided(np.random.default_rng(0).standard_normal(1000), documents, 20, 1.0)
    assert len(only) == 1  # 20 documents are enough, if only ten of 20 did not always hold half the variance
    assert "half the variance" in only[0]


@pytest.mark.parametrize(
    ("n_documents", "firings", "spread", "reason"),
    [
        (60, 19, 19, "too few firings: 19 in 19 documents; 20 in 10 are needed"),
        (60, 27, 9, "too few firings: 27 in 9 documents; 20 in 10 are needed"),
        (19, 38, 19, "19 documents; 20 are needed"),
    ],
)
def test_each_reason_names_the_numbers(n_documents: int, firings: int, spread: int, reason: str) -> None:
    assert reason in _firing(n_documents, firings, spread)[0]


def test_ten_documents_with_half_the_variance_are_a_reason() -> None:
    documents = np.repeat(np.arange(100), 20)
    activations = np.tile([1.0, -1.0], 1000)
    for loud, expected in ((10, True), (11, False)):
        loud_activations = np.where(documents < loud, 3.1, 1.0) * activations
        # 10 documents of 9.6 against 90 of 1: half and a bit; with 11, ten are short of half.
        reasons = reasons_undecided(loud_activations, documents, 100, 0.5)
        assert any("half the variance" in reason for reason in reasons) is expected, loud


def test_a_constant_activation_is_the_only_reason_given() -> None:
    assert reasons_undecided(np.ones(40), np.arange(40) // 2, 20, 0.5) == ("the activation is constant",)
