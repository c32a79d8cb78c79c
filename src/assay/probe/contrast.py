"""Contrast pairs: of two texts, which is the true one? Accuracies of directions are folded, as the sign is unknown."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import UsageError
from assay.probe.bench import Bench
from assay.probe.grounds import SHARES
from assay.stats.bootstrap import document_index, document_sums, document_weights
from assay.text.concepts import ConceptData, split_concept


class ContrastPairs:
    """Contrast pairs of a data set at a layer, split by group."""

    def __init__(self, bench: Bench, name: str, layer: int) -> None:
        data, x = bench.data(name), bench.acts(name, layer).astype(np.float64)
        splits = split_concept(data, bench.seed, SHARES)
        self.fit = _whole(data, x, np.concatenate([splits.fit, splits.choose]))
        self.test = _whole(data, x, splits.test)


class Pairs:
    """``x`` (2 n, d): the positive row of each of n pairs, then the negative ones; ``groups`` (n,)."""

    def __init__(self, x: NDArray[np.float64], groups: NDArray[Any]) -> None:
        self.x, self.groups, self.n = x, groups, len(groups)
        self.pairs = np.tile(np.arange(self.n), 2)
        self.labels = np.repeat([1, 0], self.n)
        self.gaps = x[: self.n] - x[self.n :]

    def right(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, k): whether each of k directions (k, d) puts the positive row of a pair above the other; ties half."""
        gap = self.gaps @ np.atleast_2d(weights).T
        return (gap > 0) + 0.5 * (gap == 0)


def folded_accuracy(
    part: Pairs, weights: NDArray[np.float64], replicates: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Folded accuracies of k directions, (k,), and on resamples of groups, (b, k)."""
    right = part.right(weights)
    where = document_index(part.groups.astype(str))
    ones = [np.ones(part.n)]
    sums = document_sums([*right.T, *ones], where.of_token, where.n_documents)
    drawn = document_weights(where.n_documents, replicates, seed) @ sums
    accuracy = drawn[:, :-1] / drawn[:, -1:]
    value = right.mean(0)
    return np.maximum(value, 1 - value), np.maximum(accuracy, 1 - accuracy)


def _whole(data: ConceptData, x: NDArray[np.float64], rows: NDArray[np.int64]) -> Pairs:
    by_pair: dict[str, dict[int, int]] = {}
    for row in rows:
        by_pair.setdefault(str(data.pairs[row]), {})[int(data.labels[row])] = int(row)
    whole = [pair for name, pair in by_pair.items() if name and len(pair) == 2]
    if not whole:
        raise UsageError(f"{data.name} has no contrast pairs, which CCS needs; give rows a 'pair', or take another set")
    positive, negative = ([pair[label] for pair in whole] for label in (1, 0))
    return Pairs(x[[*positive, *negative]], data.groups[positive])
