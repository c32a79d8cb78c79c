"""Linear discriminant analysis with a shrunk covariance."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from assay.errors import FitError
from assay.fit.probes.base import Line, LinearProbe, Rows, class_means


class LDA(LinearProbe):
    """Mean difference times the inverse of the covariance within the classes; it is 0 where both are as likely.

    The covariance S is pooled over the classes and shrunk to ``(1 - shrinkage) S + shrinkage tr(S)/d I``, so that there
    may be more dimensions than rows; it is then solved for in the n dimensions of the rows (Woodbury's identity).

    Args:
        shrinkage: from 0 to 1; None is the share of Ledoit and Wolf 2004 (J. Multivariate Analysis 88), of the pooled
            rows less the means of their classes. At 1 the direction is the mean difference.

    ``shrinkage_`` is the share that was used.
    """

    method: ClassVar[str] = "lda"

    def __init__(self, shrinkage: float | int | None = None) -> None:
        self.shrinkage = shrinkage

    def _learn(self, rows: Rows) -> Line:
        if self.shrinkage is not None and not 0 <= self.shrinkage <= 1:
            raise FitError(f"shrinkage must be None or from 0 to 1. Got {self.shrinkage!r} instead.")
        assert rows.positive is not None
        positive, negative = class_means(rows)
        within = rows.x - np.where(rows.positive[:, None], positive, negative)
        if not within.any():
            raise FitError("rows don't vary within the classes, so LDA has no covariance; use mean_diff")
        squares = within @ within.T if len(within) < within.shape[1] else within.T @ within
        self.shrinkage_ = ledoit_wolf(within, squares) if self.shrinkage is None else float(self.shrinkage)
        weights = _solve(within, squares, self.shrinkage_, positive - negative)
        odds = math.log(rows.positive.sum() / (~rows.positive).sum())
        return Line(weights, odds - float((positive + negative) @ weights) / 2)


def ledoit_wolf(centred: Float[np.ndarray, "n d"], squares: Float[np.ndarray, "k k"]) -> float:
    """Ledoit and Wolf's share of shrinkage of a covariance to a multiple of the identity.

    ``squares``: the products of the rows or of the columns of ``centred`` with each other; both have the same norm.
    """
    n, d = centred.shape
    lengths = np.square(centred).sum(1)
    trace, norm = lengths.sum() / n, np.square(squares).sum() / n**2
    away = norm - trace**2 / d
    noise = (np.square(lengths).sum() / n - norm) / n
    return float(min(max(noise, 0.0) / away, 1.0)) if away > 0 else 1.0


def _solve(
    within: Float[np.ndarray, "n d"],
    squares: Float[np.ndarray, "k k"],
    shrinkage: float,
    right: Float[np.ndarray, " d"],
) -> Float[NDArray[np.float64], " d"]:
    """The shrunk covariance's inverse times ``right``."""
    n, d = within.shape
    share, ridge = (1 - shrinkage) / n, shrinkage * float(np.square(within).sum()) / (n * d)
    if not ridge:
        values = np.linalg.eigvalsh(squares)
        if n <= d or values[0] <= d * np.finfo(np.float64).eps * values[-1]:
            raise FitError(
                f"without shrinkage the covariance within classes, of {n} rows in {d} dimensions, can't be inverted;"
                " set shrinkage above 0"
            )
    if n >= d or not share:
        return np.linalg.solve(share * within.T @ within + ridge * np.eye(d), right) if share else right / ridge
    inner = np.linalg.solve(share * squares + ridge * np.eye(n), within @ right)
    return (right - share * (inner @ within)) / ridge
