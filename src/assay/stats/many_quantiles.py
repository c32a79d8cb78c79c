"""A high quantile of many units at once. Importing this module imports numba."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32

from assay.core.jit import spread
from assay.stats.many_activation_kernels import highest
from assay.stats.many_layout import rows_together


def many_quantiles(
    values: Float32[np.ndarray, "u n"], share: float, *, threads: int | None = None
) -> Float[np.ndarray, " u"]:
    """``np.quantile(values, share, axis=1)``, to the last digit; fast where ``share`` is near 1.

    Only the highest values of each unit are put in order.
    """
    values, size = rows_together(values), values.shape[1]
    place = size * share + (1 - share) - 1  # rounded as numpy does
    below = min(int(place), size - 1)
    above, part = min(below + 1, size - 1), place - below
    out = np.empty(len(values))

    def look(first: int, last: int) -> None:
        room = np.empty(size + 1, np.float32)
        for unit in range(first, last):
            top = highest(values[unit], size - below, room)
            shift = size - top.size
            top.partition((below - shift, above - shift))
            low, high = top[below - shift], top[above - shift]
            gap = high - low
            out[unit] = low + gap * part if part < 0.5 else high - gap * (1 - part)

    spread(look, len(values), threads)
    return out
