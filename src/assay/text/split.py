"""Fit, choose and test: three sets of documents that share no document, family or text."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Sequence, Set
from typing import NamedTuple

from assay.errors import CorpusError
from assay.text.corpus import Corpus, Document

SHARES = (0.6, 0.2, 0.2)


class Splits(NamedTuple):
    """Documents to learn from, to choose with, and to be judged on; each in the order of the corpus."""

    fit: tuple[Document, ...]
    choose: tuple[Document, ...]
    test: tuple[Document, ...]

    @property
    def sha256(self) -> str:
        """Hash of which document went where."""
        digest = hashlib.sha256()
        for name, documents in zip(self._fields, self, strict=True):
            for document in documents:
                digest.update(f"{name}\0{document.id}\0".encode())
        return digest.hexdigest()


def split(corpus: Corpus, seed: int, shares: tuple[float, float, float] = SHARES) -> Splits:
    """Divide a corpus by families.

    Families that share a text (equal up to whitespace) are joined. The joined groups are put in the order of the
    SHA-256 of ``seed`` and their first family, and cut at the cumulative shares: a group goes where its middle
    falls. Its weight is the mean of its share of the characters and one over the number of groups, so that
    neither the text nor the number of documents to resample is far from the shares when lengths differ much.
    No split is left empty, however few the groups. The answer depends on the seed and on what the corpus holds,
    not on the order of its documents.

    Raises:
        CorpusError: fewer than three groups.
        ValueError: shares that are not three positive numbers with sum 1.
    """
    if len(shares) != 3 or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
        raise ValueError(f"shares must be three positive numbers with sum 1. Got {shares} instead.")
    group_of = _groups(corpus.documents)
    sizes: dict[str, int] = {}
    for document in corpus.documents:
        group = group_of[document.family]
        sizes[group] = sizes.get(group, 0) + len(document.text)
    if len(sizes) < 3:
        raise CorpusError(
            f"{corpus.name}: needs at least 3 independent documents to fit, choose and test on, has {len(sizes)} "
            f"(of {len(corpus.documents)} documents; those of one family or with the same text count once)"
        )
    ordered = sorted(sizes, key=lambda group: hashlib.sha256(f"{seed}\0{group}".encode()).digest())
    part_of = dict(zip(ordered, _cut([sizes[group] for group in ordered], shares), strict=True))
    parts: tuple[list[Document], ...] = ([], [], [])
    for document in corpus.documents:
        parts[part_of[group_of[document.family]]].append(document)
    splits = Splits(*(tuple(part) for part in parts))
    check_disjoint(splits)
    return splits


def check_disjoint(splits: Splits) -> None:
    """Compare the splits in pairs.

    Raises:
        AssertionError: two of them share an id, a family or a text (up to whitespace).
    """
    _check_apart("id", [{document.id for document in part} for part in splits])
    _check_apart("family", [{document.family for document in part} for part in splits])
    _check_apart("text", [{_fingerprint(document.text) for document in part} for part in splits])


def _check_apart(what: str, parts: Sequence[Set[object]]) -> None:
    shared = sum(map(len, parts)) - len(set[object]().union(*parts))
    if shared:
        raise AssertionError(f"{what}: {shared} in more than one split")


def _groups(documents: Iterable[Document]) -> dict[str, str]:
    """For each family the first name, in alphabetical order, among all families joined to it by equal texts."""
    parent: dict[str, str] = {}

    def root(family: str) -> str:
        while parent[family] != family:
            parent[family] = parent[parent[family]]
            family = parent[family]
        return family

    family_with: dict[bytes, str] = {}
    for document in documents:
        mine = root(parent.setdefault(document.family, document.family))
        other = root(family_with.setdefault(_fingerprint(document.text), mine))
        parent[max(mine, other)] = min(mine, other)
    return {family: root(family) for family in parent}


def _fingerprint(text: str) -> bytes:
    return hashlib.sha256(" ".join(text.split()).encode()).digest()


def _cut(sizes: list[int], shares: tuple[float, float, float]) -> list[int]:
    """Split number (0, 1, 2) of each group in turn, none of the three left out."""
    total = sum(sizes)
    reached, middles = 0.0, list[float]()
    for size in sizes:
        weight = (size / total + 1 / len(sizes)) / 2
        middles.append(reached + weight / 2)
        reached += weight
    first = bisect_left(middles, shares[0])
    second = bisect_left(middles, shares[0] + shares[1])
    first = min(max(first, 1), len(sizes) - 2)
    second = min(max(second, first + 1), len(sizes) - 1)
    return [int(i >= first) + int(i >= second) for i in range(len(sizes))]
