"""What a model goes on with after texts: greedy, short, many at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from assay.model.past import go_on_with
from assay.model.past import read as read_past
from assay.probe.reading import encode

if TYPE_CHECKING:
    from assay.model import Subject

_AT_ONCE = 32


@torch.inference_mode()
def replies(
    subject: Subject, prompts: Sequence[str], tokens: int = 24, told: Callable[[float], None] = lambda share: None
) -> list[str]:
    """The likeliest ``tokens`` after each prompt, less where the model ends before.

    Raises:
        UsageError: a prompt that is empty or longer than the context.
    """
    rows = encode(subject, prompts)
    order = np.argsort([len(row) for row in rows], kind="stable")
    found = [""] * len(rows)
    for start in range(0, len(order), _AT_ONCE):
        chosen = order[start : start + _AT_ONCE]
        for place, ids in zip(chosen, _batch(subject, [rows[i] for i in chosen], tokens), strict=True):
            found[place] = str(subject.tokenizer.decode(ids, clean_up_tokenization_spaces=False))
        told((start + len(chosen)) / len(order))
    return found


def _batch(subject: Subject, rows: Sequence[tuple[int, ...]], tokens: int) -> list[list[int]]:
    width = max(len(row) for row in rows)
    ids = torch.tensor([[0] * (width - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    past, last = read_past(subject, ids[:, :-1], mask[:, :-1]), ids[:, -1:]
    state = past[0]
    said: list[list[int]] = [[] for _ in rows]
    ended = [False] * len(rows)
    for _ in range(tokens):
        hidden, state, _ = go_on_with(subject, state, last)
        last = subject.unembed(hidden[:, -1]).argmax(-1, keepdim=True).cpu()
        for row, token in enumerate(last[:, 0].tolist()):
            ended[row] = ended[row] or token in subject.special_ids
            said[row] += [] if ended[row] else [token]
        if all(ended):
            break
    return said
