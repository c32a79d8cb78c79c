"""Mean projection: what is orthogonal to the differences of the classes' means stays."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Shaped
from numpy.typing import NDArray

from assay.probe.erasers.eraser import Eraser
from assay.probe.erasers.fitter import Fitter
from assay.probe.erasers.moments import Moments


class MeanFitter(Fitter):
    """Projects off, at right angles, what x and the concept covary in; the mean of all rows stays where it is.

    For two classes that is the difference of their means, and the rank is 1; for one-hot classes it is what their means
    span. Afterwards the means are equal, so no linear reader with a least-squares loss, or another that is convex, does
    better than a constant (Belrose et al. 2023). A few outliers can turn the means away from where nearly
    all rows are.

    Args:
        x_dim: width of x.
        z_dim: columns of the concept: 1 for 0/1 or a number, else one-hot or several numbers.
        tolerance: directions with singular values below this share of the largest are not counted.
    """

    def __init__(self, x_dim: int, z_dim: int = 1, *, tolerance: float = 1e-6) -> None:
        self.tolerance = tolerance
        self._moments = Moments(x_dim, z_dim, square=False)

    def update(self, x: Shaped[Any, "*lead width"], z: Shaped[Any, "*shape"]) -> MeanFitter:
        """Take in x (..., x_dim) and z (...,) or (..., z_dim), numpy or torch. Raises FitError."""
        self._moments.add(x, z)
        return self

    def merge(self, other: MeanFitter) -> MeanFitter:
        """Take in what another fitter has seen. Raises FitError if it is of another width."""
        self._moments.merge(other._moments)
        return self

    @property
    def eraser(self) -> Eraser:
        """The projection for all rows so far.

        Raises:
            FitError: fewer than two rows, a concept or rows that are constant.
        """
        self._moments.check()
        turned = orthogonal(self._moments, self.tolerance)
        return Eraser(turned, turned.T, self._moments.mean_x, "mean")


def orthogonal(moments: Moments, tolerance: float) -> Float[NDArray[np.float64], "x_dim k"]:
    """An orthonormal basis of what x and the concept covary in.

    Left out are singular values of at most ``tolerance`` times the largest, and all if the largest is rounding.
    """
    u, s, _ = np.linalg.svd(moments.cross(), full_matrices=False)
    rounding = 1e-12 * np.sqrt(moments.spread.sum() / moments.n)
    return u[:, s > max(tolerance * s[0], rounding)]
