"""Activations of texts, and what the model itself would say of them: one pass a set, whatever is asked of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from assay.core.ids import SiteId
from assay.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from assay.model import Subject

POSITIONS = ("last", "mean")
BATCH_TOKENS = 1536
_SHOWN = 60  # letters of a text in a message

Told = Callable[[float], None]


class Rows(NamedTuple):
    """Token ids of some texts of like length, padded at the right. ``rows``: their places; ``lengths``: real tokens."""

    rows: Int64[NDArray[np.int64], " b"]
    ids: Tensor
    mask: Tensor
    lengths: Int64[NDArray[np.int64], " b"]


def encode(subject: Subject, texts: Sequence[str]) -> list[tuple[int, ...]]:
    """The tokens of each text as the tokenizer begins one, without what it may put at the end.

    Raises:
        UsageError: a text without tokens, or one that is longer than the context.
    """
    ids: Any = subject.tokenizer([*texts, ""], return_attention_mask=False, verbose=False)["input_ids"]
    ends = subject.special_ids
    *found, empty = [tuple(row[:-1] if len(row) > 1 and row[-1] in ends else row) for row in ids]
    for text, row in zip(texts, found, strict=True):
        if row == empty:
            raise UsageError(f"the text {text[:_SHOWN]!r} has no token; remove it")
        if len(row) > subject.context_length:
            raise UsageError(
                f"the text {text[:_SHOWN]!r} has {len(row):,} tokens and {subject.name} takes "
                f"{subject.context_length:,} at most; shorten it"
            )
    return found


def in_batches(subject: Subject, ids: Sequence[tuple[int, ...]], size_tokens: int = BATCH_TOKENS) -> Iterator[Rows]:
    """All texts once, the longest first, as many to a batch as fit with their padding."""
    lengths = np.array([len(row) for row in ids], np.int64)
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        width = int(lengths[order[start]])
        rows = order[start : start + max(1, size_tokens // width)]
        padded = np.zeros((len(rows), width), np.int64)
        for place, row in enumerate(rows):
            padded[place, : lengths[row]] = ids[row]
        mask = (np.arange(width) < lengths[rows, None]).astype(np.int64)
        yield Rows(rows, torch.from_numpy(padded), torch.from_numpy(mask), lengths[rows])
        start += len(rows)


@torch.inference_mode()
def read(
    subject: Subject,
    texts: Sequence[str],
    sites: Collection[SiteId],
    position: str = "last",
    told: Told = lambda share: None,
) -> dict[SiteId, Float[NDArray[np.float32], "n width"]]:
    """What stands at sites at the ``last`` token of each text, or its ``mean`` over all tokens; one pass for all sites.

    Raises:
        UnknownName: no such position or site.
        UsageError: a text that is empty or longer than the context.
    """
    if position not in POSITIONS:
        raise UnknownName("position", position, POSITIONS)
    found = {site: np.zeros((len(texts), subject.width(site)), np.float32) for site in sites}
    done = 0
    for batch in in_batches(subject, encode(subject, texts)):
        for site, tensor in subject.activations(batch.ids, batch.mask, sites).items():
            found[site][batch.rows] = _at(tensor, batch, position).float().cpu().numpy()
        done += len(batch.rows)
        told(done / len(texts))
    return found


def _at(tensor: Tensor, batch: Rows, position: str) -> Tensor:
    if position == "last":
        last = torch.from_numpy(batch.lengths - 1).to(tensor.device)
        return tensor[torch.arange(len(last), device=tensor.device), last]
    weights = batch.mask.to(tensor.device)[..., None]
    return (tensor.float() * weights).sum(1) / weights.sum(1)


@torch.inference_mode()
def log_odds(
    subject: Subject, texts: Sequence[str], words: tuple[str, str], told: Told = lambda share: None
) -> Float[NDArray[np.float64], " n"]:
    """How much likelier, in nats, each text goes on with the second word than with the first, by their first tokens.

    Raises:
        UsageError: the words begin with the same token.
    """
    first, second = (first_token(subject, word) for word in words)
    if first == second:
        raise UsageError(f"{words[0]!r} and {words[1]!r} begin with the same token of {subject.name}; give other words")
    found = np.zeros(len(texts))
    done = 0
    for batch in in_batches(subject, encode(subject, texts)):
        hidden = subject.hidden(batch.ids, batch.mask)
        logits = subject.unembed(_at(hidden, batch, "last")).float()
        found[batch.rows] = (logits[:, second] - logits[:, first]).cpu().numpy()
        done += len(batch.rows)
        told(done / len(texts))
    return found


def first_token(subject: Subject, word: str) -> int:
    """The first token of a word as it goes on a text, such as " she"."""
    return int(subject.tokenizer(word, add_special_tokens=False, verbose=False)["input_ids"][0])
