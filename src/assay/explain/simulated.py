"""Simulated predictions: on a sample of windows, since a judge reads a few thousand tokens a second.

The sample of a split is drawn once a run, the same windows for all units: every window of the split has the same
chance, so that what is counted on it stands at its natural frequency. Windows that the behaviour runs need besides
are simulated when they are asked for, and count in no score.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from assay.explain.material import Part
from assay.judge import Simulator, Unscored
from assay.text import TokenTable

CHOOSE_WINDOWS, TEST_WINDOWS = 12, 44

Floats = NDArray[np.float32]


def sample_windows(table: TokenTable, count: int, seed: int) -> NDArray[np.int64]:
    """Rows of ``count`` windows, all of them where there are no more; every window has the same chance.

    Drawn at a regular step through the documents in random order (systematic sampling): a document gives at most one
    window where none has more than one in ``count`` of all.
    """
    total = len(table)
    if total <= count:
        return np.arange(total)
    rng = np.random.default_rng([seed, 9])
    names, number = np.unique(table.documents, return_inverse=True)
    order = np.argsort(rng.permutation(len(names))[number], kind="stable")
    step = total / count
    return np.sort(order[(rng.random() * step + step * np.arange(count)).astype(np.int64)])


@dataclass
class _Said:
    """What one sentence says of one part: (tokens,) flat, NaN where not simulated; ``lengths``: (windows,) how far."""

    values: Floats
    lengths: NDArray[np.int64]


@dataclass(frozen=True)
class Simulations:
    """All simulations of a run.

    ``sampled``: by part, the rows of the windows that scores are made on. ``unscored``: by reason, how many windows of
    sentences had no answer.
    """

    simulator: Simulator
    parts: Mapping[str, Part]
    sampled: Mapping[str, NDArray[np.int64]]
    unscored: Counter[str] = field(default_factory=Counter)
    _said: dict[tuple[str, str], _Said] = field(default_factory=dict)

    @classmethod
    def over(cls, simulator: Simulator, choose: Part, test: Part, seed: int) -> Simulations:
        """With the sample that every run has of its choose and its test split."""
        rows = {
            part.name: sample_windows(part.table, count, seed)
            for part, count in ((choose, CHOOSE_WINDOWS), (test, TEST_WINDOWS))
        }
        return cls(simulator, {part.name: part for part in (choose, test)}, rows)

    def counted(self, name: str) -> NDArray[np.bool_]:
        """(tokens,) flat: the tokens of a part that scores are made on."""
        part = self.parts[name]
        return part.scored & np.isin(part.table.flat_windows, self.sampled[name])

    def said(self, name: str, sentence: str) -> Floats:
        """(tokens,) flat: what a sentence says of a part so far, NaN elsewhere."""
        return self._of(name, sentence).values

    def simulate(self, name: str, sentence: str, rows: NDArray[np.int64], length: int | None = None) -> Floats:
        """:meth:`said`, after these windows of the part were simulated, each up to its first ``length`` tokens."""
        table, of = self.parts[name].table, self._of(name, sentence)
        wanted = {int(row): int(min(table.lengths[row], length or table.length)) for row in rows}
        new = [row for row, tokens in wanted.items() if of.lengths[row] < tokens]
        texts = self.parts[name].texts
        windows = [[texts[int(i)] for i in table.ids[row, : wanted[row]]] for row in new]
        for row, found in zip(new, self.simulator.predict(sentence, windows), strict=True):
            of.lengths[row] = wanted[row]
            if isinstance(found, Unscored):
                self.unscored[found.reason] += 1
                continue
            start = int(table.offsets[row])
            of.values[start : start + wanted[row]] = found
        return of.values

    def _of(self, name: str, sentence: str) -> _Said:
        table = self.parts[name].table
        key = (name, sentence)
        if key not in self._said:
            self._said[key] = _Said(np.full(table.n_tokens, np.nan, np.float32), np.zeros(len(table), np.int64))
        return self._said[key]
