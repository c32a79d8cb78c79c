"""Is it many documents that speak, or ten?"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from assay.stats.bootstrap import document_sums


def documents_with_half_the_variance(
    activations: Float[np.ndarray, " n"], index: Int[np.ndarray, " n"], count: int
) -> int:
    """The smallest number of documents that together hold half of Σ (a - mean)². 0 for a constant activation."""
    exact = activations.astype(np.float64)
    if exact.size == 0 or np.ptp(exact) == 0:
        return 0
    held = np.sort(document_sums([(exact - exact.mean()) ** 2], index, count)[:, 0])[::-1]
    return int((held.cumsum() < held.sum() / 2).sum()) + 1
