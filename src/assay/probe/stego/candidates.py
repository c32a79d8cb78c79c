"""Which tokens a text may go on with, and how likely each is in whole numbers: the same for sender and receiver."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray

from assay.errors import UsageError
from assay.probe.stego.interval import cuts, entropy

if TYPE_CHECKING:
    from assay.model import Subject

STOPS = ".!?…"
_LETTER = "A"
_PIECE = re.compile(rf" ?[^\s{STOPS}]+(?: [^\s{STOPS}]+)*")


@dataclass(frozen=True)
class Pact:
    """What sender and receiver agree on, beside the model, in the same dtype on the same kind of machine, and the key.

    Attributes:
        top_k: how many of the likeliest tokens are considered.
        temperature: the model's log-probabilities are divided by it.
        flat: all that are considered count the same: a crude coder, k of 2 is one bit a token.
        rows: how many texts are read side by side; fewer are filled up. The shape of a pass decides the last bits of
            its sums, so it is the same on both sides; what stands in the other rows does not.
        window: how many tokens back a token is checked to come back; 0 is all of the text.

    Raises:
        UsageError: a number out of range.
    """

    top_k: int = 32
    temperature: float = 1.0
    flat: bool = False
    rows: int = 32
    window: int = 8

    def __post_init__(self) -> None:
        for name, least in (("top_k", 1), ("rows", 1), ("window", 0)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} must be {least} or more. Got {getattr(self, name)} instead.")
        if not self.temperature > 0:
            raise UsageError(f"temperature must be above 0. Got {self.temperature:g} instead.")


class Table(NamedTuple):
    """The next token's distribution.

    ``tokens``: (k,) ids, the likeliest first. ``cuts``: (k + 1,) where they divide 2**16 parts. ``settled``: (k,)
    whether the text may end there. ``entropy``: bits. ``lost``: how much of the considered tokens' probability was on
    those that would not come back. ``ends``: whether a full stop was among those considered.
    """

    tokens: Int64[NDArray[np.int64], " k"]
    cuts: Int64[NDArray[np.int64], " cuts"]
    settled: Bool[NDArray[np.bool_], " k"]
    entropy: float
    lost: float
    ends: bool


class Candidates:
    """Distributions of the next token of texts, as whole numbers.

    A token stands in a distribution only if the text with it, tokenised again, gives the same tokens: "wal" + "ked"
    may not be written where the tokenizer reads "walked" as one. Where it does so only once a letter follows, as of two
    line breaks that are one token at the end of a text and two in front of a word, it stands there, too, but the text
    may not end with it. Sender and receiver both know the tokens so far, so they leave out the same ones. Where none of
    the k likeliest comes back, the next k are considered.
    """

    def __init__(self, subject: Subject, pact: Pact) -> None:
        self.tokenizer, self.texts, self.pact = subject.tokenizer, subject.token_texts(), pact
        self.special = sorted(subject.special_ids)
        stop = self.tokenizer(".", add_special_tokens=False, verbose=False)["input_ids"]
        self.stop = int(stop[0]) if len(stop) == 1 else -1

    def come_back(self, before: Sequence[int], tokens: Sequence[int], then: str = "") -> list[bool]:
        """Whether the text of ``before`` and each token, tokenised again, gives these very tokens.

        With ``then`` they must be what it begins with when ``then`` follows.
        """
        known: str = self.tokenizer.decode(list(before), clean_up_tokenization_spaces=False)
        texts = [known + self.texts[token] + then for token in tokens]
        got = self.tokenizer(texts, add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"]
        rows = ([*before, token] for token in tokens)
        return [list(one[: len(row)] if then else one) == row for one, row in zip(got, rows, strict=True)]

    def table(self, ids: Sequence[int], logits: Float[np.ndarray, " vocab"], sentence: bool, first: bool) -> Table:
        """The distribution after the tokens ``ids``.

        Args:
            ids: of prompt and text so far, without what the tokenizer may put in front.
            logits: of the next token.
            sentence: only pieces of one sentence: single spaces, nothing that ends one.
            first: this is the first token, which then must begin with a space.

        Raises:
            UsageError: no token of the vocabulary comes back.
        """
        values = logits / self.pact.temperature
        values[[i for i in self.special if i < len(values)]] = -np.inf
        for start in range(0, len(values), self.pact.top_k):
            tokens = _likeliest(values, start, self.pact.top_k)
            if not len(tokens):
                break
            weights = np.exp(values[tokens] - values[tokens[0]])
            settled, kept = self._kept(ids, tokens, self._fits(tokens, first) if sentence else None)
            if kept.any():
                divided = cuts(np.ones(kept.sum()) if self.pact.flat else weights[kept])
                lost = 1 - float(weights[kept].sum() / weights.sum())
                return Table(tokens[kept], divided, settled[kept], entropy(divided), lost, self.stop in tokens)
        tail = self.tokenizer.decode(list(ids)[-self.pact.window :])
        raise UsageError(f"no token comes back after {tail!r}; take another prompt")

    def _kept(
        self, ids: Sequence[int], tokens: NDArray[np.int64], fits: list[bool] | None
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which tokens may end the text, and which may stand in it: by the last tokens, or else by all of the text."""
        settled, kept = np.zeros(len(tokens), bool), np.zeros(len(tokens), bool)
        rows = np.arange(len(tokens)) if fits is None else np.flatnonzero(fits)
        for window in dict.fromkeys((self.pact.window, 0)):
            if len(rows) and not kept.any():
                before = list(ids)[-window:]
                settled[rows] = self.come_back(before, tokens[rows].tolist())
                kept |= settled
                rest = rows[~settled[rows]]
                if len(rest):
                    kept[rest] = self.come_back(before, tokens[rest].tolist(), _LETTER)
        return settled, kept

    def _fits(self, tokens: NDArray[np.int64], first: bool) -> list[bool]:
        pieces = [self.texts[token] for token in tokens]
        return [bool(_PIECE.fullmatch(piece)) and (not first or piece[0] == " ") for piece in pieces]


def _likeliest(values: NDArray[np.float64], start: int, count: int) -> NDArray[np.int64]:
    """Ids number ``start`` to ``start + count`` by value, the highest first, equal ones by id."""
    most = min(start + count, len(values))
    least = np.partition(values, -most)[-most]
    ids = np.flatnonzero((values >= least) & (values > -np.inf))
    return ids[np.lexsort((ids, -values[ids]))][start:most].astype(np.int64)
