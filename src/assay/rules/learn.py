"""Learning a rule list: orthogonal matching pursuit over predicates that are grown as they are needed.

At each step the residual is asked, in every slot, for the best set of at most twelve strings and the best class, and
of every flag how much it explains; the best few candidates then grow by one condition at a time, within the limit of
twelve strings for the whole rule. The winner joins the list and all values are refitted by least squares. Afterwards
each rule in turn is taken out and its list of strings chosen again given all the others (backfitting).

The gain of a candidate is the squared error that it removes with its own best value, ``sum(r)**2 / (n + support)``:
``support`` pseudo-observations of zero keep strings seen once or twice from being believed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from assay.rules.classes import class_names
from assay.rules.flags import FLAG_NAMES
from assay.rules.rule import CONDITIONS, LISTED, Condition, Rule, RuleList
from assay.rules.view import BAGS, SLOTS, View

Rows = NDArray[np.intp]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LearnOptions:
    """How the search goes. The defaults were chosen on fit and choose documents, never on test documents."""

    support: float = 8.0  # pseudo-observations of zero for each listed string, and for each rule
    beam: int = 6  # candidates that are grown at each step
    conditions: int = 3
    sweeps: int = 1  # backfitting sweeps at the end
    shortlist: int = 256  # strings of a slot that are considered for a set, by what they explain alone
    improvement: float = 1.1  # by what factor a further condition must raise a candidate's gain
    price: float = 1.0  # squared error a bit must remove, in units of what it costs to encode: 1 is the MDL principle


class Candidate(NamedTuple):
    """A conjunction under consideration, the rows where it holds, and what it explains."""

    when: tuple[Condition, ...]
    rows: Rows
    gain: float

    @property
    def listed(self) -> int:
        return sum(len(condition.any_of) for condition in self.when)


class RuleLearner:
    """Learns rule lists for many units on one view: what does not depend on the unit is made once.

    Args:
        view: the fit split, restricted to the tokens that count.
        vocabulary: size of the vocabulary, for description lengths.
        options: how the search goes.
    """

    def __init__(self, view: View, vocabulary: int, options: LearnOptions | None = None) -> None:
        self.view, self.vocabulary, self.options = view, vocabulary, options or LearnOptions()
        self._bags = {slot: view.bag(slot)[0].tocsc() for slot in BAGS}
        self._flag_counts = view.flags[0].sum(0).astype(float)

    @cached_property
    def _all(self) -> Rows:
        return np.arange(self.view.size)

    def fit(self, target: NDArray[np.float32], rules: int) -> RuleList:
        """The list of at most ``rules`` rules for one unit.

        Args:
            target: (tokens,) activations on the fit split.
        """
        y = target.astype(np.float64)
        base, values = float(y.mean()), np.zeros(0)
        chosen: list[Candidate] = []
        residual = y - base
        for _ in range(rules):
            best = self._search(residual, chosen)
            if best is None:
                break
            chosen.append(best)
            base, values, residual = self._refit(y, chosen)
        for _ in range(self.options.sweeps):
            for place in range(len(chosen)):
                back = residual.copy()
                back[chosen[place].rows] += values[place]
                chosen[place] = self._relist(back, chosen[place])
                base, values, residual = self._refit(y, chosen)
        return self._finish(chosen, base, values)

    # -- candidates ------------------------------------------------------------------------------------------------

    def _search(self, residual: Floats, chosen: list[Candidate]) -> Candidate | None:
        taken = {frozenset(candidate.when) for candidate in chosen}
        self._bit = self.options.price * 2 * np.log(2) * float(residual.var())
        pool = self._extensions(residual, self._all, (), LISTED)
        finished: list[Candidate] = []
        for _ in range(self.options.conditions - 1):
            pool = sorted(pool, key=lambda c: -c.gain)[: self.options.beam]
            finished += pool
            grown: list[Candidate] = []
            for parent in pool:
                room = LISTED - parent.listed
                floor = max(parent.gain * self.options.improvement, parent.gain)
                grown += [c for c in self._extensions(residual, parent.rows, parent.when, room) if c.gain > floor]
            pool = grown
        finished += pool
        finished = [c for c in finished if frozenset(c.when) not in taken]
        best = max(finished, key=lambda c: c.gain, default=None)
        return best if best is not None and best.gain > 0 else None

    def _extensions(self, residual: Floats, rows: Rows, when: tuple[Condition, ...], room: int) -> list[Candidate]:
        """The best candidates that add one condition to ``when``, which holds at ``rows``."""
        used = {condition.slot for condition in when}
        r = residual[rows]
        found: list[Candidate] = []
        for slot in SLOTS:
            keys = self.view.keys(slot)
            ids = keys.ids[rows]
            sums = np.bincount(ids, r, minlength=len(keys.names))
            counts = np.bincount(ids, minlength=len(keys.names)).astype(float)
            if slot not in used and room:
                for members in self._sets(sums, counts, room):
                    hit = np.isin(ids, members)
                    names = tuple(keys.names[i] for i in members)
                    found.append(self._candidate((*when, Condition(slot, names)), rows[hit], r[hit]))
            if slot != "word":
                members = self.view.members(slot)
                by_class = np.stack([sums, counts]).astype(np.float32) @ members
                found += self._classes(slot, by_class.astype(float), ids, members, rows, r, when)
        found += self._bag_sets(residual, rows, r, when, used, room)
        found += self._flags(rows, r, when)
        return found

    def _candidate(self, when: tuple[Condition, ...], rows: Rows, r: Floats) -> Candidate:
        bits = Rule(when, 0.0).bits(self.vocabulary)
        return Candidate(when, rows, float(r.sum()) ** 2 / (len(r) + self.options.support) - self._bit * bits)

    def _sets(self, sums: Floats, counts: Floats, room: int) -> list[NDArray[np.intp]]:
        """Per sign, the set of at most ``room`` strings that explains most with one common value.

        For a common value v a string is worth ``2 v S - v**2 (n + support)``: a grid of values is tried, the best
        strings for each are taken, and v is fitted again to the set.
        """
        support, price = self.options.support, self._bit * float(np.log2(self.vocabulary))
        sums, counts = sums.copy(), counts.copy()
        sums[0] = 0
        out: list[NDArray[np.intp]] = []
        for sign in (1.0, -1.0):
            signed = sign * sums
            alone = np.where(signed > 0, signed**2 / (counts + support) - price, 0)
            short = np.argsort(-alone)[: self.options.shortlist]
            short = short[alone[short] > 0]
            if not len(short):
                continue
            s, n = signed[short], counts[short] + support
            best, best_gain = None, 0.0
            for value in np.quantile(s / n, (0.3, 0.5, 0.7, 0.8, 0.9, 0.97, 1.0)):
                v = value
                pick = np.zeros(0, dtype=np.intp)
                for _ in range(3):
                    worth = v * (2 * s - v * n) - price
                    pick = np.argsort(-worth)[:room]
                    pick = pick[worth[pick] > 0]
                    if not len(pick):
                        break
                    v = s[pick].sum() / n[pick].sum()
                gain = s[pick].sum() ** 2 / n[pick].sum() - price * len(pick) if len(pick) else 0.0
                if gain > best_gain:
                    best, best_gain = pick, gain
            if best is not None:
                out.append(short[best])
        return out

    def _classes(
        self,
        slot: str,
        by_class: Floats,
        ids: NDArray[np.int64],
        members: NDArray[np.float32],
        rows: Rows,
        r: Floats,
        when: tuple[Condition, ...],
    ) -> list[Candidate]:
        """The best class of a slot, and the best negated one."""
        found: list[Candidate] = []
        names = class_names()
        for negated in (False, True):
            if negated and not when:
                continue
            s, n = by_class if not negated else np.array([[r.sum()], [len(r)]]) - by_class
            i = int(np.argmax(s**2 / (n + self.options.support)))
            condition = Condition(slot, named=names[i], negated=negated)
            if condition in when:
                continue
            hit = (members[:, i] > 0)[ids] ^ negated
            found.append(self._candidate((*when, condition), rows[hit], r[hit]))
        return found

    def _bag_sets(
        self, residual: Floats, rows: Rows, r: Floats, when: tuple[Condition, ...], used: set[str], room: int
    ) -> list[Candidate]:
        found: list[Candidate] = []
        masked = residual
        if len(rows) < len(residual):
            masked = np.zeros_like(residual)
            masked[rows] = r
        inside = np.zeros(len(residual), dtype=np.float32)
        inside[rows] = 1
        for slot in BAGS:
            if slot in used or not room:
                continue
            matrix = self._bags[slot]
            sums = np.asarray(matrix.T @ masked.astype(np.float32), dtype=float)
            counts = np.asarray(matrix.T @ inside, dtype=float)
            names = self.view.bag(slot)[1]
            for members in self._sets(sums, counts, room):
                hit = _column_union(matrix, members, len(residual))[rows]
                condition = Condition(slot, tuple(names[i] for i in members))
                found.append(self._candidate((*when, condition), rows[hit], r[hit]))
        return found

    def _flags(self, rows: Rows, r: Floats, when: tuple[Condition, ...]) -> list[Candidate]:
        """The best few flags, near classes among them, each way round."""
        found: list[Candidate] = []
        near = class_names()
        tables = (
            (self.view.flags[0], [("flag", name) for name in FLAG_NAMES]),
            (self.view.class_flags[0], [("nearby", name) for name in near]),
        )
        weights = r.astype(np.float32)
        for table, names in tables:
            part = table if len(rows) == len(table) else table[rows]
            sums, counts = (weights @ part).astype(float), part.sum(0, dtype=float)
            for negated in (False, True):
                s = r.sum() - sums if negated else sums
                n = len(r) - counts if negated else counts
                i = int(np.argmax(s**2 / (n + self.options.support)))
                condition = Condition(names[i][0], named=names[i][1], negated=negated)
                if condition in when or (negated and not when):
                    continue
                hit = (part[:, i] > 0) ^ negated
                found.append(self._candidate((*when, condition), rows[hit], r[hit]))
        return found

    # -- refitting -------------------------------------------------------------------------------------------------

    def _refit(self, y: Floats, chosen: list[Candidate]) -> tuple[float, Floats, Floats]:
        """Base, values and residual of the least-squares fit, with a ridge of ``support`` on the values."""
        columns = sparse.csc_matrix(
            (
                np.ones(sum(len(c.rows) for c in chosen)),
                np.concatenate([c.rows for c in chosen]),
                np.concatenate([[0], np.cumsum([len(c.rows) for c in chosen])]),
            ),
            shape=(len(y), len(chosen)),
        )
        mean, share = y.mean(), np.asarray(columns.mean(axis=0)).ravel()
        gram = (columns.T @ columns).toarray() - len(y) * np.outer(share, share)
        gram[np.diag_indices_from(gram)] += self.options.support
        values = np.linalg.solve(gram, columns.T @ y - len(y) * share * mean)
        base = float(mean - share @ values)
        return base, values, y - base - columns @ values

    def _relist(self, residual: Floats, candidate: Candidate) -> Candidate:
        """The same rule with its listed strings (of its first listing condition outside the bags) chosen again."""
        place = next((i for i, c in enumerate(candidate.when) if c.any_of and c.slot in SLOTS), None)
        if place is None:
            return candidate
        slot, others = candidate.when[place].slot, candidate.when[:place] + candidate.when[place + 1 :]
        mask = np.ones(self.view.size, dtype=bool)
        for condition in others:
            mask &= condition.holds(self.view)
        rows = np.flatnonzero(mask)
        room = LISTED - sum(len(c.any_of) for c in others)
        keys = self.view.keys(slot)
        ids, r = keys.ids[rows], residual[rows]
        sums = np.bincount(ids, r, minlength=len(keys.names))
        counts = np.bincount(ids, minlength=len(keys.names)).astype(float)
        best = self._candidate(candidate.when, candidate.rows, residual[candidate.rows])
        for members in self._sets(sums, counts, room):
            hit = np.isin(ids, members)
            names = tuple(keys.names[i] for i in members)
            when = (*candidate.when[:place], Condition(slot, names), *candidate.when[place + 1 :])
            found = self._candidate(when, rows[hit], r[hit])
            if found.gain > best.gain:
                best = found
        return best

    def _finish(self, chosen: list[Candidate], base: float, values: Floats) -> RuleList:
        """Quantise the values to eight bits and order the rules by what they explain."""
        if not chosen:
            return RuleList((), base, self.vocabulary)
        scale = np.abs(values).max() / 127 or 1.0
        values = np.round(values / scale) * scale
        worth = [len(c.rows) * v * v for c, v in zip(chosen, values, strict=True)]
        order = np.argsort(-np.array(worth), kind="stable")
        rules = tuple(Rule(chosen[i].when, float(f"{values[i]:.6g}")) for i in order if values[i] != 0)
        assert all(len(rule.when) <= CONDITIONS for rule in rules)
        return RuleList(rules, base, self.vocabulary)


def _column_union(matrix: sparse.csc_matrix, columns: NDArray[np.intp], size: int) -> NDArray[np.bool_]:
    mask = np.zeros(size, dtype=bool)
    for column in columns:
        mask[matrix.indices[matrix.indptr[column] : matrix.indptr[column + 1]]] = True
    return mask
