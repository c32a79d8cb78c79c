"""The literal proposal: the model as a whole is trained, its neurons with it, and every token is read anew.

Nothing that was kept of the untrained model holds any more, so each answer takes a full pass, and the neuron may drift.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from assay.core.ids import SiteId
from assay.errors import UsageError
from assay.fit.lora import Adapters, adapters
from assay.introspect.kept import Batch
from assay.introspect.reporter import Reporter, new_rows
from assay.introspect.room import Room
from assay.model.copies import copy_in

if TYPE_CHECKING:
    from assay.introspect.neurons import Neuron
    from assay.introspect.wording import Wording
    from assay.model import Subject

MOST = 50_000_000  # parameters that may all be trained: as many again are kept for gradients, twice for the optimiser


class WholeReporter(Reporter):
    """Answers by full passes over sentence and question; adapters act, or weights are trained, everywhere.

    A patch is added to what the neuron does now, which need not be what it did before training.
    """

    def hidden(self, batch: Batch, change: Float[Tensor, "b units"]) -> Float[Tensor, "b units d_out"]:
        """What the head is given at the token before the answer."""
        site = SiteId(self.layer, "mlp_act")
        numbers = torch.tensor([unit.number for unit in self.units]).repeat(len(batch))

        def patched(tensor: Tensor) -> Tensor:
            added = torch.zeros_like(tensor)
            added[torch.arange(len(numbers)), -1 - self.wording.length, numbers] = change.flatten().to(tensor)
            return tensor + added

        if not change.any():
            return self._pass(batch)
        with self.subject.edit(site, patched):
            return self._pass(batch)

    def hidden_at(self, batch: Batch, patch: Float[Tensor, "b units d_model"]) -> Float[Tensor, "b units d_out"]:
        """The same with any vector added to the residual at the full stop."""

        def patched(tensor: Tensor) -> Tensor:
            added = torch.zeros_like(tensor)
            added[:, -1 - self.wording.length] = patch.flatten(0, 1).to(tensor)
            return tensor + added

        with self.subject.edit(SiteId(self.layer, "resid_post"), patched):
            return self._pass(batch)

    def own_values(self, batch: Batch) -> Float[Tensor, "b units"]:
        """What the neurons do now at the full stop."""
        site = SiteId(self.layer, "mlp_act")
        got = self.subject.activations(batch.ids, batch.past.mask, [site])[site][:, -1]
        return got[:, [unit.number for unit in self.units]]

    def _pass(self, batch: Batch) -> Float[Tensor, "b units d_out"]:
        count = len(self.units)
        questions = torch.tensor(self.wording.questions[:count], dtype=torch.long)
        ids = torch.cat([batch.ids.repeat_interleave(count, 0), questions.repeat(len(batch), 1)], 1)
        mask = batch.past.mask.repeat_interleave(count, 0)
        mask = torch.cat([mask, mask.new_ones(len(mask), questions.shape[1])], 1)
        return self.subject.hidden(ids, mask)[:, -1].unflatten(0, (-1, count))


@contextmanager
def whole_reporter(
    subject: Subject,
    neurons: Sequence[Neuron],
    wording: Wording,
    trainable: str,
    rank: int,
    seed: int,
    room: Room | None = None,
) -> Generator[WholeReporter]:
    """A reporter that has learnt nothing yet, of whose training nothing is left in the subject after the block.

    ``trainable``: "full" trains adapters on every layer at every token, "finetune" all weights of a copy.

    Raises:
        UsageError: "finetune" of a model too large.
    """
    rows = new_rows(subject, wording)
    if trainable == "full":
        with adapters(subject, range(subject.n_layers), rank, seed) as found:
            yield WholeReporter(subject, neurons, wording, rows, found, False, room)
        return
    size = sum(weight.numel() for weight in subject.model.parameters())
    if size > MOST:
        raise UsageError(
            f"{subject.name} has {size:,} parameters and finetune takes at most {MOST:,}; use --trainable full"
        )
    copy = type(subject)(copy_in(subject.model, torch.float32), subject.tokenizer, subject.name, subject.reason)
    copy.model.requires_grad_(True)
    weights = {f"weight.{name}": weight for name, weight in copy.model.named_parameters()}
    made = WholeReporter(copy, neurons, wording, rows, Adapters(weights, []), False, room)
    made.trains_weights = True
    yield made
