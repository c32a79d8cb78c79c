"""What a model goes on with after prompts: many at once, with keys and values kept; edits act on every token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from assay.errors import UsageError
from assay.model.fronts import fronts_of, read_fronts
from assay.model.reading import encode

if TYPE_CHECKING:
    from assay.model.subject import Subject

AT_ONCE = 32
_STREAM = 61

Told = Callable[[float], None]
Ids = Sequence[int]


@torch.inference_mode()
def generate(
    subject: Subject,
    prompts: Sequence[Ids],
    tokens: int = 24,
    *,
    temperature: float = 0.0,
    seed: int = 0,
    numbers: Sequence[int] | None = None,
    alike: Sequence[int] | None = None,
    at_once: int = AT_ONCE,
    told: Told = lambda share: None,
) -> list[list[int]]:
    """At most ``tokens`` after each prompt; what comes after a token that ends a text is left out, and it with it.

    Edits that are in force act on prompts and on what is generated; :meth:`Subject.here` tells them which is which, and
    in its ``rows`` which of ``prompts`` they see.
    Equal, up to the order of sums, to reading everything anew for each token. Prompts of like length go together. What
    is drawn for a prompt depends on ``seed`` and on its number, not on what it stands beside.

    Args:
        prompts: ids of each, at least one.
        temperature: 0 takes the likeliest token.
        numbers: of the prompts, by which lots are drawn; their places in ``prompts`` if left out.
        alike: of each prompt, which others are under the same edits: what prompts of one number begin with alike is
            read once, by edits as part of the first of them. Each is read by itself if left out.
        at_once: prompts in a batch.

    Raises:
        UsageError: an empty prompt, one that leaves no room for ``tokens``, or a temperature below 0.
    """
    _check(subject, prompts, tokens, temperature)
    order = np.argsort([len(ids) for ids in prompts], kind="stable")
    found: list[list[int]] = [[] for _ in prompts]
    for start in range(0, len(order), at_once):
        chosen = [int(i) for i in order[start : start + at_once]]
        lots = [np.random.default_rng([seed, _STREAM, i if numbers is None else numbers[i]]) for i in chosen]
        groups = None if alike is None else [alike[i] for i in chosen]
        said = _batch(subject, [prompts[i] for i in chosen], tokens, temperature, lots, torch.tensor(chosen), groups)
        for place, ids in zip(chosen, said, strict=True):
            found[place] = ids
        told((start + len(chosen)) / len(order))
    return found


def replies(subject: Subject, prompts: Sequence[str], tokens: int = 24, told: Told = lambda share: None) -> list[str]:
    """The text of the likeliest ``tokens`` after each prompt, less where the model ends before.

    Raises:
        UsageError: a prompt that is empty, or too long to go on with.
    """
    said = generate(subject, encode(subject, prompts), tokens, told=told)
    return [spelled(subject, ids) for ids in said]


def spelled(subject: Subject, ids: Ids) -> str:
    """The text of some tokens."""
    return str(subject.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))


def padded(prompts: Sequence[Ids]) -> tuple[Tensor, Tensor]:
    """Ids and mask of prompts, (batch, longest), padded on the left."""
    width = max(len(ids) for ids in prompts)
    ids = torch.tensor([[0] * (width - len(row)) + list(row) for row in prompts])
    return ids, torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in prompts])


def _check(subject: Subject, prompts: Sequence[Ids], tokens: int, temperature: float) -> None:
    if not temperature >= 0:
        raise UsageError(f"temperature must be 0 or more. Got {temperature:g} instead.")
    longest = max((len(ids) for ids in prompts), default=1)
    if any(not len(ids) for ids in prompts):
        raise UsageError("a prompt has no token; remove it")
    if longest + tokens > subject.context_length:
        room = f"{subject.name} takes {subject.context_length}"
        raise UsageError(f"a prompt of {longest} tokens and {tokens} more are too many: {room}; shorten it")


def _batch(
    subject: Subject,
    prompts: Sequence[Ids],
    tokens: int,
    temperature: float,
    lots: Sequence[np.random.Generator],
    rows: Tensor,
    alike: Sequence[int] | None,
) -> list[list[int]]:
    from transformers import DynamicCache

    ids, mask = padded(prompts)
    ids, mask, rows = ids.to(subject.device), mask.to(subject.device), rows.to(subject.device)
    past: Any = DynamicCache()  # told of no configuration, it keeps all of a sliding window's tokens
    if alike is not None and (fronts := fronts_of(prompts, alike)) is not None:
        begun = read_fronts(subject, fronts, mask, rows)
        past, ids = DynamicCache(list(begun.pairs)), ids[:, begun.mask.shape[1] :]
    said: list[list[int]] = [[] for _ in prompts]
    ended = [False] * len(prompts)
    with subject.prompts_end(mask.sum(1), rows):
        for _ in range(tokens):
            logits = subject.unembed(subject._run({"input_ids": ids}, mask, past)[:, -1])
            last = _pick(logits, temperature, lots)
            for row, token in enumerate(last):
                ended[row] = ended[row] or token in subject.special_ids
                said[row] += [] if ended[row] else [token]
            if all(ended):
                break
            ids = torch.tensor(last, device=subject.device)[:, None]
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
    return said


def _pick(logits: Float[Tensor, "batch vocab"], temperature: float, lots: Sequence[np.random.Generator]) -> list[int]:
    if temperature == 0:
        return logits.argmax(-1).tolist()
    shares = torch.softmax(logits.float() / temperature, -1).double().cumsum(-1)
    drawn = torch.tensor([[one.random()] for one in lots], dtype=torch.float64, device=shares.device)
    return torch.searchsorted(shares, drawn * shares[:, -1:]).clamp(max=shares.shape[1] - 1)[:, 0].tolist()
