"""How a rule sees a text: for every token, what stands in each *slot*, and which *flags* hold.

A slot is a place relative to the token (itself, the word so far, the previous word ...) whose content is a string. A
*bag* is a slot with several strings (the words among the previous eight tokens). A flag is a named yes or no about the
position (inside brackets, second token of a line). Only the left context inside the window counts: the model has seen
nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from assay.rules.classes import class_names, fold, membership
from assay.rules.flags import flag_table

SLOTS = ("token", "form", "word", "previous token", "previous word", "second last", "third last")
BAGS = ("nearby", "earlier")
NEARBY = 8

_WORD_PIECE = ("'", "’")


class Keys(NamedTuple):
    """The content of one slot: ``names[ids[i]]`` stands there at token i; name 0 is the empty string, for nothing."""

    ids: NDArray[np.int64]
    names: tuple[str, ...]


class View:
    """A text as rules see it.

    Args:
        ids: (windows, length) token ids, padded with -1 on the right.
        texts: decoded text of every id of the vocabulary.
        rows: (tokens,) boolean, in window order: the tokens to look at; all by default. The others still count as
            context.
    """

    def __init__(
        self, ids: NDArray[np.int32], texts: Sequence[str], rows: NDArray[np.bool_] | None = None
    ) -> None:
        self.ids, self.texts = ids, texts
        self._real = ids >= 0
        self._rows = np.ones(int(self._real.sum()), dtype=bool) if rows is None else rows
        self.size = int(self._rows.sum())

    def _flat(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        return values[self._real][self._rows]

    @cached_property
    def _token_keys(self) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        """(windows, length) ids into the distinct token texts, 0 for padding."""
        present = np.unique(self.ids[self._real])
        names = sorted({self.texts[i] for i in present} - {""})
        index = {name: i + 1 for i, name in enumerate(names)}
        table = np.zeros(len(self.texts) + 1, dtype=np.int64)
        for i in present:
            table[i] = index.get(self.texts[i], 0)
        return np.where(self._real, table[self.ids], 0), ("", *names)

    @cached_property
    def _form_keys(self) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        tokens, names = self._token_keys
        forms = [fold(name) for name in names]
        unique = sorted(set(forms) - {""})
        index = {name: i + 1 for i, name in enumerate(unique)} | {"": 0}
        return np.array([index[form] for form in forms])[tokens], ("", *unique)

    @cached_property
    def _word_keys(self) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[str, ...]]:
        """The word so far, and the whole word before it, as ids into one list of names."""
        tokens, names = self._token_keys
        continues = [bool(name) and (name[0].isalpha() or name[0] in _WORD_PIECE) for name in names]
        folded = [fold(name) for name in names]
        index: dict[str, int] = {"": 0}
        word, before = np.zeros_like(tokens), np.zeros_like(tokens)
        for row, line in enumerate(tokens.tolist()):
            so_far, last, letters = "", "", False
            for column, key in enumerate(line):
                if not key:
                    break
                piece = folded[key]
                if letters and continues[key]:
                    so_far += piece
                else:
                    last, so_far = so_far, piece
                letters = piece[-1].isalpha()
                word[row, column] = index.setdefault(so_far, len(index))
                before[row, column] = index.setdefault(last, len(index))
        return word, before, tuple(index)

    def keys(self, slot: str) -> Keys:
        """What stands in ``slot`` at each of the view's tokens. Cached."""
        cache = self.__dict__.setdefault("_slot_cache", {})
        if slot not in cache:
            cache[slot] = self._make_keys(slot)
        return cache[slot]

    def _make_keys(self, slot: str) -> Keys:
        if slot in ("word", "previous word"):
            word, before, names = self._word_keys
            return Keys(self._flat(word if slot == "word" else before), names)
        back = {"token": 0, "form": 0, "previous token": 1, "second last": 2, "third last": 3}[slot]
        values, names = self._token_keys if slot.endswith("token") else self._form_keys
        shifted = np.zeros_like(values)
        shifted[:, back:] = values[:, : values.shape[1] - back]
        return Keys(self._flat(shifted), names)

    def bag(self, slot: str) -> tuple[sparse.csr_matrix, tuple[str, ...]]:
        """Which word forms occur before each token: (tokens, names), the previous eight tokens or the whole window."""
        cache = self.__dict__.setdefault("_bag_cache", {})
        if slot not in cache:
            forms, names = self._form_keys
            cache[slot] = (self._bag_matrix(forms, len(names), NEARBY if slot == "nearby" else forms.shape[1]), names)
        return cache[slot]

    def _bag_matrix(self, forms: NDArray[np.int64], width: int, reach: int) -> sparse.csr_matrix:
        number = np.full(forms.shape, -1)
        number[self._real] = np.where(self._rows, np.cumsum(self._rows) - 1, -1)
        at, what = [], []
        for back in range(1, min(reach + 1, forms.shape[1])):
            row, seen = number[:, back:].ravel(), forms[:, : forms.shape[1] - back].ravel()
            keep = (row >= 0) & (seen > 0)
            at.append(row[keep])
            what.append(seen[keep])
        rows, columns = np.concatenate(at), np.concatenate(what)
        matrix = sparse.coo_matrix((np.ones(len(rows), np.float32), (rows, columns)), (self.size, width)).tocsr()
        matrix.data[:] = 1
        return matrix

    @cached_property
    def flags(self) -> tuple[NDArray[np.float32], tuple[str, ...]]:
        """(tokens, flags) of zeros and ones, and the flags' names."""
        tokens, names = self._token_keys
        table = flag_table(tokens, names, self._form_keys[0])
        stacked = np.stack([value[self._real][self._rows] for value in table.values()], axis=1)
        return stacked.astype(np.float32), tuple(table)

    @cached_property
    def class_flags(self) -> tuple[NDArray[np.float32], tuple[str, ...]]:
        """(tokens, classes): is a word of the class among the previous eight tokens?"""
        matrix, _ = self.bag("nearby")
        return (matrix @ self.members("nearby") > 0).astype(np.float32), class_names()

    def members(self, slot: str) -> NDArray[np.float32]:
        """(names, classes): which of a slot's names belong to which class. Cached."""
        cache = self.__dict__.setdefault("_member_cache", {})
        names = self.bag(slot)[1] if slot in BAGS else self.keys(slot).names
        if names not in cache:
            cache[names] = membership(names)
            cache[names][0] = 0
        return cache[names]
