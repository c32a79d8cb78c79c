"""What is known of the next token without a model: how often it comes, and how often after the one before."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray
from scipy import sparse

from assay.ladder.loss import Losses
from assay.text import TokenTable

# Pseudo-counts to choose from: how many tokens of the coarser distribution are mixed into each count.
AMOUNTS = tuple(float(x) for x in np.geomspace(0.1, 1000, 17))

Ids = Int64[NDArray[np.int64], " n"]
Probabilities = Float64[NDArray[np.float64], " n"]


class Ngrams(NamedTuple):
    """The counts of windows. Where a window begins, the token before is ``end``, as for a model.

    ``single``: (v,) how often each token is there; ``before``: (v,) how often it is followed by one; ``pairs``: (v, v)
    how often the second follows the first.
    """

    single: Float64[NDArray[np.float64], " v"]
    before: Float64[NDArray[np.float64], " v"]
    pairs: sparse.csr_array

    def unigram(self, ids: Ids, amount: float) -> Probabilities:
        """(n,) probabilities with ``amount`` tokens of the uniform distribution mixed in."""
        size = len(self.single)
        return (self.single[ids] + amount / size) / (self.single.sum() + amount)

    def bigram(self, previous: Ids, ids: Ids, amount: float, below: Probabilities) -> Probabilities:
        """(n,) probabilities with ``amount`` tokens of ``below``, the unigram's, mixed into each token's followers."""
        seen = np.asarray(self.pairs[previous, ids]).reshape(-1)
        return (seen + amount * below) / (self.before[previous] + amount)


class Null(NamedTuple):
    """A null's losses on the test documents, and the smoothing that was best on the choose documents."""

    losses: Losses
    amount: float


def count(table: TokenTable, vocabulary: int, end: int = 0) -> Ngrams:
    """Count the tokens of windows, and the pairs of neighbours."""
    previous, ids = _neighbours(table, end)
    pairs = sparse.coo_array((np.ones(len(ids)), (previous, ids)), shape=(vocabulary, vocabulary)).tocsr()
    return Ngrams(
        np.bincount(ids, minlength=vocabulary).astype(np.float64),
        np.bincount(previous, minlength=vocabulary).astype(np.float64),
        pairs,
    )


def nulls(ngrams: Ngrams, choose: TokenTable, test: TokenTable, end: int = 0) -> dict[str, Null]:
    """Unigram and bigram on the test windows, each smoothed as is best on the choose windows."""
    previous, ids = _neighbours(choose, end)
    uni = min(AMOUNTS, key=lambda amount: _nats(ngrams.unigram(ids, amount)).mean())
    below = ngrams.unigram(ids, uni)
    bi = min(AMOUNTS, key=lambda amount: _nats(ngrams.bigram(previous, ids, amount, below)).mean())
    previous, ids = _neighbours(test, end)
    below = ngrams.unigram(ids, uni)
    return {
        "unigram": Null(_by_document(_nats(below), test), uni),
        "bigram": Null(_by_document(_nats(ngrams.bigram(previous, ids, bi, below)), test), bi),
    }


def _neighbours(table: TokenTable, end: int) -> tuple[Ids, Ids]:
    """(n,) each token with the one before it."""
    ids = table.flat_ids.astype(np.int64)
    previous = np.empty_like(ids)
    previous[1:] = ids[:-1]
    previous[table.offsets[:-1]] = end
    return previous, ids


def _nats(probabilities: Probabilities) -> Probabilities:
    return -np.log(probabilities)


def _by_document(nats: Probabilities, table: TokenTable) -> Losses:
    documents = table.flat_documents
    sums = np.bincount(documents, weights=nats).astype(np.float64)
    tokens = np.bincount(documents).astype(np.float64)
    return Losses(sums[tokens > 0], tokens[tokens > 0])
