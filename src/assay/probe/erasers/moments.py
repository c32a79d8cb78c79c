"""Means and products of rows and their concept, in float64, gathered batch by batch and merged."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Shaped
from numpy.typing import NDArray

from assay.errors import FitError
from assay.probe.erasers.rows import as_concept, as_rows

CONSTANT = 1e-12  # a variance below this share of the squared mean is rounding


class Moments:
    """Sufficient statistics of x (n, x_dim) and z (n, z_dim).

    Each batch is centred on its own mean and merged by the rule of Chan, Golub and LeVeque (1983), so that means far
    from 0 cost no digits.

    Attributes:
        n: rows.
        mean_x, mean_z: (x_dim,), (z_dim,).
        xx: (x_dim, x_dim) sums of centred products; None without ``square``. xz: (x_dim, z_dim). zz: (z_dim, z_dim).
        spread: (x_dim,) the diagonal of xx.
    """

    def __init__(self, x_dim: int, z_dim: int, square: bool) -> None:
        self.x_dim, self.z_dim, self.n = x_dim, z_dim, 0
        self.mean_x, self.mean_z = np.zeros(x_dim), np.zeros(z_dim)
        self.xx = np.zeros((x_dim, x_dim)) if square else None
        self.xz, self.zz = np.zeros((x_dim, z_dim)), np.zeros((z_dim, z_dim))
        self.spread = np.zeros(x_dim)

    def add(self, x: Shaped[Any, "*lead width"], z: Shaped[Any, "*shape"]) -> None:
        """Take in x (..., x_dim) and z (...,) or (..., z_dim), numpy or torch. Raises FitError."""
        rows = as_rows(x, self.x_dim)
        concept = as_concept(z, self.z_dim, tuple(x.shape[:-1]))
        if not len(rows):
            return
        batch = Moments(self.x_dim, self.z_dim, False)
        batch.n, batch.mean_x, batch.mean_z = len(rows), rows.mean(0, dtype=np.float64), concept.mean(0)
        rows, concept = rows - batch.mean_x, concept - batch.mean_z
        batch.xz, batch.zz = rows.T @ concept, concept.T @ concept
        if self.xx is None:
            batch.spread = np.einsum("nd,nd->d", rows, rows)
        else:
            batch.xx = rows.T @ rows
            batch.spread = batch.xx.diagonal()
        self.merge(batch)

    def merge(self, other: Moments) -> None:
        """Take in the rows that ``other`` has seen.

        Raises:
            FitError: it is of another width.
        """
        if (self.x_dim, self.z_dim) != (other.x_dim, other.z_dim):
            theirs, mine = (other.x_dim, other.z_dim), (self.x_dim, self.z_dim)
            raise FitError(f"statistics of widths {theirs} can't be merged into statistics of {mine}")
        n = self.n + other.n
        if not n:
            return
        share = other.n / n
        dx, dz = other.mean_x - self.mean_x, other.mean_z - self.mean_z
        weight = self.n * share
        if self.xx is not None and other.xx is not None:
            self.xx = self.xx + other.xx + np.outer(weight * dx, dx) if self.n else other.xx.copy()
        self.xz = self.xz + other.xz + np.outer(weight * dx, dz)
        self.zz = self.zz + other.zz + np.outer(weight * dz, dz)
        self.spread = self.spread + other.spread + weight * dx * dx
        self.mean_x, self.mean_z, self.n = self.mean_x + share * dx, self.mean_z + share * dz, n

    def check(self) -> None:
        """Refuse what nothing can be erased from.

        Raises:
            FitError: fewer than two rows, a concept or rows that are constant.
        """
        if self.n < 2:
            raise FitError(f"an eraser needs two rows or more. Got {self.n}.")
        if not varies(self.zz.diagonal() / self.n, self.mean_z).any():
            raise FitError(f"the concept is the same in all {self.n} rows: there is nothing to erase")
        if not varies(self.spread / self.n, self.mean_x).any():
            raise FitError(f"all {self.n} rows are the same: there is nothing in them to erase")

    def cross(self) -> Float[NDArray[np.float64], "x_dim k"]:
        """The covariance of x with the concept, whose columns were first made uncorrelated and of variance 1.

        Its k columns span what those of the plain covariance span, whatever units the concept comes in and however rare
        it is.
        """
        variance = self.zz.diagonal() / self.n
        used = varies(variance, self.mean_z)
        sd = np.sqrt(variance[used])
        values, vectors = np.linalg.eigh(self.zz[np.ix_(used, used)] / self.n / np.outer(sd, sd))
        kept = values > CONSTANT * values[-1]
        return self.xz[:, used] / self.n / sd @ (vectors[:, kept] / np.sqrt(values[kept]))


def varies(variance: Float[np.ndarray, " k"], mean: Float[np.ndarray, " k"]) -> Shaped[NDArray[np.bool_], " k"]:
    """Which columns vary by more than rounding."""
    return variance > CONSTANT * np.square(mean)
