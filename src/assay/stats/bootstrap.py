"""The document bootstrap: whole documents are drawn again, tokens never.

Tokens of one document are not independent, so a document is what gets resampled (the cluster bootstrap;
Davison and Hinkley 1997, section 3.8). A resample is a row of counts, one a document, and any score made of
per-document sums is then one matrix product for all resamples. A claim and its nulls take the same rows:
their difference is paired.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

from assay.errors import UsageError


class Interval(NamedTuple):
    """A point estimate and its bounds. ``lo`` and ``hi`` are NaN where the data carry no interval."""

    value: float
    lo: float
    hi: float


class Estimate(NamedTuple):
    """A score on the data as they are, and on each of B resamples of the documents."""

    value: float
    replicates: Float[np.ndarray, " b"]

    def interval(self, level: float = 0.95) -> Interval:
        """The percentile interval; see :func:`interval`."""
        return interval(self.value, self.replicates, level)


class DocumentIndex(NamedTuple):
    """For each token the number of its document, 0 to ``n_documents`` - 1."""

    of_token: Int[np.ndarray, " n"]
    n_documents: int


def document_index(documents: Shaped[np.ndarray, " n"]) -> DocumentIndex:
    """Number the documents in sorted order of their ids (integers or strings), one id a token."""
    names, index = np.unique(documents, return_inverse=True)
    return DocumentIndex(index.reshape(-1), len(names))


@functools.lru_cache(maxsize=2)
def document_weights(n_documents: int, replicates: int = 2000, seed: int = 0) -> Float[np.ndarray, "b d"]:
    """How often each document is drawn in each resample: ``replicates`` rows, each summing to ``n_documents``.

    The same arguments give the same rows; the array is shared, hence read-only. No row stands for the data as
    they are: point estimates are made without weights.

    Raises:
        UsageError: no documents, or no replicates.
    """
    if n_documents < 1 or replicates < 1:
        raise UsageError(f"a bootstrap needs documents and replicates; got {n_documents} and {replicates}")
    draws = np.random.default_rng(seed).multinomial(n_documents, np.full(n_documents, 1 / n_documents), replicates)
    weights = draws.astype(np.float64)
    weights.setflags(write=False)
    return weights


def document_sums(
    columns: Sequence[Shaped[np.ndarray, " n"]], index: Int[np.ndarray, " n"], count: int
) -> Float[np.ndarray, "d k"]:
    """Sum each column over the tokens of each document, in float64."""
    return np.stack([np.bincount(index, weights=column, minlength=count) for column in columns], axis=1)


def independent_difference(first: Interval, second: Interval) -> Interval:
    """First minus second where they are of different documents, from their intervals alone.

    Each bound takes the distances to the bounds that it depends on as independent errors (the method of variance
    estimates recovery: Zou and Donner 2008), so that lopsided intervals stay so.
    """
    lo = math.hypot(first.value - first.lo, second.hi - second.value)
    hi = math.hypot(first.hi - first.value, second.value - second.lo)
    gap = first.value - second.value
    return Interval(gap, gap - lo, gap + hi)


def interval(value: float, replicates: Float[np.ndarray, " b"], level: float = 0.95) -> Interval:
    """Percentile interval of a bootstrapped score.

    Replicates without a score (NaN) are left out. When they are more than 1 - ``level`` of all, what is left says
    little about the whole, and both bounds are NaN.
    """
    scored = replicates[~np.isnan(replicates)]
    if replicates.size - scored.size > (1 - level) * replicates.size or scored.size == 0:
        return Interval(value, float("nan"), float("nan"))
    lo, hi = np.quantile(scored, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(lo), float(hi))
