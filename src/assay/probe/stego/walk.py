"""A model walked along texts, token by token, in passes of one shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from assay.errors import UsageError
from assay.model.past import go_on_with
from assay.model.past import read as read_past

if TYPE_CHECKING:
    from assay.model import Subject


class Walk:
    """Some prompts, and what comes after them one token at a time.

    Every pass has the same shape whatever the texts are: as many rows as the pact says, padded on the left to the
    longest prompt, one new token a row. A pass over the whole text at once would give the same logits up to the order
    of sums, and so, now and then, another whole number.
    """

    def __init__(self, subject: Subject, prompts: Sequence[Sequence[int]], rows: int) -> None:
        if min(len(row) for row in prompts) < 2:
            raise UsageError("a prompt needs two tokens or more; give a longer one")
        self.subject, self.count = subject, len(prompts)
        filled = [*prompts, *[prompts[-1]] * (rows - len(prompts))]
        width = max(len(row) for row in filled)
        ids = torch.tensor([[0] * (width - len(row)) + list(row) for row in filled])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in filled])
        self._state, self._rows = read_past(subject, ids[:, :-1], mask[:, :-1])[0], rows
        self._next(ids[:, -1:])

    def step(self, tokens: Sequence[int]) -> None:
        """Go on with one token a row."""
        self._next(torch.tensor([*tokens, *[0] * (self._rows - len(tokens))])[:, None])

    def _next(self, ids: torch.Tensor) -> None:
        hidden, self._state, _ = go_on_with(self.subject, self._state, ids)
        self._logits = self.subject.unembed(hidden[:, -1]).float().cpu().numpy()

    def logits(self, row: int) -> NDArray[np.float64]:
        """(vocab,) of the next token of a row."""
        return self._logits[row].astype(np.float64)
