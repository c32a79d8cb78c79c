"""Growing the next rule: conjunctions of conditions, best first, on a residual.

In every slot the residual is asked for the best set of strings and the best class, and of all flags which explains
most; the best few of these candidates then grow by one condition at a time, within the limit of twelve strings for
the whole rule (a beam search).

What a candidate gains is the squared error that it removes with its own best value, ``S**2 / (n + support)``, less
what its description costs. By the principle of minimum description length (Rissanen 1978) a bit must remove
``2 ln(2)`` times the residual's variance: so much saves one bit in a Gaussian code of the residual.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray
from scipy import sparse

from assay.errors import UsageError
from assay.rules.classes import class_names
from assay.rules.flags import FLAG_NAMES
from assay.rules.rule import CONDITIONS, LISTED, Condition, Rule
from assay.rules.view import BAGS, SLOTS, View
from rules.naive_sets import best_sets

Rows = NDArray[np.intp]
Floats = NDArray[np.float64]
When = tuple[Condition, ...]


@dataclass(frozen=True)
class LearnOptions:
    """How the search goes. The defaults were chosen on fit and choose documents, never on test documents."""

    support: float = 8.0  # pseudo-observations of zero for each listed string, and for each rule
    windows: int = 12  # of the view that a string of a bag must be seen in to be listed: else it names one document
    beam: int = 1  # candidates that are grown at each step
    conditions: int = 2
    sweeps: int = 1  # backfitting sweeps at the end
    shortlist: int = 256  # strings of a slot that are considered for a set, by what they explain alone
    improvement: float = 1.1  # by what factor a further condition must raise a candidate's gain
    price: float = 1.0  # squared error a bit must remove, in units of what it costs to encode: 1 is the MDL principle

    def __post_init__(self) -> None:
        if not 1 <= self.conditions <= CONDITIONS:
            raise UsageError(f"a rule may grow to 1 to {CONDITIONS} conditions, got {self.conditions}")


class Candidate(NamedTuple):
    """A conjunction under consideration, the rows where it holds, and what it gains."""

    when: When
    rows: Rows
    gain: float


class _Ground(NamedTuple):
    """Where a search stands: conditions that are fixed, the rows where they hold, the residual there, a bit's price."""

    when: When
    rows: Rows
    residual: Floats
    bit: float

    @property
    def room(self) -> int:
        return LISTED - sum(len(condition.any_of) for condition in self.when)


class Search:
    """Finds conjunctions on one view, for any residual: what does not depend on the residual is made once.

    Args:
        view: the fit split, restricted to the tokens that count.
        vocabulary: size of the vocabulary, for description lengths.
        options: how the search goes.
    """

    def __init__(self, view: View, vocabulary: int, options: LearnOptions) -> None:
        self.view, self.vocabulary, self.options = view, vocabulary, options
        self._all = np.arange(view.size)
        self._known = {slot: view.windows_with(slot) >= options.windows for slot in BAGS}
        self._columns: dict[str, sparse.csc_matrix] = {slot: view.bag(slot).matrix.tocsc() for slot in BAGS}

    def best(
        self, residual: Float64[np.ndarray, " tokens"], taken: Collection[frozenset[Condition]]
    ) -> Candidate | None:
        """The conjunction that gains most and is not among ``taken``; None when nothing pays for its description."""
        bit = self._price(residual)
        pool = self._extensions(_Ground((), self._all, residual, bit))
        finished: list[Candidate] = []
        for _ in range(self.options.conditions - 1):
            pool = sorted(pool, key=lambda c: -c.gain)[: self.options.beam]
            finished += pool
            grown: list[Candidate] = []
            for parent in pool:
                floor = max(parent.gain * self.options.improvement, parent.gain)
                ground = _Ground(parent.when, parent.rows, residual[parent.rows], bit)
                grown += [child for child in self._extensions(ground) if child.gain > floor]
            pool = grown
        finished = [c for c in finished + pool if c.gain > 0 and frozenset(c.when) not in taken]
        return max(finished, key=lambda c: c.gain, default=None)

    def relisted(
        self,
        residual: Float64[np.ndarray, " tokens"],
        candidate: Candidate,
        taken: Collection[frozenset[Condition]],
    ) -> Candidate:
        """The same conjunction with the strings of its first list outside the bags chosen again, where that gains."""
        place = next((i for i, c in enumerate(candidate.when) if c.any_of and c.slot in SLOTS), None)
        if place is None:
            return candidate
        slot, others = candidate.when[place].slot, candidate.when[:place] + candidate.when[place + 1 :]
        mask = np.ones(self.view.size, dtype=bool)
        for condition in others:
            mask &= condition.holds(self.view)
        rows, bit = np.flatnonzero(mask), self._price(residual)
        found = [
            self._candidate(_Ground(others, rows, residual[rows], bit), Condition(slot, names), hit, place)
            for names, hit in self._lists(_Ground(others, rows, residual[rows], bit), slot)
        ]
        here = residual[candidate.rows]
        now = candidate._replace(gain=self._gain(candidate.when, here, bit))
        return max([now, *(c for c in found if frozenset(c.when) not in taken)], key=lambda c: c.gain)

    def _price(self, residual: Floats) -> float:
        """The squared error that one bit of description must remove."""
        return self.options.price * 2 * float(np.log(2)) * float(residual.var())

    def _gain(self, when: When, residual: Floats, bit: float) -> float:
        """What a rule gains that holds where these residuals are."""
        removed = float(residual.sum()) ** 2 / (len(residual) + self.options.support)
        return removed - bit * Rule(when, 0.0).bits(self.vocabulary)

    def _candidate(
        self, ground: _Ground, condition: Condition, hit: NDArray[np.bool_], place: int | None = None
    ) -> Candidate:
        at = len(ground.when) if place is None else place
        when = (*ground.when[:at], condition, *ground.when[at:])
        return Candidate(when, ground.rows[hit], self._gain(when, ground.residual[hit], ground.bit))

    def _extensions(self, ground: _Ground) -> list[Candidate]:
        """The best candidates that add one condition."""
        full = () if ground.room else (*SLOTS, *BAGS)
        listed = {*full, *(condition.slot for condition in ground.when if condition.any_of)}
        found: list[Candidate] = []
        for slot in SLOTS:
            if slot not in listed:
                found += [
                    self._candidate(ground, Condition(slot, names), hit) for names, hit in self._lists(ground, slot)
                ]
            if slot not in ("word", "stem"):  # neither half a word nor a stem has a class
                found += self._slot_classes(ground, slot)
        for slot in BAGS if not ground.when else ():
            if slot not in listed:
                found += self._bag_lists(ground, slot)
        found += self._best_columns(ground, self.view.flags, "flag", FLAG_NAMES)
        return found + self._best_columns(ground, self.view.class_flags, "nearby", class_names())

    def _sets(self, sums: Floats, counts: Floats, ground: _Ground) -> list[NDArray[np.intp]]:
        price = ground.bit * float(np.log2(self.vocabulary))
        support, shortlist = self.options.support, self.options.shortlist
        return best_sets(sums, counts, room=ground.room, support=support, price=price, shortlist=shortlist)

    def _lists(self, ground: _Ground, slot: str) -> list[tuple[tuple[str, ...], NDArray[np.bool_]]]:
        """The best sets of strings of a slot, and where they stand."""
        keys = self.view.keys(slot)
        ids = keys.ids[ground.rows]
        sums, counts = _by_key(ids, ground.residual, len(keys.names))
        return [
            (tuple(keys.names[int(i)] for i in members), np.isin(ids, members))
            for members in self._sets(sums, counts, ground)
        ]

    def _bag_lists(self, ground: _Ground, slot: str) -> list[Candidate]:
        """The best sets of strings in a bag.

        Strings of a bag come together, and one that only keeps company with a good one looks good as well: so the
        set is gone through once more, and each string kept only if it gains by the tokens that it adds.
        """
        matrix, names = self._columns[slot], self.view.bag(slot).names
        weights = np.zeros((2, self.view.size))
        weights[0, ground.rows], weights[1, ground.rows] = ground.residual, 1
        sums, counts = (np.asarray(matrix.T @ row.astype(np.float32), dtype=np.float64) for row in weights)
        found: list[Candidate] = []
        for members in self._sets(np.where(self._known[slot], sums, 0.0), counts, ground):
            kept, mask = self._kept(matrix, members, weights, ground.bit * float(np.log2(self.vocabulary)))
            condition = Condition(slot, tuple(names[int(i)] for i in kept))
            found.append(self._candidate(ground, condition, mask[ground.rows]))
        return found

    def _kept(
        self, matrix: sparse.csc_matrix, members: NDArray[np.intp], weights: Floats, price: float
    ) -> tuple[list[int], NDArray[np.bool_]]:
        """The columns that gain by the rows they add to those before them, and the rows of any of them."""
        start: NDArray[np.int32] = matrix.indptr
        mask = np.zeros(self.view.size, dtype=bool)
        kept: list[int] = []
        total, gain = np.zeros(2), -math.inf
        for column in map(int, members):
            rows: NDArray[np.int32] = matrix.indices[start[column] : start[column + 1]]
            added = rows[~mask[rows]]
            after = total + weights[:, added].sum(axis=1)
            worth = float(after[0] ** 2 / (after[1] + self.options.support)) - price * (len(kept) + 1)
            if worth > gain:
                total, gain = after, worth
                mask[added] = True
                kept.append(column)
        return kept, mask

    def _slot_classes(self, ground: _Ground, slot: str) -> list[Candidate]:
        """The best class of a slot, and the best one to exclude."""
        members, keys = self.view.members(slot), self.view.keys(slot)
        ids = keys.ids[ground.rows]
        by_key = np.stack(_by_key(ids, ground.residual, len(keys.names))).astype(np.float32)
        sums, counts = (by_key @ members).astype(np.float64)
        found: list[Candidate] = []
        for condition, column in self._choices(ground, sums, counts, slot, class_names()):
            hit = (members[:, column] > 0)[ids] ^ condition.negated
            found.append(self._candidate(ground, condition, hit))
        return found

    def _best_columns(
        self, ground: _Ground, table: NDArray[np.float32], slot: str, names: Sequence[str]
    ) -> list[Candidate]:
        """The best of a table's columns (tokens, names), and the best one to exclude."""
        part = table if len(ground.rows) == len(table) else table[ground.rows]
        sums = (ground.residual.astype(np.float32) @ part).astype(np.float64)
        counts = part.sum(0, dtype=np.float64)
        return [
            self._candidate(ground, condition, (part[:, column] > 0) ^ condition.negated)
            for condition, column in self._choices(ground, sums, counts, slot, names)
        ]

    def _choices(
        self, ground: _Ground, sums: Floats, counts: Floats, slot: str, names: Sequence[str]
    ) -> list[tuple[Condition, int]]:
        """The name that explains most and, as a further condition, the name whose absence does."""
        chosen: list[tuple[Condition, int]] = []
        for negated in (False, True) if ground.when else (False,):
            s = ground.residual.sum() - sums if negated else sums
            n = len(ground.rows) - counts if negated else counts
            column = int(np.argmax(s**2 / (n + self.options.support)))
            condition = Condition(slot, named=names[column], negated=negated)
            if condition not in ground.when:
                chosen.append((condition, column))
        return chosen


def _by_key(ids: NDArray[np.int64], residual: Floats, size: int) -> tuple[Floats, Floats]:
    """Residual sum and count of every key."""
    sums = np.bincount(ids, residual, minlength=size).astype(np.float64)
    return sums, np.bincount(ids, minlength=size).astype(np.float64)
