"""How good answers are: bits, ranks, the expected digit, and how it moves with the value that was put in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64, Shaped
from numpy.typing import NDArray
from scipy.stats import rankdata

from assay.stats import Estimate, correlate, document_index, document_sums, document_weights

MOST_BITS = math.log2(10)
REPLICATES = 1000


@dataclass(frozen=True)
class Answered:
    """What was answered about one neuron in one regime, on the test split.

    ``logs``: (n, 10) log-probability of each digit under the whole vocabulary, in nats. ``right``: (n,) the right
    digit. ``sentences``: (n,) which sentence was read; several rows may be the same sentence with other patches.
    ``documents``: (n,) the document of each.
    """

    logs: Float[NDArray[np.float64], "n 10"]
    right: Int64[NDArray[np.int64], " n"]
    sentences: Int64[NDArray[np.int64], " n"]
    documents: Int64[NDArray[np.int64], " n"]

    @property
    def expected(self) -> Float[NDArray[np.float64], " n"]:
        """The mean of the answer, 0 to 9, given that it is a digit."""
        return expected_digit(self.logs)


def expected_digit(logs: Float[NDArray[np.float64], "*n 10"]) -> Float[NDArray[np.float64], "*n"]:
    """The mean of the answer, 0 to 9, given that it is a digit."""
    weights = np.exp(logs - logs.max(-1, keepdims=True))
    return weights @ np.arange(10.0) / weights.sum(-1)


def bits(answered: Answered) -> Float[NDArray[np.float64], " n"]:
    """Per row log2(10) + log2 p(right), p under the whole vocabulary: what is gained on ten equally likely digits."""
    return MOST_BITS + answered.logs[np.arange(len(answered.right)), answered.right] / math.log(2)


def mean_of(values: Float[np.ndarray, " n"], documents: Shaped[np.ndarray, " n"]) -> Estimate:
    """The mean over rows, and in each resample of the documents."""
    index = document_index(documents)
    sums = document_sums([values, np.ones_like(values)], index.of_token, index.n_documents)
    drawn = document_weights(index.n_documents, REPLICATES) @ sums
    return Estimate(float(values.mean()), drawn[:, 0] / drawn[:, 1])


def spearman_of(answered: Answered) -> Estimate:
    """Rank correlation of the expected digit and the right one; ranks are those of all rows."""
    index = document_index(answered.documents)
    weights = document_weights(index.n_documents, REPLICATES)
    return correlate(rankdata(answered.expected), rankdata(answered.right), index.of_token, weights)


def r2_of(
    expected: Float[np.ndarray, " n"], right: Shaped[np.ndarray, " n"], documents: Shaped[np.ndarray, " n"]
) -> Estimate:
    """1 - (squared error of the expected digit) / (variance of the right one)."""
    index = document_index(documents)
    right = right.astype(np.float64)
    columns = [np.ones_like(right), right, right * right, np.square(expected - right)]
    sums = document_sums(columns, index.of_token, index.n_documents)
    return Estimate(float(_r2(sums.sum(0))), _r2(document_weights(index.n_documents, REPLICATES) @ sums))


def _r2(sums: Float[np.ndarray, "*b 4"]) -> Float[np.ndarray, "*b"]:
    n, total, squares, errors = np.moveaxis(sums, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(1 - errors / (squares - total * total / n))


@dataclass(frozen=True)
class Slopes:
    """Per document the sums of a slope: of the answer on the digit that was put in, within sentences.

    The text is the same for all patches of one sentence, so whoever answers from the text alone has slope 0 exactly.
    """

    names: Shaped[np.ndarray, " documents"]
    products: Float[NDArray[np.float64], " documents"]
    squares: Float[NDArray[np.float64], " documents"]

    @classmethod
    def of(
        cls,
        expected: Float[np.ndarray, " n"],
        put_in: Shaped[np.ndarray, " n"],
        sentences: Shaped[np.ndarray, " n"],
        documents: Shaped[np.ndarray, " n"],
    ) -> Slopes:
        """Centred within each sentence."""
        groups = document_index(sentences)
        both = (np.asarray(values, np.float64) for values in (put_in, expected))
        x, y = (_within(values, groups.of_token, groups.n_documents) for values in both)
        index = document_index(documents)
        sums = document_sums([x * y, x * x], index.of_token, index.n_documents)
        return cls(np.unique(documents), sums[:, 0], sums[:, 1])

    def slope(self) -> Estimate:
        """Least squares: change of the expected digit for a change of one digit in what was put in."""
        weights = document_weights(len(self.names), REPLICATES)
        return Estimate(
            float(self.products.sum() / self.squares.sum()), (weights @ self.products) / (weights @ self.squares)
        )

    def relative(self, optimum: Slopes) -> Estimate:
        """The share of another reader's slope on the same patches."""
        weights = document_weights(len(self.names), REPLICATES)
        own, best = self.products, optimum.products
        with np.errstate(divide="ignore", invalid="ignore"):
            return Estimate(float(own.sum() / best.sum()), (weights @ own) / (weights @ best))


def _within(values: Float[np.ndarray, " n"], groups: Int64[np.ndarray, " n"], count: int) -> Float[np.ndarray, " n"]:
    means = np.bincount(groups, values, count) / np.bincount(groups, minlength=count)
    return values - means[groups]


def numbers(estimate: Estimate, name: str) -> Mapping[str, float | None]:
    """A score and its interval as JSON: ``name``, ``name_lo``, ``name_hi``; None where there is no number."""
    found = estimate.interval()
    return {f"{name}{end}": number(v) for end, v in zip(("", "_lo", "_hi"), found, strict=True)}


def number(value: float) -> float | None:
    """Four digits after the point, None for what is no number."""
    return round(float(value), 4) if math.isfinite(value) else None
