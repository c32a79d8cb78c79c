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
from jaxtyping import Bool, Float32, Int, Int64
from numpy.typing import NDArray
from scipy import sparse

from assay.rules.classes import fold, membership
from assay.rules.flags import FLAG_NAMES, flag_table
from assay.rules.stems import stem

SLOTS = ("token", "form", "word", "stem", "previous token", "previous word", "second last", "third last")
BAGS = ("nearby", "earlier")
NEARBY = 8

_APOSTROPHES = ("'", "’")


class Keys(NamedTuple):
    """The content of one slot: ``names[ids[i]]`` stands there at token i; name 0 is the empty string, for nothing."""

    ids: Int64[np.ndarray, " tokens"]
    names: tuple[str, ...]


class Bag(NamedTuple):
    """The content of one bag: ``matrix[i, k]`` is 1 where ``names[k]`` is among the strings at token i, else 0."""

    matrix: sparse.csr_matrix
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
        self,
        ids: Int[np.ndarray, "windows length"],
        texts: Sequence[str],
        rows: Bool[np.ndarray, " tokens"] | None = None,
    ) -> None:
        self.ids, self.texts = ids, texts
        self._real = ids >= 0
        self._rows = np.ones(int(self._real.sum()), dtype=bool) if rows is None else rows
        self.size = int(self._rows.sum())
        self._slots: dict[str, Keys] = {}
        self._bags: dict[str, Bag] = {}
        self._members: dict[tuple[str, ...], NDArray[np.float32]] = {}

    def _flat(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        return values[self._real][self._rows]

    @cached_property
    def _token_keys(self) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        """(windows, length) ids into the distinct token texts, 0 for padding."""
        present = np.unique(self.ids[self._real])
        texts = [self.texts[int(i)] for i in present]
        names = sorted(set(texts) - {""})
        index = {"": 0} | {name: i + 1 for i, name in enumerate(names)}
        table = np.zeros(len(self.texts) + 1, dtype=np.int64)  # its last entry answers to the padding's -1
        table[present] = [index[text] for text in texts]
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
        """The word so far, and the whole word before it, as ids into one list of names.

        A token that starts with a letter or an apostrophe goes on with the word when the token before it ended in a
        letter, or is an apostrophe right after one (don + ’ + t).
        """
        tokens, names = self._token_keys
        continues = [name[:1].isalpha() or name[:1] in _APOSTROPHES for name in names]
        letters = [name[-1:].isalpha() for name in names]
        apostrophe = [name in _APOSTROPHES for name in names]
        folded = [fold(name) for name in names]
        index: dict[str, int] = {"": 0}
        word, before = np.zeros_like(tokens), np.zeros_like(tokens)
        lines: list[list[int]] = tokens.tolist()
        for row, line in enumerate(lines):
            so_far, last, unfinished = "", "", False
            for column, key in enumerate(line):
                if not key:
                    continue
                if unfinished and continues[key]:
                    so_far += folded[key]
                    unfinished = letters[key] or apostrophe[key]
                else:
                    last, so_far = so_far, folded[key]
                    unfinished = letters[key]
                word[row, column] = index.setdefault(so_far, len(index))
                before[row, column] = index.setdefault(last, len(index))
        return word, before, tuple(index)

    @cached_property
    def _stem_keys(self) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        """Stems of the words so far; each is called by that of its words which stands there most often."""
        word, _, names = self._word_keys
        index: dict[str, int] = {}
        stems = np.array([index.setdefault(stem(name), len(index)) for name in names])
        often = np.bincount(word[self._real], minlength=len(names))
        rarest_first: list[int] = np.argsort(often, kind="stable").tolist()
        goes_by: dict[int, str] = {int(stems[i]): names[i] for i in rarest_first}
        return stems[word], ("", *(goes_by[i] for i in range(1, len(index))))

    @property
    def forms(self) -> Int64[np.ndarray, "windows length"]:
        """The word form at each place of each window, as ids into the names of the bags; 0 for nothing."""
        return self._form_keys[0]

    @cached_property
    def places(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """(tokens,) the window of each of the view's tokens, and its position there."""
        window, position = np.nonzero(self._real)
        return window[self._rows].astype(np.int32), position[self._rows].astype(np.int32)

    def keys(self, slot: str) -> Keys:
        """What stands in ``slot``, one of :data:`SLOTS`, at each of the view's tokens. Cached."""
        if slot not in self._slots:
            self._slots[slot] = self._make_keys(slot)
        return self._slots[slot]

    def _make_keys(self, slot: str) -> Keys:
        if slot in ("word", "previous word"):
            word, before, names = self._word_keys
            return Keys(self._flat(word if slot == "word" else before), names)
        if slot == "stem":
            stems, names = self._stem_keys
            return Keys(self._flat(stems), names)
        back = {"token": 0, "form": 0, "previous token": 1, "second last": 2, "third last": 3}[slot]
        values, names = self._token_keys if slot.endswith("token") else self._form_keys
        shifted = np.zeros_like(values)
        shifted[:, back:] = values[:, : max(values.shape[1] - back, 0)]
        return Keys(self._flat(shifted), names)

    def bag(self, slot: str) -> Bag:
        """Which word forms occur before each token: among the previous eight ("nearby"), in the window ("earlier")."""
        if slot not in self._bags:
            forms, names = self._form_keys
            reach = {"nearby": NEARBY, "earlier": forms.shape[1]}[slot]
            self._bags[slot] = Bag(self._bag_matrix(forms, len(names), reach), names)
        return self._bags[slot]

    def _bag_matrix(self, forms: NDArray[np.int64], width: int, reach: int) -> sparse.csr_matrix:
        number = np.full(forms.shape, -1)
        number[self._real] = np.where(self._rows, np.cumsum(self._rows) - 1, -1)
        at: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
        what = at.copy()
        for back in range(1, min(reach + 1, forms.shape[1])):
            row, seen = number[:, back:].ravel(), forms[:, : forms.shape[1] - back].ravel()
            keep = (row >= 0) & (seen > 0)
            at.append(row[keep])
            what.append(seen[keep])
        rows, columns = np.concatenate(at), np.concatenate(what)
        matrix = sparse.coo_matrix((np.ones(len(rows), np.float32), (rows, columns)), (self.size, width)).tocsr()
        matrix.data[:] = 1
        return matrix

    def windows_with(self, slot: str) -> Int64[np.ndarray, " names"]:
        """In how many windows each of a slot's or bag's names stands at some token of the view."""
        number = np.broadcast_to(np.arange(len(self.ids))[:, None], self.ids.shape)
        window = self._flat(number)
        if slot in BAGS:
            bag = self.bag(slot)
            entries = bag.matrix.tocoo()
            size, pairs = len(bag.names), np.unique(window[entries.row] * len(bag.names) + entries.col)
        else:
            keys = self.keys(slot)
            size, pairs = len(keys.names), np.unique(window * len(keys.names) + keys.ids)
        return np.bincount(pairs % size, minlength=size)

    @cached_property
    def flags(self) -> Float32[np.ndarray, "tokens flags"]:
        """(tokens, flags) of zeros and ones, in the order of :data:`~assay.rules.flags.FLAG_NAMES`."""
        tokens, names = self._token_keys
        table = flag_table(tokens, names, self._form_keys[0])
        return np.stack([table[name][self._real][self._rows] for name in FLAG_NAMES], axis=1).astype(np.float32)

    @cached_property
    def class_flags(self) -> Float32[np.ndarray, "tokens classes"]:
        """(tokens, classes): is a word of the class among the previous eight tokens?"""
        return (self.bag("nearby").matrix @ self.members("nearby") > 0).astype(np.float32)

    def members(self, slot: str) -> Float32[np.ndarray, "names classes"]:
        """Which of a slot's or bag's names belong to which class; nothing ("") belongs to none. Cached."""
        names = self.bag(slot).names if slot in BAGS else self.keys(slot).names
        if names not in self._members:
            self._members[names] = membership(names)
            self._members[names][0] = 0
        return self._members[names]
