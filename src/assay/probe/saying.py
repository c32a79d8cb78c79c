"""What a model says next, unedited and with its residual edited at one layer: prompts are read once for all edits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from assay.core.ids import SiteId
from assay.errors import UsageError
from assay.model.reading import encode, in_batches
from assay.probe.swap import finished

if TYPE_CHECKING:
    from assay.model import Subject

Edit = Callable[[Tensor], Tensor]
"""From the residual of some prompts, (batch, seq, d), to what stands in its place."""

FEWEST_WORDS = 3


class _Batch(NamedTuple):
    rows: NDArray[np.int64]
    last: Tensor
    residual: Tensor
    final: Tensor


class Prompts:
    """Prompts as a model has read them up to the ``resid_post`` of a layer."""

    def __init__(self, subject: Subject, layer: int, texts: Sequence[str]) -> None:
        self.subject, self.layer, self.texts = subject, layer, texts
        site = SiteId(layer, "resid_post")
        self._batches: list[_Batch] = []
        with torch.inference_mode():
            for batch in in_batches(subject, encode(subject, texts)):
                with subject.capture([site]) as got:
                    hidden = subject.hidden(batch.ids, batch.mask)
                last = torch.from_numpy(batch.lengths - 1).to(hidden.device)
                self._batches.append(_Batch(batch.rows, last, got[site], _at(hidden, last)))

    @torch.inference_mode()
    def odds(self, good: Tensor, bad: Tensor, edit: Edit | None = None) -> Float[NDArray[np.float64], " n"]:
        """Log odds of some tokens over others as the next one, nats, after each prompt."""
        found = np.zeros(len(self.texts))
        for batch in self._batches:
            hidden = self._hidden(batch, edit)
            more, less = (self.subject.unembed(hidden, side).float().logsumexp(-1) for side in (good, bad))
            found[batch.rows] = (more - less).double().cpu().numpy()
        return found

    @torch.inference_mode()
    def kl(self, edit: Edit) -> float:
        """Mean KL divergence of the next token from that of the edited run, nats."""
        total = 0.0
        for batch in self._batches:
            before, after = (
                self.subject.unembed(self._hidden(batch, one)).float().log_softmax(-1) for one in (None, edit)
            )
            total += float((before.exp() * (before - after)).sum())
        return total / len(self.texts)

    def _hidden(self, batch: _Batch, edit: Edit | None) -> Tensor:
        if edit is None:
            return batch.final
        return _at(finished(self.subject, self.layer, edit(batch.residual)), batch.last)


def _at(hidden: Tensor, last: Tensor) -> Tensor:
    return hidden[torch.arange(len(hidden), device=hidden.device), last]


def scored_words(subject: Subject, words: Sequence[str], texts: Sequence[str]) -> Tensor:
    """The tokens of those words, such as " good", that are one token each and stand in none of the texts.

    What is steered by directions from some texts is not scored by the words of these texts.

    Raises:
        UsageError: fewer than :data:`FEWEST_WORDS` are left.
    """
    seen = {word.strip(".,:;!?").lower() for text in texts for word in text.split()}
    rows = subject.tokenizer(list(words), add_special_tokens=False, verbose=False)["input_ids"]
    kept = [row[0] for word, row in zip(words, rows, strict=True) if len(row) == 1 and word.strip() not in seen]
    if len(kept) < FEWEST_WORDS:
        raise UsageError(
            f"{len(kept)} of the words {', '.join(word.strip() for word in words)} are one token and not in the texts "
            f"fitted on; at least {FEWEST_WORDS} are needed to score by"
        )
    return torch.tensor(kept, device=subject.device)
