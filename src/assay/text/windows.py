"""Documents as windows of tokens, and a table of these that everything downstream is indexed by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol, SupportsIndex, runtime_checkable

import numpy as np
from jaxtyping import Int32, Int64, Shaped
from numpy.typing import NDArray

from assay.errors import CorpusError
from assay.text.corpus import Document
from assay.text.pieces import pieces

PIECE = 20_000  # characters handed to a tokenizer at once: some take quadratic time over a long word
CHUNK = 1_000_000  # characters tokenised before it is asked whether the budget is met
PAD = -1


@runtime_checkable
class Tokenizer(Protocol):
    """What is used of a Hugging Face tokenizer."""

    def __call__(self, text: list[str], /, **options: bool) -> Mapping[str, Any]: ...


class Window(NamedTuple):
    """Consecutive tokens ``ids`` of document ``document``, from its token ``start`` on."""

    document: int
    start: int
    ids: Int32[NDArray[np.int32], " s"]


@dataclass(frozen=True, eq=False)
class TokenTable:
    """Windows of tokens, ordered by document and then by start.

    The *flat* order, in which activations, predictions and stored tensors stand, is window after window without
    the padding.

    ``ids``: (n, length), padded at the right with -1. ``lengths``: (n,) tokens in each window, at least 1.
    ``documents``: (n,) index into the documents that were tokenised. ``starts``: (n,) the window's first token,
    counted from the start of its document.
    """

    ids: Int32[NDArray[np.int32], "n length"]
    lengths: Int64[NDArray[np.int64], " n"]
    documents: Int64[NDArray[np.int64], " n"]
    starts: Int64[NDArray[np.int64], " n"]

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def length(self) -> int:
        """Tokens in a full window."""
        return self.ids.shape[1]

    @property
    def n_tokens(self) -> int:
        return int(self.offsets[-1])

    @property
    def n_documents(self) -> int:
        """Documents that have at least one window here."""
        return len(np.unique(self.documents))

    @cached_property
    def offsets(self) -> Int64[NDArray[np.int64], " n_plus_1"]:
        """(n + 1,) place of each window's first token in the flat order, and the number of tokens at the end."""
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(self.lengths)])

    @cached_property
    def real(self) -> Shaped[NDArray[np.bool_], "n length"]:
        """(n, length) true where there is a token and no padding."""
        return np.arange(self.length) < self.lengths[:, None]

    @cached_property
    def flat_ids(self) -> Int32[NDArray[np.int32], " n_tokens"]:
        return self.ids[self.real]

    @cached_property
    def flat_windows(self) -> Int64[NDArray[np.int64], " n_tokens"]:
        """(n_tokens,) row of the table in which each token stands."""
        return np.repeat(np.arange(len(self)), self.lengths)

    @cached_property
    def flat_documents(self) -> Int64[NDArray[np.int64], " n_tokens"]:
        return np.repeat(self.documents, self.lengths)

    @cached_property
    def flat_positions(self) -> Int64[NDArray[np.int64], " n_tokens"]:
        """(n_tokens,) position within the window, from 0."""
        return np.arange(self.n_tokens) - np.repeat(self.offsets[:-1], self.lengths)

    def flat(self, values: Shaped[NDArray[Any], "n length ..."]) -> Shaped[NDArray[Any], "n_tokens ..."]:
        """Values by window and position, (n, length, ...), in the flat order: (n_tokens, ...)."""
        return values[self.real]

    def padded(self, flat: Shaped[NDArray[Any], "n_tokens ..."], fill: float | int = 0) -> NDArray[Any]:
        """The way back from :meth:`flat`: (n_tokens, ...) to (n, length, ...), ``fill`` in the padding."""
        values = np.full((*self.ids.shape, *flat.shape[1:]), fill, flat.dtype)
        values[self.real] = flat
        return values

    def window(self, row: SupportsIndex) -> Window:
        return Window(int(self.documents[row]), int(self.starts[row]), self.ids[row, : self.lengths[row]])

    def take(self, rows: NDArray[Any]) -> TokenTable:
        """The table of these rows only (indices or a boolean mask), in the order given."""
        return TokenTable(self.ids[rows], self.lengths[rows], self.documents[rows], self.starts[rows])


def tokenise(
    documents: Sequence[Document],
    tokenizer: Tokenizer,
    length: int = 64,
    tokens: int | None = None,
    seed: int = 0,
    minimum: int | None = None,
    name: str = "the corpus",
) -> TokenTable:
    """Cut documents into windows of ``length`` tokens, each document's last one shorter, and take ``tokens`` of them.

    The budget goes round the documents, in the order of the SHA-256 of ``seed`` and id, one window each a round,
    and ends with the window that meets it: many documents rather than long ones, short ones whole where the
    budget reaches their end. A document's windows follow one another from a window drawn by the same hash, and
    wrap round at its end, so that every window of a document has the same chance. Without a budget all are taken.

    Text is tokenised as text: no special token is added, and the spelling of one in the text becomes ordinary
    tokens. Documents over 20,000 characters are tokenised in pieces of at most that many, cut at whitespace where
    there is any; a token across a cut comes out as two.

    Raises:
        CorpusError: fewer than ``minimum`` tokens in all; ``name`` is how the message calls the documents.
        ValueError: ``length`` or ``tokens`` below 1.
    """
    if length < 1 or (tokens is not None and tokens < 1):
        raise ValueError(f"length and tokens must be 1 or more. Got {length} and {tokens} instead.")
    digests = [hashlib.sha256(f"{seed}\0{document.id}".encode()).digest() for document in documents]
    order = sorted(range(len(documents)), key=digests.__getitem__)
    runs: list[_Run] = []
    first_round = 0
    for ids, document in zip(_encode([documents[i].text for i in order], tokenizer), order, strict=False):
        count = -(-len(ids) // length)
        if not count:
            continue
        first = int.from_bytes(digests[document][8:16], "little") % count
        runs.append(_Run(document, ids, (first + np.arange(count)) % count))
        first_round += min(length, len(ids) - first * length)
        if tokens is not None and first_round >= tokens:
            break
    table = _table(runs, length, tokens)
    if minimum is not None and table.n_tokens < minimum:
        raise CorpusError(
            f"{name} needs {minimum:,} tokens, has {table.n_tokens:,} in {len(documents):,} documents; "
            "ask for fewer tokens or give more text"
        )
    return table


class _Run(NamedTuple):
    """A document's tokens, and its windows in the order in which it gives them."""

    document: int
    ids: NDArray[np.int32]
    windows: NDArray[np.int64]


def _encode(texts: Sequence[str], tokenizer: Tokenizer) -> Iterator[NDArray[np.int32]]:
    """The tokens of each text, in order; the tokenizer sees about CHUNK characters a call."""
    held: list[NDArray[np.int32]] = []
    for parts in _chunks(texts):
        encoded: Any = tokenizer(
            [piece for piece, _ in parts],
            add_special_tokens=False,
            split_special_tokens=True,
            return_attention_mask=False,
            verbose=False,
        )["input_ids"]
        for ids, (_, last) in zip(encoded, parts, strict=True):
            held.append(np.asarray(ids, np.int32))
            if last:
                yield np.concatenate(held)
                held = []


def _chunks(texts: Sequence[str]) -> Iterator[list[tuple[str, bool]]]:
    """Pieces with "is the last of its text", in lists of about CHUNK characters."""
    chunk: list[tuple[str, bool]] = []
    size = 0
    for text in texts:
        cut = pieces(text, PIECE) or [""]
        for number, piece in enumerate(cut, start=1):
            chunk.append((piece, number == len(cut)))
            size += len(piece)
            if size >= CHUNK:
                yield chunk
                chunk, size = [], 0
    if chunk:
        yield chunk


def _table(runs: Sequence[_Run], length: int, tokens: int | None) -> TokenTable:
    """Round after round until the budget is met."""
    if not runs:
        empty = np.zeros(0, np.int64)
        return TokenTable(np.zeros((0, length), np.int32), empty, empty, empty)
    counts = [len(run.windows) for run in runs]
    rank = np.repeat(np.arange(len(runs)), counts)
    turn = np.concatenate([np.arange(count) for count in counts])
    starts = np.concatenate([run.windows for run in runs]) * length
    lengths = np.minimum(np.repeat([len(run.ids) for run in runs], counts) - starts, length)
    order = np.lexsort((rank, turn))
    if tokens is not None:
        order = order[: np.searchsorted(np.cumsum(lengths[order]), tokens) + 1]
    documents = np.array([run.document for run in runs], np.int64)[rank]
    order = order[np.lexsort((starts[order], documents[order]))]
    ids = np.full((len(order), length), PAD, np.int32)
    for row, i in enumerate(order.tolist()):
        ids[row, : lengths[i]] = runs[int(rank[i])].ids[starts[i] : starts[i] + lengths[i]]
    return TokenTable(ids, lengths[order], documents[order], starts[order])
