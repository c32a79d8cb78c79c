"""Many claims, one error rate."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from assay.errors import UsageError


def benjamini_hochberg(p: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Adjusted p-values: those at most q form a set with false discovery rate at most q.

    Benjamini and Hochberg 1995, step-up. The order of ``p`` is kept.

    Raises:
        UsageError: a p-value that is NaN or outside 0 to 1.
    """
    if not np.all((p >= 0) & (p <= 1)):
        raise UsageError("p-values must be 0 to 1; got one that is not")
    order = np.argsort(p)[::-1]
    scaled = p[order] * p.size / np.arange(p.size, 0, -1)
    adjusted = np.empty(p.size)
    adjusted[order] = np.minimum.accumulate(np.minimum(scaled, 1.0))
    return adjusted


def binomial_tail(least: int, n: int, rate: float) -> float:
    """P(X >= least) for a binomial X of n draws; ``rate`` between 0 and 1.

    In logarithms: n may be as many as a model has units, and the coefficients then fit no float.
    """
    if least <= 0:
        return 1.0
    factorials = np.concatenate([[0.0], np.log(np.arange(1, n + 1)).cumsum()])
    k = np.arange(least, n + 1)
    terms = factorials[n] - factorials[k] - factorials[n - k] + k * math.log(rate) + (n - k) * math.log1p(-rate)
    return min(float(np.exp(terms).sum()), 1.0)
