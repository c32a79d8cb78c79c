"""Distinct sentences that end in a full stop, from documents."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence, Set
from typing import NamedTuple

from assay.text.corpus import Document
from assay.text.sentences import sentences

WORDS = (5, 32)
_WORD = re.compile(r"\w+")
_SHINGLE = 4  # words
_ALIKE = 0.5  # share of shingles that an earlier sentence has too


class Statement(NamedTuple):
    """A sentence and the document that it is from, by its number."""

    text: str
    document: int


def statements(documents: Sequence[Document], words: tuple[int, int] = WORDS) -> list[Statement]:
    """The sentences of documents that end in a full stop and have that many words, near-duplicates left out.

    A near-duplicate has half or more of its runs of four words in common with one sentence before it, capitals and
    punctuation aside; shorter ones are compared whole. Order is that of the documents.
    """
    kept: list[Statement] = []
    seen: dict[object, list[int]] = {}
    for number, document in enumerate(documents):
        for text in sentences(document.text):
            spoken = _WORD.findall(text.lower())
            if not text.endswith(".") or not words[0] <= len(text.split()) <= words[1]:
                continue
            shingles = _shingles(spoken)
            if not _repeats(shingles, seen):
                for shingle in shingles:
                    seen.setdefault(shingle, []).append(len(kept))
                kept.append(Statement(" ".join(text.split()), number))
    return kept


def _shingles(words: Sequence[str]) -> Set[tuple[str, ...]]:
    return {tuple(words[i : i + _SHINGLE]) for i in range(max(1, len(words) - _SHINGLE + 1))}


def _repeats(shingles: Set[tuple[str, ...]], seen: dict[object, list[int]]) -> bool:
    """Whether one sentence before has as many of these as makes it a near-duplicate."""
    common: dict[int, int] = {}
    for shingle in shingles:
        for number in seen.get(shingle, ()):
            common[number] = common.get(number, 0) + 1
    return max(common.values(), default=0) >= _ALIKE * len(shingles)


def apart(statements: Iterable[Statement], others: Iterable[Statement]) -> list[Statement]:
    """Those statements that no other one is a near-duplicate of; the rule is that of :func:`statements`."""
    seen: dict[object, list[int]] = {}
    for number, other in enumerate(others):
        for shingle in _shingles(_WORD.findall(other.text.lower())):
            seen.setdefault(shingle, []).append(number)
    return [one for one in statements if not _repeats(_shingles(_WORD.findall(one.text.lower())), seen)]
