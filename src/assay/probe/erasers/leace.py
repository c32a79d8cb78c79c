"""LEACE: the least change of activations after which no linear reader finds the concept."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular

from assay.errors import FitError, UnknownName
from assay.probe.erasers.eraser import Eraser
from assay.probe.erasers.fitter import Fitter
from assay.probe.erasers.mean import orthogonal
from assay.probe.erasers.moments import Moments, varies

METHODS = ("leace", "orth")
SINGULAR = 1e-12  # share of a column's variance that must be its own for the covariance to count as having an inverse


class LeaceFitter(Fitter):
    """Least-squares concept erasure in closed form (Belrose et al. 2023, arXiv:2306.03819).

    With W any whitening of x and U an orthonormal basis of W Cov(x, z), what is taken out of x - mean is
    W⁺ U Uᵀ W (x - mean). Of all affine maps that leave x and z uncorrelated it changes x least, in mean square, under
    every inner product at once. The projection is the same for every W, so W is the inverse of a Cholesky factor where
    the covariance has one.

    The rank is that of Cov(x, z), which is a matter of what counts as 0. Singular values of W Cov(x, z) themselves are
    at most the concept's standard deviation: under a fixed bound of .01 a concept that holds in one row of a thousand
    is left where it is, without a word. Here the concept is whitened first, so that they are canonical correlations,
    from 0 to 1 however rare it is and in whatever units.

    Args:
        x_dim: width of x.
        z_dim: columns of the concept: 1 for 0/1 or a number, else one-hot or several numbers.
        tolerance: singular values of at most this count as 0.
        relative: whiten the concept first. Without, the tolerance is on the bare singular values, as is usual; that is
            there to show what goes wrong.
        method: ``orth`` projects off what x and z covary in at right angles instead, as :class:`MeanFitter` does; its
            singular values are taken as shares of the largest.

    Raises:
        UnknownName: another method.
        FitError: a tolerance below 0.
    """

    def __init__(
        self, x_dim: int, z_dim: int = 1, *, tolerance: float = 1e-6, relative: bool = True, method: str = "leace"
    ) -> None:
        if method not in METHODS:
            raise UnknownName("LEACE method", method, METHODS)
        if tolerance < 0:
            raise FitError(f"tolerance must be 0 or more. Got {tolerance}.")
        self.tolerance, self.relative, self.method = tolerance, relative, method
        self._moments = Moments(x_dim, z_dim, square=method == "leace")
        self._solved: _Solved | None = None

    def update(self, x: Shaped[Any, "*lead width"], z: Shaped[Any, "*shape"]) -> LeaceFitter:
        """Take in x (..., x_dim) and z (...,) or (..., z_dim), numpy or torch. Raises FitError."""
        self._moments.add(x, z)
        self._solved = None
        return self

    def merge(self, other: LeaceFitter) -> LeaceFitter:
        """Take in what another fitter of the same method has seen. Raises FitError if it is of another kind."""
        if other.method != self.method:
            raise FitError(f"a fitter of {other.method!r} can't be merged into one of {self.method!r}")
        self._moments.merge(other._moments)
        self._solved = None
        return self

    @property
    def eraser(self) -> Eraser:
        """The eraser for all rows so far; its ``rank`` is how many dimensions the concept takes up.

        Raises:
            FitError: fewer than two rows, a concept or rows that are constant.
        """
        return self._solve().eraser

    @property
    def rank_deficient(self) -> bool:
        """Whether the rows leave some direction of x at rest, so that its covariance has no inverse.

        Raises FitError."""
        return self._solve().deficient

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the result should know; usually nothing. Raises FitError."""
        solved, n, d = self._solve(), self._moments.n, self._moments.x_dim
        found: list[str] = []
        if solved.deficient:
            few = n <= d
            why = f"{n} rows in {d} dimensions" if few else "some dimensions follow from others, or never vary"
            then = "; in so many dimensions any labels are linear in the rows: expect to find them in others" * few
            found.append(f"the covariance has no inverse ({why}): erased by its pseudo-inverse{then}")
        if not solved.eraser.rank:
            found.append(f"nothing was erased: no singular value is above {self.tolerance:g}")
        return tuple(found)

    def _solve(self) -> _Solved:
        if self._solved is None:
            self._moments.check()
            self._solved = self._orthogonal() if self.method == "orth" else self._least()
        return self._solved

    def _orthogonal(self) -> _Solved:
        turned = orthogonal(self._moments, self.tolerance)
        return _Solved(Eraser(turned, turned.T, self._moments.mean_x, "orth"), False)

    def _least(self) -> _Solved:
        moments = self._moments
        assert moments.xx is not None
        cross = moments.cross() if self.relative else moments.xz / (moments.n - 1)
        white = _factor(moments) or _eigen(moments)
        u, s, _ = np.linalg.svd(white.whiten(cross), full_matrices=False)
        u = u[:, s > self.tolerance]
        eraser = Eraser(white.colour(u), white.whitener(u).T, moments.mean_x, "leace")
        return _Solved(eraser, white.rank < moments.x_dim)


class _Solved(NamedTuple):
    """``deficient``: the covariance has no inverse."""

    eraser: Eraser
    deficient: bool


class _Triangle:
    """Whitening by the Cholesky factor of the correlations; ``sd`` is what each column was divided by."""

    def __init__(self, factor: NDArray[np.float64], sd: NDArray[np.float64]) -> None:
        self._factor, self._sd, self.rank = factor, sd[:, None], len(sd)

    def whiten(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """W times columns."""
        return solve_triangular(self._factor, columns / self._sd, lower=True, check_finite=False)

    def colour(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """The inverse of W times columns."""
        return self._factor @ columns * self._sd

    def whitener(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """The transpose of W times columns."""
        return solve_triangular(self._factor, columns, lower=True, trans=1, check_finite=False) / self._sd


class _Eigen:
    """Whitening by the eigenvectors that have a variance: pseudo-inverses instead of inverses."""

    def __init__(self, values: NDArray[np.float64], vectors: NDArray[np.float64]) -> None:
        kept = values > values[-1] * len(values) * np.finfo(np.float64).eps
        self._root, self._vectors, self.rank = np.sqrt(values[kept])[:, None], vectors[:, kept], int(kept.sum())

    def whiten(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """W times columns, in the eigenvectors' coordinates."""
        return self._vectors.T @ columns / self._root

    def colour(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """The pseudo-inverse of W times columns."""
        return self._vectors @ (columns * self._root)

    def whitener(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """The transpose of W times columns."""
        return self._vectors @ (columns / self._root)


def _factor(moments: Moments) -> _Triangle | None:
    """The fast way, where the covariance is far enough from singular."""
    assert moments.xx is not None
    variance = moments.spread / moments.n
    if moments.n <= moments.x_dim or not varies(variance, moments.mean_x).all():
        return None
    sd = np.sqrt(variance)
    correlations = moments.xx / moments.n / sd / sd[:, None]
    try:
        factor = cholesky(correlations, lower=True, overwrite_a=True, check_finite=False)
    except np.linalg.LinAlgError:
        return None
    return _Triangle(factor, sd) if np.square(factor.diagonal()).min() > SINGULAR else None


def _eigen(moments: Moments) -> _Eigen:
    assert moments.xx is not None
    values, vectors = np.linalg.eigh(moments.xx / moments.n)
    return _Eigen(values, vectors)
