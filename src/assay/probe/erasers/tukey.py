"""Projection between Tukey medians: like mean projection, but where nearly all rows are decides."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Shaped
from numpy.typing import NDArray

from assay.probe.erasers.eraser import Eraser
from assay.probe.erasers.fitter import Fitter
from assay.probe.erasers.rows import MOST, KeptRows

DIRECTIONS = 500  # of each kind, beside the principal axes
STEPS = 200


class TukeyFitter(Fitter):
    """Projects off, at right angles, the differences of the classes' Tukey medians, as :func:`tukey_median` finds them.

    The mean of the medians, weighted by the classes' sizes, stays where it is. Rows are kept in memory: at most
    ``most``, each as likely as another.

    Args:
        x_dim: width of x.
        z_dim: 1 for labels 0/1, else the number of one-hot classes.
        most: rows that are kept.
        seed: of the rows that are kept and of the directions.
    """

    def __init__(self, x_dim: int, z_dim: int = 1, *, most: int = MOST, seed: int = 0) -> None:
        self.seed = seed
        self._rows = KeptRows(x_dim, z_dim, most, seed)

    def update(self, x: Shaped[Any, "*lead width"], z: Shaped[Any, "*shape"]) -> TukeyFitter:
        """Take in x (..., x_dim) and labels z (...,) or (..., z_dim), numpy or torch. Raises FitError."""
        self._rows.add(x, z)
        return self

    @property
    def eraser(self) -> Eraser:
        """The projection for all rows so far; its rank is the number of classes seen less 1, where no medians agree.

        Raises:
            FitError: rows of one class, or all the same.
        """
        labels, x = self._rows.labels, self._rows.x
        classes, counts = np.unique(labels, return_counts=True)
        medians = np.stack([tukey_median(x[labels == one], self.seed) for one in classes])
        u, s, _ = np.linalg.svd((medians[1:] - medians[0]).T, full_matrices=False)
        turned = u[:, s > max(1e-6 * s[0], 1e-12 * float(np.abs(x).max()))]
        return Eraser(turned, turned.T, counts @ medians / counts.sum(), "tukey")


def tukey_median(x: Float[np.ndarray, "n d"], seed: int = 0) -> Float[NDArray[np.float64], " d"]:
    """About the point of the greatest halfspace depth: the least share of rows on one side of a plane through it.

    The depth of a point is approximated from above, by the least over a fixed set of directions: the principal axes,
    directions drawn evenly, and directions from one row to another (the last two :data:`DIRECTIONS` each). The search
    begins at the median along each principal axis, steps away from the emptiest side, shortens its steps as it goes,
    and keeps the best point it saw (after Struyf and Rousseeuw 2000, whose DEEPLOC does so too). The point need not be
    a row. Directions that were not tried may cut off fewer rows: in many dimensions the depth is an upper bound only,
    and what the median resists are outliers that show along a principal axis or between two rows.
    """
    rng = np.random.default_rng(seed)
    directions, axes = _directions(x.astype(np.float64), rng)
    along = np.sort(directions @ x.astype(np.float64).T, axis=1)
    middle = np.median(along, axis=1)
    centre = x.mean(0)
    point = centre + (middle[:axes] - directions[:axes] @ centre) @ directions[:axes]
    best, deepest = point, -1.0
    for step in range(STEPS):
        at = directions @ point
        depth = _depth(along, at)
        worst = int(depth.argmin())
        if depth[worst] > deepest:
            best, deepest = point, float(depth[worst])
        if deepest >= 0.5:
            break
        stride = 1 / (1 + step / 10)
        point = point + stride * (middle[worst] - at[worst]) * directions[worst]
    return best


def _depth(along: Float[np.ndarray, "m n"], at: Float[np.ndarray, " m"]) -> Float[NDArray[np.float64], " m"]:
    """The smaller share of the n sorted numbers of each row that is at or beyond ``at``, seen from either side."""
    slack = 1e-9 * np.abs(at) + 1e-12
    n = along.shape[1]
    return np.minimum(_below(along, at + slack), n - _below(along, at - slack)) / n


def _below(along: Float[np.ndarray, "m n"], at: Float[np.ndarray, " m"]) -> NDArray[np.int64]:
    """How many numbers of each sorted row are at or below ``at``, by bisection of all rows at once."""
    m, n = along.shape
    rows, low, high = np.arange(m), np.zeros(m, np.int64), np.full(m, n)
    for _ in range(n.bit_length()):
        middle = (low + high) // 2
        up = (middle < high) & (along[rows, np.minimum(middle, n - 1)] <= at)
        low, high = np.where(up, middle + 1, low), np.where(up, high, middle)
    return low


def _directions(x: NDArray[np.float64], rng: np.random.Generator) -> tuple[NDArray[np.float64], int]:
    """Unit vectors, of which the first so many are the principal axes."""
    n, d = x.shape
    centred = x - x.mean(0)
    values, vectors = np.linalg.eigh(centred.T @ centred / n)
    axes = vectors.T[values > d * np.finfo(np.float64).eps * values[-1]]
    drawn = rng.standard_normal((DIRECTIONS, d))
    first, second = rng.integers(n, size=(2, DIRECTIONS))
    every = np.concatenate([axes, drawn, x[first] - x[second]])
    lengths = np.linalg.norm(every, axis=1)
    return every[lengths > 0] / lengths[lengths > 0, None], len(axes)
