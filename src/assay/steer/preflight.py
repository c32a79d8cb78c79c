"""Before anything is steered: do the differences of the pairs agree?"""

from __future__ import annotations

import numpy as np

from assay.core.ids import SiteId
from assay.steer.kit import Kit


def agreement(kit: Kit, layer: int | None) -> float | None:
    """Mean cosine of the differences of two pairs at the ``resid_post`` of a layer; None of a single pair.

    (A vector whose pairs don't agree steers unreliably: Tan et al. 2024.)
    """
    if layer is None:
        return None
    x = kit.pairs(SiteId(layer, "resid_post")).astype(np.float64)
    gaps = x[: len(x) // 2] - x[len(x) // 2 :]
    n = len(gaps)
    unit = gaps / np.maximum(np.linalg.norm(gaps, axis=1, keepdims=True), 1e-12)
    return None if n < 2 else float((np.square(unit.sum(0)).sum() - n) / (n * (n - 1)))
