# The part of scipy.optimize that assay uses: scipy ships no types of its own.
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

class OptimizeResult:
    x: NDArray[np.float64]
    blocks: NDArray[np.int64]

def isotonic_regression(
    y: ArrayLike, *, weights: ArrayLike | None = None, increasing: bool = True
) -> OptimizeResult: ...
def minimize(
    fun: Callable[[NDArray[np.float64]], Any],
    x0: ArrayLike,
    *,
    method: str,
    jac: bool = False,
    options: Mapping[str, Any] | None = None,
) -> OptimizeResult: ...
