"""Before anything is steered: do the differences of the pairs agree?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from assay.core.ids import SiteId
from assay.stats.bootstrap import document_weights
from assay.steer.kit import Kit

_DRAWN = 1000


class Agreement(NamedTuple):
    """Mean cosine of the differences of two pairs, its interval over pairs, and what one in twenty draws exceeds where
    lots say for each pair which side has the behaviour."""

    value: float
    lo: float
    hi: float
    null: float


def agreement(kit: Kit, layer: int) -> Agreement | None:
    """Whether the pairs agree at the ``resid_post`` of a layer; None of fewer than two pairs.

    (A vector whose pairs don't agree steers unreliably: Tan et al. 2024.)
    """
    x = kit.pairs(SiteId(layer, "resid_post")).astype(np.float64)
    gaps = x[: len(x) // 2] - x[len(x) // 2 :]
    n = len(gaps)
    if n < 2:
        return None
    unit = gaps / np.maximum(np.linalg.norm(gaps, axis=1, keepdims=True), 1e-12)
    cosines = unit @ unit.T
    rng = np.random.default_rng([kit.seed, 97])
    resampled = _mean(cosines, document_weights(n, _DRAWN, kit.seed))
    flipped = _mean(cosines, np.ones((_DRAWN, n)), rng.choice([-1.0, 1.0], (_DRAWN, n)))
    lo, hi = np.nanquantile(resampled, [0.025, 0.975])
    value = float(_mean(cosines, np.ones((1, n)))[0])
    return Agreement(value, float(lo), float(hi), float(np.quantile(flipped, 0.95)))


def _mean(
    cosines: Float[NDArray[np.float64], "n n"],
    weights: Float[NDArray[np.float64], "b n"],
    signs: Float[NDArray[np.float64], "b n"] | None = None,
) -> Float[NDArray[np.float64], " b"]:
    """Over two different pairs; NaN where a resample has one pair only."""
    apart = 1.0 - np.eye(len(cosines))
    turned = weights if signs is None else weights * signs
    total = np.einsum("bi,ij,bj->b", turned, cosines * apart, turned)
    count = np.einsum("bi,ij,bj->b", weights, apart, weights)
    return np.divide(total, count, out=np.full(len(weights), np.nan), where=count > 0)
