"""Iterative nullspace projection: fit a linear classifier, project its direction off, and again."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int64, Shaped
from numpy.typing import NDArray

from assay.errors import FitError
from assay.probe.erasers.eraser import Eraser
from assay.probe.erasers.fitter import Fitter
from assay.probe.erasers.rows import MOST, KeptRows


class InlpFitter(Fitter):
    """Projects off, at right angles, the directions of ``rank`` classifiers, each fitted on what those before it left.

    Ravfogel et al. 2020 (arXiv:2004.07667). The classifiers are logistic, with an L2 penalty; the mean of all rows
    stays where it is. Every direction that is taken costs some of x, and when to stop is for the attacks to say. Rows
    are kept in memory: at most ``most``, each as likely as another.

    Args:
        x_dim: width of x.
        z_dim: 1 for labels 0/1, else the number of one-hot classes.
        rank: dimensions that are taken out; a classifier of c classes takes c - 1 of them, the last what is left.
        c: inverse strength of the penalty, for rows scaled so that their columns have a mean variance of 1.
        most: rows that are kept.
        seed: of the rows that are kept.

    Raises:
        FitError: a rank below 1, or of the whole width and more.
    """

    def __init__(
        self, x_dim: int, z_dim: int = 1, *, rank: int = 1, c: float = 1.0, most: int = MOST, seed: int = 0
    ) -> None:
        check_rank(rank, x_dim)
        self.rank, self.c = rank, c
        self._rows = KeptRows(x_dim, z_dim, most, seed)

    def update(self, x: Shaped[Any, "*lead width"], z: Shaped[Any, "*shape"]) -> InlpFitter:
        """Take in x (..., x_dim) and labels z (...,) or (..., z_dim), numpy or torch. Raises FitError."""
        self._rows.add(x, z)
        return self

    @property
    def eraser(self) -> Eraser:
        """The projection for all rows so far. Its rank is less than asked for where the rows span less.

        Raises:
            FitError: rows of one class, or all the same.
        """
        labels, mean = self._rows.labels, self._rows.x.mean(0)
        x = self._rows.x - mean
        x /= np.sqrt(np.square(x).mean())
        taken = np.empty((x.shape[1], 0))
        while taken.shape[1] < self.rank:
            found = _directions(x, labels, self.c)
            found -= taken @ (taken.T @ found)
            u, s, _ = np.linalg.svd(found, full_matrices=False)
            new = u[:, s > 1e-8][:, : self.rank - taken.shape[1]]
            if not new.size:
                break
            x -= x @ new @ new.T
            taken = np.concatenate([taken, new], 1)
        return Eraser(taken, taken.T, mean, "inlp")


def check_rank(rank: int, x_dim: int) -> None:
    """Refuse ranks that can't be. Raises FitError."""
    if not 1 <= rank < x_dim:
        raise FitError(f"rank must be from 1 to {x_dim - 1}, the width less 1. Got {rank}.")


def _directions(
    x: Float[np.ndarray, "n d"], labels: Int64[np.ndarray, " n"], c: float
) -> Float[NDArray[np.float64], "d k"]:
    """The weights of a logistic classifier, fitted in the coordinates that the rows span."""
    from sklearn.linear_model import LogisticRegression

    n, d = x.shape
    basis = np.linalg.svd(x, full_matrices=False)[2].T if n < d else np.eye(d)
    fitted = LogisticRegression(C=c, solver="newton-cholesky", max_iter=200).fit(x @ basis, labels)
    return basis @ fitted.coef_.T
