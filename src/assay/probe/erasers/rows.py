"""What fitters are given, as float64 rows; and a bounded memory of rows for those that need them all."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int64, Shaped
from numpy.typing import NDArray

from assay.errors import FitError

MOST = 8000  # rows that a fitter keeps, unless told otherwise


def as_rows(x: Shaped[Any, "*lead width"], x_dim: int) -> Float[np.ndarray, "n {x_dim}"]:
    """x (..., x_dim), numpy or torch, as rows: float32 where that is what they were, else float64.

    Raises:
        FitError: another width, or entries that aren't finite.
    """
    if not x.shape or x.shape[-1] != x_dim:
        raise FitError(f"x must be (..., {x_dim}). Got shape {tuple(x.shape)}.")
    rows = _plain(x).reshape(-1, x_dim)
    if not _finite(rows):
        raise FitError("x has entries that are NaN or infinite; leave those rows out")
    return rows


def as_concept(z: Shaped[Any, "*shape"], z_dim: int, lead: tuple[int, ...]) -> Float[NDArray[np.float64], "n {z_dim}"]:
    """z as float64 rows, for x of shape (\\*lead, x_dim): (\\*lead, z_dim), or ``lead`` alone where z_dim is 1.

    Raises:
        FitError: another shape, or entries that aren't finite.
    """
    shape = tuple(z.shape)
    if shape != (*lead, z_dim) and not (z_dim == 1 and shape == lead):
        wanted = f"{lead} or {(*lead, 1)}" if z_dim == 1 else str((*lead, z_dim))
        raise FitError(f"z must have shape {wanted} beside this x. Got {shape}.")
    rows = _plain(z).reshape(-1, z_dim).astype(np.float64)
    if not _finite(rows):
        raise FitError("z has entries that are NaN or infinite; leave those rows out")
    return rows


def as_labels(z: Float[np.ndarray, "n z_dim"]) -> Int64[NDArray[np.int64], " n"]:
    """The class of each row: 0 or 1 where z has one column, else the column in which the 1 stands.

    Raises:
        FitError: neither 0/1 nor one-hot.
    """
    if not ((z == 0) | (z == 1)).all():
        raise FitError(f"labels must be 0 or 1, or one-hot. Got {z[(z != 0) & (z != 1)][0]:g}.")
    if z.shape[1] == 1:
        return z[:, 0].astype(np.int64)
    if not (z.sum(1) == 1).all():
        raise FitError("labels of several columns must be one-hot: one 1 in every row")
    return z.argmax(1)


def _plain(x: Any) -> Float[np.ndarray, "*shape"]:
    if hasattr(x, "detach"):
        x = x.detach().cpu()
        x = (x.float() if x.is_floating_point() and x.element_size() < 4 else x).numpy()
    array = np.asarray(x)
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)


def _finite(rows: Float[np.ndarray, "n width"]) -> bool:
    """Whether all are: a sum over them is finite then, and only then, and costs less than asking each."""
    with np.errstate(invalid="ignore", over="ignore"):
        return bool(np.isfinite(rows.sum(0, dtype=np.float64)).all())


class KeptRows:
    """At most ``most`` rows out of all that come by, each as likely as another.

    Every row gets a random key when it comes; those with the smallest are kept, in the order in which they came. What
    is kept depends on the seed and on the rows, not on how they were cut into batches.

    Attributes:
        seen: how many rows came by.
    """

    def __init__(self, x_dim: int, z_dim: int, most: int, seed: int) -> None:
        self.x_dim, self.z_dim, self.most, self.seen = x_dim, z_dim, most, 0
        self._rng = np.random.default_rng(seed)
        self._keys = np.empty(0)
        self._x, self._z = np.empty((0, x_dim)), np.empty((0, z_dim))

    def add(self, x: Shaped[Any, "*lead width"], z: Shaped[Any, "*shape"]) -> None:
        """Show it x (..., x_dim) and z (...,) or (..., z_dim). Raises FitError."""
        rows = as_rows(x, self.x_dim)
        concept = as_concept(z, self.z_dim, tuple(x.shape[:-1]))
        as_labels(concept)
        self.seen += len(rows)
        keys = np.concatenate([self._keys, self._rng.random(len(rows))])
        kept = np.sort(np.argsort(keys, kind="stable")[: self.most])
        old, new = kept[kept < len(self._x)], kept[kept >= len(self._x)] - len(self._x)
        self._keys = keys[kept]
        self._x = np.concatenate([self._x[old], rows[new]])
        self._z = np.concatenate([self._z[old], concept[new]])

    @property
    def x(self) -> Float[NDArray[np.float64], "n x_dim"]:
        """The rows that are kept."""
        return self._x

    @property
    def z(self) -> Float[NDArray[np.float64], "n z_dim"]:
        """The concept of each."""
        return self._z

    @property
    def labels(self) -> Int64[NDArray[np.int64], " n"]:
        """The class of each.

        Raises:
            FitError: all are of one class, or all rows are the same.
        """
        labels = as_labels(self._z)
        if len(set(labels.tolist())) < 2:
            got = f"class {labels[0]} alone" if len(labels) else "no rows"
            raise FitError(f"an eraser needs rows of two classes. Got {got}.")
        if not np.ptp(self._x, axis=0).any():
            raise FitError(f"all {len(labels)} rows are the same: there is nothing in them to erase")
        return labels
