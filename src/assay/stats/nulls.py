"""Labels that mean nothing, and directions that mean nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, Shaped
from numpy.typing import NDArray


def shuffled_labels(
    labels: Int[np.ndarray, " n"], groups: Shaped[np.ndarray, " n"], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Labels that keep the structure and mean nothing.

    Where a group has both labels they change places within it; groups of one label change places as wholes, so that
    what is common to a group stays common.
    """
    _, where = np.unique(groups, return_inverse=True)
    shuffled = np.array(labels, np.int64)
    whole: list[NDArray[np.int64]] = []
    for group in range(int(where.max()) + 1):
        rows = np.flatnonzero(where == group)
        if len(set(labels[rows].tolist())) > 1:
            shuffled[rows] = rng.permutation(labels[rows])
        else:
            whole.append(rows)
    given = rng.permutation([labels[rows[0]] for rows in whole])
    for rows, label in zip(whole, given, strict=True):
        shuffled[rows] = label
    return shuffled


def random_directions(d: int, count: int, seed: int | Sequence[int]) -> Float[NDArray[np.float64], "count d"]:
    """Unit vectors drawn evenly."""
    drawn = np.random.default_rng(seed).standard_normal((count, d))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def oriented(
    directions: Float[np.ndarray, "k d"], x: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"]
) -> Float[NDArray[np.float64], "k d"]:
    """The same directions, each turned so that the mean of the positives is above that of the negatives."""
    gap = (x[labels == 1].mean(0) - x[labels == 0].mean(0)) @ directions.T
    return directions * np.where(gap < 0, -1.0, 1.0)[:, None]
