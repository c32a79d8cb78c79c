"""Sentences for one subject: distinct, ended by one full stop token, and split by document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int64
from numpy.typing import NDArray

from assay.errors import CorpusError
from assay.text import Corpus, split
from assay.text.statements import Statement, apart, statements

if TYPE_CHECKING:
    from assay.model import Subject

SPLIT_SEED = 0  # the split of which the ladder has seen the fit documents only
PARTS = ("fit", "choose", "test")


@dataclass(frozen=True)
class Sentences:
    """Sentences of one split in an order drawn by a seed.

    ``ids``: token ids of each, the last of which is the full stop. ``documents``: (n,) the document of each.
    """

    ids: tuple[tuple[int, ...], ...]
    texts: tuple[str, ...]
    documents: Int64[NDArray[np.int64], " n"]

    def __len__(self) -> int:
        return len(self.ids)

    def first(self, count: int) -> Sentences:
        """The first ``count`` of them."""
        return Sentences(self.ids[:count], self.texts[:count], self.documents[:count])


def gather(
    subject: Subject, corpus: Corpus, stop: int, counts: Sequence[int], seed: int
) -> tuple[Sentences, Sentences, Sentences]:
    """So many sentences of the fit, choose and test documents, none of them a near-duplicate of another.

    Only sentences are taken whose last token is ``stop``. A document gives as many as it has.

    Raises:
        CorpusError: too few sentences.
    """
    taken: list[Statement] = []
    parts: list[Sentences] = []
    for number, (name, documents, count) in enumerate(zip(PARTS, split(corpus, SPLIT_SEED), counts, strict=True)):
        own = apart(statements(documents), taken)
        taken += own
        parts.append(_drawn(subject, corpus.name, f"{name} ", own, stop, count, [seed, number]))
    fit, choose, test = parts
    return fit, choose, test


def elsewhere(
    subject: Subject, corpus: Corpus, stop: int, count: int, seed: int, known: Sequence[Sentences]
) -> Sentences:
    """So many sentences of another corpus, none of them a near-duplicate of another or of one that is known.

    Raises:
        CorpusError: too few sentences.
    """
    before = [Statement(text, 0) for part in known for text in part.texts]
    return _drawn(
        subject, corpus.name, "", apart(statements(corpus.documents), before), stop, count, [seed, len(PARTS)]
    )


def _drawn(
    subject: Subject, corpus: str, part: str, own: Sequence[Statement], stop: int, count: int, seed: Sequence[int]
) -> Sentences:
    ids = _encode(subject, [one.text for one in own])
    usable = [i for i, row in enumerate(ids) if row[-1] == stop and len(row) > 2]
    if len(usable) < count:
        raise CorpusError(
            f"{corpus} has {len(usable):,} distinct sentences that end in a full stop in its {part}documents, and "
            f"{count:,} are needed; ask for fewer --train-examples or give more text"
        )
    drawn = np.random.default_rng(seed).permutation(usable)[:count]
    documents = np.array([own[i].document for i in drawn], np.int64)
    return Sentences(tuple(ids[i] for i in drawn), tuple(own[i].text for i in drawn), documents)


def _encode(subject: Subject, texts: Sequence[str]) -> list[tuple[int, ...]]:
    """As the tokenizer begins a text, and without what it may put at its end."""
    rows: Any = subject.tokenizer(list(texts), return_attention_mask=False, verbose=False)["input_ids"]
    ends = set(subject.special_ids)
    return [tuple(row[:-1] if len(row) > 1 and row[-1] in ends else row) for row in rows]
