"""Predictions of many explanations on one view: what :meth:`RuleList.predict` and :meth:`Lookup.predict` give of each.

Where a condition holds is read off bits that are made once for the view, so that a unit costs little more than its
line of predictions. Importing this module imports numba.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from assay.core.jit import spread
from assay.rules.apply_kernels import Lists, Places, Tables, apply_lists, apply_tables
from assay.rules.classes import class_names
from assay.rules.flags import FLAG_NAMES
from assay.rules.lookup import Lookup
from assay.rules.rule import Condition, RuleList
from assay.rules.stems import stem
from assay.rules.view import BAGS, SLOTS, View

_PLACES = (*SLOTS, *BAGS)
_CHUNK = 32  # units that a thread takes at a time


class Applier:
    """Predicts explanations of many units on one view, on all processors.

    A string that the view does not have holds nowhere. What does not depend on the explanations is made once.
    """

    def __init__(self, view: View) -> None:
        self.view = view
        names = [view.bag(slot).names if slot in BAGS else view.keys(slot).names for slot in _PLACES]
        starts = accumulate(map(len, names[:-1]), initial=0)
        self._first: dict[str, int] = dict(zip(_PLACES, starts, strict=True))
        numbers = {own: {name: i for i, name in enumerate(own)} for own in dict.fromkeys(names)}  # slots share them
        self._of_place: dict[str, dict[str, int]] = {
            slot: numbers[own] for slot, own in zip(_PLACES, names, strict=True)
        }
        self._of_place["stem"] = {stem(name): i for i, name in enumerate(view.keys("stem").names)}
        self._classes = {name: i for i, name in enumerate(class_names())}
        self._places = self._all_places()

    def predict_rules(
        self, lists: Sequence[RuleList], *, threads: int | None = None
    ) -> Float32[np.ndarray, "lists tokens"]:
        """What each list predicts at every token of the view, bit for bit what :meth:`RuleList.predict` gives."""
        numbered, out = self._numbered(lists), np.empty((len(lists), self.view.size), np.float32)
        spread(lambda first, last: apply_lists(self._places, numbered, first, last, out), len(lists), threads, _CHUNK)
        return out

    def predict_lookups(
        self, lookups: Sequence[Lookup], *, threads: int | None = None
    ) -> Float32[np.ndarray, "lookups tokens"]:
        """What each table predicts at every token of the view, bit for bit what :meth:`Lookup.predict` gives.

        For tables as short as claims are: each pair of a table costs as much as its second token has places.
        """
        tables, out = self._tabled(lookups), np.empty((len(lookups), self.view.size), np.float32)
        spread(lambda first, last: apply_tables(self._places, tables, first, last, out), len(lookups), threads, _CHUNK)
        return out

    def _all_places(self) -> Places:
        view = self.view
        posts = [self._posts(slot) for slot in _PLACES]
        named = [self._held(slot) for slot in _PLACES] + [view.flags > 0]
        return Places(
            start=_starts(np.concatenate([counts for counts, _ in posts])),
            rows=np.concatenate([rows for _, rows in posts]),
            named=np.concatenate([_packed(table) for table in named]),
            every=_packed(np.ones((view.size, 1), bool))[0],
            before=view.keys("previous token").ids.astype(np.int32),
        )

    def _posts(self, slot: str) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """How many tokens have each string of a slot or bag, and which they are."""
        if slot in BAGS:
            matrix = self.view.bag(slot).matrix.tocsc()
            return np.diff(matrix.indptr).astype(np.int64), matrix.indices.astype(np.int32)
        keys = self.view.keys(slot)
        return np.bincount(keys.ids, minlength=len(keys.names)), np.argsort(keys.ids, kind="stable").astype(np.int32)

    def _held(self, slot: str) -> NDArray[np.bool_]:
        """(tokens, classes): does what stands in the slot or bag belong to the class?"""
        if slot == "nearby":
            return self.view.class_flags > 0
        members = self.view.members(slot)
        if slot in BAGS:
            return np.asarray(self.view.bag(slot).matrix @ members) > 0
        return (members > 0)[self.view.keys(slot).ids]

    def _numbered(self, lists: Sequence[RuleList]) -> Lists:
        rules = [rule for each in lists for rule in each.rules]
        conditions = [condition for rule in rules for condition in rule.when]
        strings = [self._strings(condition) for condition in conditions]
        return Lists(
            base=np.array([each.base for each in lists], np.float32),
            rules=_starts([len(each.rules) for each in lists]),
            value=np.array([rule.value for rule in rules], np.float32),
            when=_starts([len(rule.when) for rule in rules]),
            named=np.array([self._named(condition) for condition in conditions], np.int64),
            negated=np.array([condition.negated for condition in conditions], np.uint8),
            strings=_starts(list(map(len, strings))),
            string=np.array([string for own in strings for string in own], np.int64),
        )

    def _named(self, condition: Condition) -> int:
        """The row of :class:`Places` of a condition's class or flag, -1 for strings."""
        if not condition.named:
            return -1
        if condition.slot == "flag":
            return len(_PLACES) * len(self._classes) + FLAG_NAMES.index(condition.named)
        return _PLACES.index(condition.slot) * len(self._classes) + self._classes[condition.named]

    def _strings(self, condition: Condition) -> list[int]:
        """The numbers of those listed strings that the view has."""
        if not condition.any_of:
            return []
        first, numbers = self._first[condition.slot], self._of_place[condition.slot]
        listed = set(map(stem, condition.any_of)) if condition.slot == "stem" else condition.any_of
        return [first + numbers[name] for name in listed if name in numbers]

    def _tabled(self, lookups: Sequence[Lookup]) -> Tables:
        """The entries whose texts the view has."""
        numbers, first = self._of_place["token"], self._first["token"]
        entries: list[tuple[int, int, float]] = []
        lengths: list[int] = []
        for lookup in lookups:
            before = len(entries)
            for key, value in sorted(lookup.entries.items(), key=lambda entry: isinstance(entry[0], tuple)):
                pair = key if isinstance(key, tuple) else (None, key)
                if pair[1] in numbers and (pair[0] is None or pair[0] in numbers):
                    entries.append((first + numbers[pair[1]], -1 if pair[0] is None else numbers[pair[0]], value))
            lengths.append(len(entries) - before)
        return Tables(
            base=np.array([lookup.base for lookup in lookups], np.float32),
            entries=_starts(lengths),
            token=np.array([token for token, _, _ in entries], np.int64),
            before=np.array([before for _, before, _ in entries], np.int64),
            value=np.array([value for _, _, value in entries], np.float32),
        )


def _starts(lengths: Iterable[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(np.array(lengths, np.int64))]).astype(np.int64)


def _packed(table: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """(tokens, columns) of booleans as (columns, words) of 64 bits, the first token in the lowest."""
    tokens = -(-len(table) // 64) * 64
    padded = np.zeros((table.shape[1], tokens), np.uint8)
    padded[:, : len(table)] = table.T
    return np.packbits(padded, axis=1, bitorder="little").view(np.uint64)
