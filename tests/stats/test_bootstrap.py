from __future__ import annotations

import numpy as np
import pytest

from assay.errors import UsageError
from assay.stats import Estimate, document_index, document_sums, document_weights, interval


def test_weights_draw_as_many_documents_as_there_are() -> None:
    weights = document_weights(7, 300, seed=3)
    assert weights.shape == (300, 7)
    assert np.all(weights.sum(axis=1) == 7)
    # Each document is drawn once on average; the mean over 300 draws has a standard error of sqrt(6/7 / 300) = .053.
    assert np.all(np.abs(weights.mean(axis=0) - 1) < 5 * 0.054)


def test_weights_depend_on_the_seed_alone() -> None:
    first = document_weights(5, 50, seed=1).copy()
    document_weights(5, 50, seed=2)
    document_weights(6, 50, seed=2)
    assert np.array_equal(document_weights(5, 50, seed=1), first)
    assert not np.array_equal(document_weights(5, 50, seed=2), first)


def test_shared_weights_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        document_weights(5, 50, seed=1)[0, 0] = 9


@pytest.mark.parametrize(("documents", "replicates"), [(0, 10), (10, 0)])
def test_weights_need_documents_and_replicates(documents: int, replicates: int) -> None:
    with pytest.raises(UsageError, match="needs documents and replicates"):
        document_weights(documents, replicates)


def test_documents_are_numbered_whatever_their_ids() -> None:
    of_token, n_documents = document_index(np.array(["b", "a", "b", "c"]))
    assert n_documents == 3
    assert of_token.tolist() == [1, 0, 1, 2]
    assert document_index(np.array([70, 5, 70])).of_token.tolist() == [1, 0, 1]


def test_sums_by_document_keep_empty_documents() -> None:
    sums = document_sums([np.array([1.0, 2.0, 4.0]), np.array([True, True, False])], np.array([2, 2, 0]), 4)
    assert sums.tolist() == [[4, 0], [0, 0], [3, 2], [0, 0]]


def test_interval_is_the_middle_95_percent() -> None:
    found = interval(0.4, np.linspace(0, 1, 1001))
    assert found == pytest.approx((0.4, 0.025, 0.975))
    assert Estimate(0.4, np.linspace(0, 1, 1001)).interval(0.5) == pytest.approx((0.4, 0.25, 0.75))


def test_few_unscored_replicates_are_left_out_and_many_are_not() -> None:
    replicates = np.linspace(0, 1, 1001)
    replicates[-50:] = np.nan
    assert interval(0.4, replicates).hi == pytest.approx(0.975 * 0.95)
    replicates[-51:] = np.nan
    value, lo, hi = interval(0.4, replicates)
    assert value == 0.4
    assert np.isnan(lo)
    assert np.isnan(hi)


def test_the_interval_of_a_mean_covers_the_truth() -> None:
    """95 % intervals of a document-clustered mean cover it about 95 % of the time; by token they would not."""
    rng, documents, tokens, trials = np.random.default_rng(0), 60, 20, 500
    index = np.repeat(np.arange(documents), tokens)
    weights = document_weights(documents, 400, seed=0)
    covered = 0
    for _ in range(trials):
        values = rng.standard_normal(documents)[index] + rng.standard_normal(documents * tokens)
        sums = document_sums([values, np.ones_like(values)], index, documents)
        totals = weights @ sums
        found = interval(float(values.mean()), totals[:, 0] / totals[:, 1])
        covered += found.lo <= 0 <= found.hi
    # Binomial(500, .95) stays within 457 and 489 with probability .9995; the percentile interval loses about 1 %.
    assert 450 <= covered <= 489
