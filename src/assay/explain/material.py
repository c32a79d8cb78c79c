"""What a run explains from: a subject, a corpus split by document, and what the units did on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from assay.core.ids import UnitId
from assay.errors import UsageError
from assay.record import Recording, record
from assay.rules import View
from assay.text import Corpus, Document, Splits, TokenTable, split, tokenise

if TYPE_CHECKING:
    from pathlib import Path

    from assay.model import Subject

LENGTH = 64
SHARES = (0.6, 0.2, 0.2)
WHOLE_SHARES = (4 / 6, 1 / 6, 1 / 6)
FEWEST = 12_000
FIRING_QUANTILE = 0.99

Progress = Callable[..., None]


@dataclass(frozen=True)
class Part:
    """One split: its documents, their windows, and which tokens count (not position 0, not special)."""

    name: str
    documents: tuple[Document, ...]
    table: TokenTable
    scored: NDArray[np.bool_]
    texts: Sequence[str]

    @cached_property
    def view(self) -> View:
        """The part as rules see it: only the tokens that count."""
        return View(self.table.ids, self.texts, self.scored)

    @cached_property
    def full_view(self) -> View:
        """The part as rules see it: every token."""
        return View(self.table.ids, self.texts)

    @property
    def ids(self) -> NDArray[np.int32]:
        """(scored tokens,) their ids."""
        return self.table.flat_ids[self.scored]


@dataclass(frozen=True)
class Material:
    """The three parts of a corpus, tokenised for one subject, and other text, on which claims are scored again."""

    fit: Part
    choose: Part
    test: Part
    splits: Splits
    other: Part | None = None

    @property
    def n_tokens(self) -> dict[str, int]:
        """Tokens in each part."""
        return {part.name: part.table.n_tokens for part in (self.fit, self.choose, self.test)}


def gather_material(
    subject: Subject,
    corpus: Corpus,
    tokens: int,
    seed: int,
    shares: tuple[float, float, float] = SHARES,
    also: Corpus | None = None,
) -> Material:
    """Split a corpus by document and tokenise ``tokens`` tokens of it, by these shares to fit, to choose and to test.

    Of ``also`` as many tokens are taken as there are to test, or all.

    Raises:
        UsageError: fewer tokens asked for than anything can be said from, or ``also`` is the same text.
        CorpusError: the corpus is too small.
    """
    if tokens < FEWEST:
        raise UsageError(f"--tokens must be {FEWEST:,} or more, got {tokens:,}; intervals need the documents")
    splits = split(corpus, seed, shares)
    parts: list[Part] = []
    for name, documents, share in zip(("fit", "choose", "test"), splits, shares, strict=True):
        budget = round(tokens * share)
        table = tokenise(
            documents,
            subject.tokenizer,
            LENGTH,
            budget,
            seed,
            minimum=budget,
            name=f"the {name} split of {corpus.name} (--tokens {tokens:,}, {share:.0%} of them)",
        )
        parts.append(make_part(name, documents, table, subject))
    fit, choose, test = parts
    other = _gather_other(subject, also, corpus, test.table.n_tokens, seed) if also else None
    return Material(fit, choose, test, splits, other)


def _gather_other(subject: Subject, also: Corpus, corpus: Corpus, tokens: int, seed: int) -> Part:
    """``tokens`` tokens of another corpus, or as many as it has, without the documents that both have."""
    known = {document.text for document in corpus.documents}
    documents = tuple(document for document in also.documents if document.text not in known)
    if not documents:
        raise UsageError(f"--also {also.name} has no document that {corpus.name} has not; name another corpus")
    name = f"the corpus of --also, {also.name}"
    table = tokenise(documents, subject.tokenizer, LENGTH, tokens, seed, minimum=FEWEST // 5, name=name)
    return make_part("other text", documents, table, subject)


def make_part(name: str, documents: tuple[Document, ...], table: TokenTable, subject: Subject) -> Part:
    """Documents as a part: position 0 of a window and special tokens don't count."""
    scored = (table.flat_positions > 0) & ~np.isin(table.flat_ids, sorted(subject.special_ids))
    return Part(name, documents, table, scored, subject.token_texts())


def record_part(subject: Subject, part: Part, units: Sequence[UnitId], columns: Path, progress: Progress) -> Recording:
    """One pass over a part: sketches of the units and, in ``columns``, every activation."""

    def told(done: int, total: int) -> None:
        progress(f"recording {len(units)} units, {part.name} split", done / total)

    return record(
        subject,
        part.table,
        units,
        document_ids=[document.id for document in part.documents],
        columns=columns,
        progress=told,
    )
