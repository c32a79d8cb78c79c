"""What all attacks on the same rows share: the rows as they are read, the folds, and the labels with their shuffles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64, Shaped
from numpy.typing import NDArray

from assay.errors import FitError
from assay.stats.nulls import shuffled_labels

FOLDS = 5
_DUST = 64  # roundings of the dtype, of its own numbers or of usual ones; a column that varies by less is left out


class Arena(NamedTuple):
    """Rows, folds and labels.

    ``x``: (n, p), each column of the given rows with mean 0 and variance 1, all of it scaled to a mean squared length
    of 1 a row, and turned into the coordinates that the rows span: inner products are as they were, and p is at most n.
    ``folds``: (n,) 0 to 4; a group is in one. ``labels``: (1 + shuffles, n), first the real ones. ``rows``: (n,) which
    of the given rows these are. ``groups``: (n,).
    """

    x: Float[NDArray[np.float64], "n p"]
    folds: Int64[NDArray[np.int64], " n"]
    labels: Int64[NDArray[np.int64], "sets n"]
    rows: Int64[NDArray[np.int64], " n"]
    groups: Shaped[NDArray[Any], " n"]

    @property
    def signs(self) -> Float[NDArray[np.float64], "n sets"]:
        """Labels as -1 and 1, a column a set."""
        return np.where(self.labels.T == 1, 1.0, -1.0)

    def splits(self) -> Iterator[tuple[Bool[NDArray[np.bool_], " n"], Bool[NDArray[np.bool_], " n"]]]:
        """Of each fold the rows to fit on and those held out."""
        for fold in range(FOLDS):
            held = self.folds == fold
            yield ~held, held


def prepare(
    x: Shaped[np.ndarray, "n d"],
    y: Shaped[np.ndarray, " m"],
    groups: Shaped[np.ndarray, " k"],
    seed: int,
    shuffles: int,
    most: int,
) -> Arena:
    """Check what is given, keep at most ``most`` rows (whole groups, drawn by the seed), and set up the arena.

    Raises:
        FitError: lengths that differ, labels that are not 0 or 1 or all the same, fewer groups than folds, rows that
            are all the same or hold NaN.
    """
    labels = checked(x, y)
    if len(groups) != len(x):
        raise FitError(f"each row needs its group. Got {len(x)} rows and {len(groups)} groups.")
    rng = np.random.default_rng([seed, 0])
    rows = _some(groups, most, rng)
    labels, groups = labels[rows], groups[rows]
    if len(set(labels.tolist())) < 2:
        raise FitError(f"the {len(rows)} rows that are kept are all of one class; allow more than {most}")
    folds = grouped_folds(labels, groups, rng)
    sets = [labels, *(shuffled_labels(labels, groups, rng) for _ in range(shuffles))]
    return Arena(standardised(x[rows]), folds, np.stack(sets), rows, groups)


def checked(x: Shaped[np.ndarray, "n d"], y: Shaped[np.ndarray, " m"]) -> Int64[NDArray[np.int64], " m"]:
    """The labels as integers.

    Raises:
        FitError: see :func:`prepare`.
    """
    if len(y) != len(x):
        raise FitError(f"each row needs its label. Got {len(x)} rows and {len(y)} labels.")
    wrong = y[(y != 0) & (y != 1)]
    if len(wrong):
        raise FitError(f"labels must be 0 or 1. Got {wrong[0]}.")
    if len(set(y.tolist())) < 2:
        raise FitError("an attack needs rows of both labels. Got " + (f"{y[0]} alone." if len(y) else "no rows."))
    if not np.isfinite(x).all():
        raise FitError("x has entries that are NaN or infinite; leave those rows out")
    if not np.ptp(x, axis=0).any():
        raise FitError(f"all {len(x)} rows are the same: there is nothing in them to find")
    return y.astype(np.int64)


def standardised(x: Shaped[np.ndarray, "n d"]) -> Float[NDArray[np.float64], "n p"]:
    """The rows of an :class:`Arena`. Labels play no part in it, so that nothing of them leaks over folds.

    Raises:
        FitError: no column varies by more than rounding.
    """
    wide = x.astype(np.float64)
    eps = float(np.finfo(x.dtype if x.dtype in (np.float16, np.float32) else np.float64).eps)
    usual = np.sqrt(np.square(wide).mean())
    rounding = _DUST * eps * np.maximum(np.abs(wide).max(0), usual)
    wide = wide - wide.mean(0)
    sd = wide.std(0)
    used = sd > rounding
    if not used.any():
        raise FitError(f"all {len(wide)} rows are the same up to rounding: there is nothing in them to find")
    wide = wide[:, used] / sd[used]
    n, d = wide.shape
    wide /= np.sqrt(d)
    if n >= d:
        return wide
    values, vectors = np.linalg.eigh(wide @ wide.T)
    kept = values > n * np.finfo(np.float64).eps * values[-1]
    return vectors[:, kept] * np.sqrt(values[kept])


def grouped_folds(
    labels: Int64[np.ndarray, " n"], groups: Shaped[np.ndarray, " n"], rng: np.random.Generator
) -> Int64[NDArray[np.int64], " n"]:
    """The fold of each row, 0 to 4: whole groups, dealt so that folds are alike in labels and size.

    Groups are put in order of their share of label 1, then of their size, then by chance, and dealt to and fro.

    Raises:
        FitError: fewer groups than folds.
    """
    names, where, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(names) < FOLDS:
        raise FitError(f"attacks need {FOLDS} groups or more, one a fold. Got {len(names)}.")
    shares = np.bincount(where, weights=labels) / sizes
    order = np.lexsort((rng.random(len(names)), -sizes, shares))
    deal = np.arange(len(names)) % (2 * FOLDS)
    fold = np.empty(len(names), np.int64)
    fold[order] = np.minimum(deal, 2 * FOLDS - 1 - deal)
    return fold[where]


def _some(groups: Shaped[np.ndarray, " n"], most: int, rng: np.random.Generator) -> Int64[NDArray[np.int64], " k"]:
    """At most so many rows: whole groups in an order drawn by chance, until the next is too many."""
    if len(groups) <= most:
        return np.arange(len(groups))
    names, where, counts = np.unique(groups, return_inverse=True, return_counts=True)
    order = rng.permutation(len(names))
    kept = order[np.cumsum(counts[order]) <= most]
    return np.flatnonzero(np.isin(where, kept))
