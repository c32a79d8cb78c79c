"""Grounds: rows that a probe is fitted on, and rows of other groups, texts and data sets that it is tested on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.errors import UsageError
from assay.probe.bench import Bench
from assay.text.concepts import ConceptData, check_apart, split_concept, tear

SHARES = (0.5, 0.1, 0.4)


class Ground(NamedTuple):
    """Rows of a data set to learn on."""

    data: ConceptData
    rows: NDArray[np.int64]

    @property
    def labels(self) -> NDArray[np.int64]:
        """(n,) 0 or 1."""
        return self.data.labels[self.rows]

    @property
    def groups(self) -> NDArray[Any]:
        """(n,) names."""
        return self.data.groups[self.rows]

    @property
    def pairs(self) -> NDArray[Any] | None:
        """(n,) names of contrast pairs, "" where a row is of none; None where no row is of one."""
        pairs = self.data.pairs[self.rows]
        return pairs if (pairs != "").any() else None

    @property
    def texts(self) -> list[str]:
        """The texts of the rows."""
        return [self.data.texts[row] for row in self.rows]


class Grounds(NamedTuple):
    """Where a probe is fitted, and by name where it is tested."""

    fit: Ground
    tests: Mapping[str, Ground]


def grounds(bench: Bench, train: str, transfer: Sequence[str], by: str = "group", torn: bool = False) -> Grounds:
    """Split a data set, and keep from the others what shares no group and no text with what is fitted on.

    Raises:
        UsageError: a split by row that tears groups, unless it is to; one text in two groups; or a set of which nothing
            is left.
    """
    data = bench.data(train)
    if by == "row":
        splits = tear(data, bench.seed, SHARES)
        both = np.intersect1d(data.groups[splits.fit], data.groups[splits.test])
        if len(both) and not torn:
            raise UsageError(
                f"a split of {train} by row puts {len(both):,} of {len(set(data.groups)):,} groups on both sides, so "
                "that a probe is tested on what it has seen; leave out --split row, or add --tear to do it knowingly"
            )
    else:
        splits = split_concept(data, bench.seed, SHARES)
        check_apart(data, splits)
    fit = Ground(data, splits.fit)
    tests = {train: Ground(data, splits.test)}
    learnt = [data.items[row] for row in (*splits.fit, *splits.choose)]
    used, texts = {item.group for item in learnt}, {_spelled(item.text) for item in learnt}
    for name in transfer:
        other = bench.data(name)
        left = np.flatnonzero([item.group not in used and _spelled(item.text) not in texts for item in other.items])
        if len(set(other.labels[left])) < 2:
            raise UsageError(
                f"{name} has {len(left)} items of groups that are not fitted on, and not of both labels; give more "
                "items"
            )
        tests[name] = Ground(other, left)
    return Grounds(fit, tests)


def _spelled(text: str) -> str:
    return " ".join(text.split())
