from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from assay.ladder.nulls import AMOUNTS, count, nulls
from assay.text import TokenTable

SIZE = 12


def table(rows: int, seed: int) -> TokenTable:
    """A chain in which each token is followed by the next one three times of four."""
    rng = np.random.default_rng(seed)
    ids = np.zeros((rows, 20), np.int32)
    ids[:, 0] = rng.integers(1, SIZE, rows)
    for at in range(1, 20):
        free = rng.integers(1, SIZE, rows)
        ids[:, at] = np.where(rng.random(rows) < 0.75, ids[:, at - 1] % (SIZE - 1) + 1, free)
    return TokenTable(ids, np.full(rows, 20), np.arange(rows) // 2, np.zeros(rows, np.int64))


FIT, CHOOSE, TEST = table(60, 0), table(20, 1), table(30, 2)


def test_they_are_distributions() -> None:
    ngrams, everything = count(FIT, SIZE), np.arange(SIZE)
    below = ngrams.unigram(everything, 1.0)
    assert below.sum() == pytest.approx(1)
    for previous in everything:
        followers = ngrams.bigram(np.full(SIZE, previous), everything, 2.0, below)
        assert followers.sum() == pytest.approx(1)


def test_counts_are_those_of_a_loop() -> None:
    ngrams, pairs = count(FIT, SIZE), np.zeros((SIZE, SIZE))
    for window in FIT.ids:
        for previous, current in zip([0, *window[:-1]], window, strict=True):
            pairs[previous, current] += 1
    assert np.array_equal(ngrams.pairs.toarray(), pairs)
    assert np.array_equal(ngrams.before, pairs.sum(1))
    assert np.array_equal(ngrams.single, pairs.sum(0))


def test_smoothing_is_chosen_on_choose_and_losses_are_by_document() -> None:
    found = nulls(count(FIT, SIZE), CHOOSE, TEST)
    assert found["bigram"].losses.mean < found["unigram"].losses.mean - 0.5
    for null in found.values():
        assert null.amount in AMOUNTS
        assert null.losses.tokens.tolist() == [40.0] * 15
    ngrams = count(FIT, SIZE)
    previous = np.concatenate([[0, *window[:-1]] for window in CHOOSE.ids])
    ids = CHOOSE.flat_ids.astype(np.int64)
    below = ngrams.unigram(ids, found["unigram"].amount)

    def loss(log_amount: float) -> float:
        return -np.log(ngrams.bigram(previous, ids, np.exp(log_amount), below)).mean()

    best = minimize_scalar(loss, bounds=(np.log(AMOUNTS[0]), np.log(AMOUNTS[-1])), method="bounded")
    assert loss(np.log(found["bigram"].amount)) == pytest.approx(best.fun, abs=5e-3)
