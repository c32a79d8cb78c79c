"""Rows to learn from, to choose with and to be judged on, by group; and the split that ignores groups."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64
from numpy.typing import NDArray

from assay.errors import UsageError
from assay.text.concepts.data import ConceptData
from assay.text.concepts.drawn import fraction

SHARES = (0.6, 0.2, 0.2)


class ConceptSplits(NamedTuple):
    """Rows of a set, ascending: those to learn from, to choose with, and to be judged on."""

    fit: Int64[NDArray[np.int64], " fit"]
    choose: Int64[NDArray[np.int64], " choose"]
    test: Int64[NDArray[np.int64], " test"]

    @property
    def sha256(self) -> str:
        """Hash of which row went where."""
        digest = hashlib.sha256()
        for name, rows in zip(self._fields, self, strict=True):
            digest.update(f"{name} {rows.tolist()}\n".encode())
        return digest.hexdigest()


def split_concept(data: ConceptData, seed: int, shares: tuple[float, float, float] = SHARES) -> ConceptSplits:
    """Divide a set by its groups.

    The SHA-256 of ``seed`` and the group, read as a fraction in [0, 1), is cut at the cumulative shares. So the side
    depends on the group's name alone, and a group that stands in several sets is on the same side in each: a probe that
    learnt from the fit side of one may be judged on the test side of another. The price is that the sides are of about
    the shares, not exactly: with g groups the fit side's share of the groups has a standard deviation of about .49 /
    sqrt(g) (.03 for 270 cities).

    Raises:
        UsageError: a side lacks one of the classes.
        ValueError: shares that are not three positive numbers with sum 1.
    """
    _check_shares(shares)
    side_of = {group: _side(fraction(seed, group), shares) for group in set(data.groups.tolist())}
    splits = _sides(np.array([side_of[item.group] for item in data.items], np.int64))
    _check_classes(data, splits, f"{len(side_of):,} groups")
    return splits


def tear(data: ConceptData, seed: int, shares: tuple[float, float, float] = SHARES) -> ConceptSplits:
    """Divide a set by rows at random, whatever their groups: the split that :func:`check_apart` refuses.

    It is there to show what it does: a city's true and false sentence on two sides, learnt from and tested on.

    Raises:
        UsageError: a side lacks one of the classes.
        ValueError: shares that are not three positive numbers with sum 1.
    """
    _check_shares(shares)
    middles = (np.arange(len(data)) + 0.5) / max(1, len(data))
    sides = np.array([_side(middle, shares) for middle in middles.tolist()], np.int64)
    splits = _sides(np.random.default_rng(seed).permutation(sides))
    _check_classes(data, splits, f"{len(data):,} rows")
    return splits


def check_apart(data: ConceptData, splits: ConceptSplits) -> None:
    """Compare the sides.

    Raises:
        UsageError: a group, a text (up to whitespace) or a pair stands on more than one side; says how many of each.
    """
    texts = np.array([" ".join(text.split()) for text in data.texts], np.object_)
    torn = {
        "groups": _torn(data.groups, splits),
        "texts": _torn(texts, splits),
        "pairs": _torn(data.pairs, splits),
    }
    if any(torn.values()):
        counts = ", ".join(f"{count:,} {what}" for what, count in torn.items() if count)
        raise UsageError(
            f"{data.name}: the split tears {counts}, so that what was learnt is what is tested; split by group"
        )


def _torn(names: NDArray[np.object_], splits: ConceptSplits) -> int:
    """How many names, "" aside, stand on more than one side."""
    sides = [set(names[rows].tolist()) - {""} for rows in splits]
    return sum(sum(name in side for side in sides) > 1 for name in set[str]().union(*sides))


def _side(at: float, shares: Sequence[float]) -> int:
    return int(at >= shares[0]) + int(at >= shares[0] + shares[1])


def _sides(side: Int64[NDArray[np.int64], " n"]) -> ConceptSplits:
    return ConceptSplits(*(np.flatnonzero(side == number).astype(np.int64) for number in range(3)))


def _check_shares(shares: Sequence[float]) -> None:
    if len(shares) != 3 or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
        raise ValueError(f"shares must be three positive numbers with sum 1. Got {shares} instead.")


def _check_classes(data: ConceptData, splits: ConceptSplits, of: str) -> None:
    for name, rows in zip(splits._fields, splits, strict=True):
        ones = int(data.labels[rows].sum())
        if not 0 < ones < len(rows):
            raise UsageError(
                f"{data.name}: of {of} the {name} side got {len(rows):,} texts, {ones:,} of them of label 1, and needs "
                "both labels; give more groups, or another seed"
            )
