"""Contrast pairs: which rows belong together."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Int64, Shaped
from numpy.typing import NDArray

from assay.errors import FitError


def pair_rows(pairs: Shaped[np.ndarray, " n"]) -> Int64[NDArray[np.int64], "m 2"]:
    """The rows of each pair, as they stand; pairs in the order of their first rows.

    ``pairs``: (n,) the id of each row. "", None and negative numbers are no pair, nor is an id that one row has alone.

    Raises:
        FitError: an id of three rows or more.
    """
    ids, place, counts = np.unique(_names(pairs), return_inverse=True, return_counts=True)
    named = ids != ""
    many = np.flatnonzero(named & (counts > 2))
    if many.size:
        raise FitError(f"pair {str(ids[many[0]])!r} has {counts[many[0]]} rows; a contrast pair has two")
    place = place.reshape(-1)
    rows = np.flatnonzero((named & (counts == 2))[place])
    found = rows[np.argsort(place[rows], kind="stable")].reshape(-1, 2)
    return found[np.argsort(found[:, 0])].astype(np.int64)


def random_pairs(n: int, rng: np.random.Generator) -> Int64[NDArray[np.int64], "m 2"]:
    """``n // 2`` pairs of rows drawn without replacement."""
    return rng.permutation(n)[: n // 2 * 2].reshape(-1, 2).astype(np.int64)


def pair_groups(
    n: int, pairs: Shaped[np.ndarray, " n"] | None, groups: Shaped[np.ndarray, " n"] | None
) -> Int64[NDArray[np.int64], " n"]:
    """For each row the number of the group that folds may not split: that given, else its pair, else itself.

    Raises:
        FitError: one group id a row is not what was given, or a pair lies in two groups.
    """
    together = pair_rows(pairs) if pairs is not None else np.empty((0, 2), np.int64)
    if groups is None:
        own = np.arange(n)
        own[together[:, 1]] = together[:, 0]
        return np.unique(own, return_inverse=True)[1].reshape(-1).astype(np.int64)
    if groups.shape != (n,):
        raise FitError(f"groups must have one id a row: got shape {groups.shape} for {n} rows")
    number = np.unique(groups.astype(str), return_inverse=True)[1].reshape(-1).astype(np.int64)
    torn = np.flatnonzero(number[together[:, 0]] != number[together[:, 1]])
    if torn.size:
        one, two = together[torn[0]]
        raise FitError(
            f"{torn.size} pairs lie in two groups each, the first in {groups[one]!s} and {groups[two]!s}; give pairs"
            " one group"
        )
    return number


def _names(pairs: Shaped[np.ndarray, " n"]) -> Shaped[np.ndarray, " n"]:
    """Ids as strings, "" for none."""
    if pairs.dtype.kind in "iu":
        return np.where(pairs < 0, "", pairs.astype(str))
    return np.array([_name(one) for one in pairs.tolist()], dtype=str)


def _name(one: Any) -> str:
    none = one is None or (isinstance(one, int | float) and not one >= 0)
    return "" if none else str(one)
