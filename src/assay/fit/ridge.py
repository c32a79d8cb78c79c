"""Ridge regression with its penalty chosen on other data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped
from numpy.typing import NDArray

PENALTIES = tuple(10.0**power for power in range(-6, 3))  # times the mean variance of a column


@dataclass(frozen=True)
class Ridge:
    """A linear reader: ``predict(x) = (x - centre) @ weights + offset``.

    ``weights``: (d, targets). ``penalties``: (targets,) those chosen, as shares of the mean variance of a column.
    """

    centre: Float[NDArray[np.float64], " d"]
    weights: Float[NDArray[np.float64], "d targets"]
    offset: Float[NDArray[np.float64], " targets"]
    penalties: Float[NDArray[np.float64], " targets"]

    def predict(self, x: Float[np.ndarray, "n d"]) -> Float[NDArray[np.float64], "n targets"]:
        """What the reader says of each row."""
        return (x.astype(np.float64) - self.centre) @ self.weights + self.offset


def fit_ridge(
    x: Float[np.ndarray, "n d"],
    y: Shaped[np.ndarray, "n targets"],
    x_choose: Float[np.ndarray, "m d"],
    y_choose: Shaped[np.ndarray, "m targets"],
) -> Ridge:
    """Least squares with a penalty on the squared weights, of :data:`PENALTIES` the best on the choose data by R².

    Hoerl and Kennard 1970. One eigendecomposition of the covariance serves every penalty and target.
    """
    x, y = x.astype(np.float64), y.astype(np.float64)
    centre, offset = x.mean(0), y.mean(0)
    centred = x - centre
    values, vectors = np.linalg.eigh(centred.T @ centred / len(x))
    values = np.maximum(values, 0.0)
    turned = vectors.T @ (centred.T @ (y - offset) / len(x))
    scale = max(float(values.mean()), np.finfo(np.float64).tiny)
    seen = (x_choose.astype(np.float64) - centre) @ vectors
    errors: list[NDArray[np.float64]] = []
    solved: list[NDArray[np.float64]] = []
    for penalty in PENALTIES:
        solved.append(turned / (values + penalty * scale)[:, None])
        errors.append(np.square(seen @ solved[-1] + offset - y_choose).sum(0))
    best = np.argmin(np.stack(errors), 0)
    weights = np.stack([solved[b][:, target] for target, b in enumerate(best)], 1)
    return Ridge(centre, vectors @ weights, offset, np.array(PENALTIES)[best])
