"""The text that relations are measured on: windows of the fit split to choose on, of the choose split to report on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from assay.errors import UsageError
from assay.explain.material import LENGTH, Part, make_part
from assay.text import Corpus, split, tokenise

if TYPE_CHECKING:
    from assay.model import Subject

FEWEST = 4_000  # tokens: from 2,000 on, a half has the documents that an interval needs
BATCH = 8  # windows at once


@dataclass(frozen=True)
class Text:
    """Windows of one split.

    ``scored``: which tokens count: not position 0 of a window, not special tokens. ``documents`` numbers the document
    of each window from 0.
    """

    ids: Int[Tensor, "windows length"]
    mask: Int[Tensor, "windows length"]
    scored: Bool[Tensor, "windows length"]
    documents: Int[np.ndarray, " windows"]

    @classmethod
    def of(cls, part: Part) -> Text:
        """The windows of a part."""
        table = part.table
        return cls(
            torch.as_tensor(np.maximum(table.ids, 0), dtype=torch.long),
            torch.as_tensor(table.real, dtype=torch.long),
            torch.as_tensor(table.padded(part.scored, False)),
            np.unique(table.documents, return_inverse=True)[1].reshape(-1),
        )

    @property
    def n_documents(self) -> int:
        return int(self.documents.max()) + 1

    @property
    def n_scored(self) -> int:
        """Tokens that count."""
        return int(self.scored.sum())

    def batches(self, windows: int = BATCH) -> Iterator[slice]:
        """Windows that go through the model together."""
        for start in range(0, len(self.ids), windows):
            yield slice(start, start + windows)

    def by_document(self, values: Shaped[np.ndarray, "windows ..."]) -> Shaped[np.ndarray, "documents ..."]:
        """Sums over the windows of each document, float64."""
        out: Any = np.zeros((self.n_documents, *values.shape[1:]))
        np.add.at(out, self.documents, values)
        return out

    @property
    def tokens_by_document(self) -> Shaped[np.ndarray, " documents"]:
        """Tokens that count, of each document."""
        return self.by_document(self.scored.sum(1).numpy().astype(np.float64))


def sample_text(part: Part, tokens: int, seed: int) -> Text:
    """Windows of a part drawn at random, with ``tokens`` tokens that count or a few more; all if there are fewer."""
    whole = Text.of(part)
    order = np.random.default_rng([seed, 17]).permutation(len(whole.ids))
    counted = whole.scored.sum(1).numpy()[order].cumsum()
    drawn = np.sort(order[: int(np.searchsorted(counted, tokens)) + 1])
    documents = np.unique(whole.documents[drawn], return_inverse=True)[1].reshape(-1)
    return Text(whole.ids[drawn], whole.mask[drawn], whole.scored[drawn], documents)


def gather_texts(subject: Subject, corpus: Corpus, tokens: int, seed: int) -> tuple[Text, Text, str]:
    """Half of ``tokens`` from the fit split, half from the choose split, and the hash of the splits.

    The splits are those of ``assay explain`` with the same seed; its test split is not touched.

    Raises:
        UsageError: fewer tokens asked for than anything can be said from.
        CorpusError: the corpus is too small.
    """
    if tokens < FEWEST:
        raise UsageError(f"--tokens must be {FEWEST:,} or more, got {tokens:,}; intervals need the documents")
    splits = split(corpus, seed)
    texts: list[Text] = []
    for name, documents in (("fit", splits.fit), ("choose", splits.choose)):
        budget = tokens // 2
        place = f"the {name} split of {corpus.name} (--tokens {tokens:,}, half of them)"
        table = tokenise(documents, subject.tokenizer, LENGTH, budget, seed, minimum=budget, name=place)
        texts.append(Text.of(make_part(name, documents, table, subject)))
    fit, choose = texts
    return fit, choose, splits.sha256
