"""A model that is asked for a neuron's value: its own weights, and whatever of it is trained to answer."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from assay.fit.lora import Adapters, adapters
from assay.introspect.answers import Head, answer_logs
from assay.introspect.kept import Batch
from assay.introspect.patches import patches
from assay.introspect.room import Room
from assay.introspect.wording import Wording
from assay.model.past import go_on, go_on_with

if TYPE_CHECKING:
    from assay.introspect.neurons import Neuron
    from assay.model import Subject

_AHEAD = 4.0  # nats by which the digits together begin above everything else
TRAINABLE = ("rows", "above", "question", "full", "finetune")
WHOLE = ("full", "finetune")  # those that may change the neurons, see assay.introspect.whole


class Reporter:
    """Answers about the neurons of one layer, from kept sentences.

    Args:
        neurons: those that the wording's first questions ask about, in that order; all of one layer.
        rows: (10, d_out + 1) what is added to the logits of the ten digits: weights on what the head is given, less
            ``centre`` and divided by ``spread``, and a bias.
        adapters: in force while this is used; ``question`` says that they act on the question alone, not on the full
        stop.

    Attributes:
        trains_weights: whether what is trained are the model's own weights.
        room: how much of a batch is answered at once.
    """

    trains_weights = False

    def __init__(
        self,
        subject: Subject,
        neurons: Sequence[Neuron],
        wording: Wording,
        rows: nn.Parameter,
        adapters: Adapters,
        question: bool,
        room: Room | None = None,
    ) -> None:
        self.subject, self.wording, self.rows, self.adapters, self.question = subject, wording, rows, adapters, question
        self.room = room or Room()
        self.layer = neurons[0].unit.site.layer
        self.units = tuple(neuron.unit for neuron in neurons)
        device = subject.device
        self.centre, self.spread = torch.zeros(subject.d_out, device=device), torch.tensor(1.0, device=device)
        self._digits = torch.tensor(wording.digits, device=device)
        self._head = Head(subject)

    @property
    def start(self) -> int:
        """The layer at which what is kept begins: that after the neurons'."""
        return self.layer + 1

    @torch.no_grad()
    def begin_on(self, batches: Sequence[Batch]) -> None:
        """Begin at what is known of nothing: near to all of the probability on the digits, evenly spread.

        Centre and spread are taken from what the head is given now, so that rows are learnt on one scale in any model.
        """
        still = torch.zeros(1, len(self.units))
        seen = torch.cat([self.hidden(batch, still.expand(len(batch), -1)).flatten(0, 1) for batch in batches])
        self.centre = seen.float().mean(0)
        self.spread = (seen.float() - self.centre).square().mean().sqrt().clamp(min=1e-6)
        logits = self._head(seen).float()
        even = logits.logsumexp(0).mean() + _AHEAD - math.log(len(self.wording.digits))
        self.rows[:, -1] = even - logits[self._digits].mean(1)

    def parameters(self) -> dict[str, nn.Parameter]:
        """Everything that is trained, by name."""
        return {"rows": self.rows, **self.adapters.parameters}

    def state(self) -> dict[str, NDArray[np.float32]]:
        """What was learnt, by name: parameters, and the scale of what the rows read."""
        tensors = {**self.parameters(), "centre": self.centre, "spread": self.spread}
        return {name: tensor.detach().float().cpu().numpy().copy() for name, tensor in tensors.items()}

    @torch.no_grad()
    def load(self, state: Mapping[str, NDArray[np.float32]]) -> None:
        """Take over what another reporter of the same kind has learnt.

        Raises:
            KeyError: it is of another kind.
        """
        for name, parameter in self.parameters().items():
            parameter.copy_(torch.from_numpy(state[name]))
        self.centre = torch.from_numpy(state["centre"]).to(self.centre)
        self.spread = torch.tensor(float(state["spread"])).to(self.spread)

    def answers(self, batch: Batch, change: Float[Tensor, "b units"]) -> Float[Tensor, "b units ten"]:
        """The log-probability of each digit under the whole vocabulary, in nats, when each neuron's value at the full
        stop is changed so.

        Each unit's question is answered with only that unit changed.
        """
        return self.answers_of(self.hidden(batch, change))

    def answers_of(self, hidden: Float[Tensor, "*n d_out"]) -> Float[Tensor, "*n ten"]:
        """The same from what the head is given."""
        flat = hidden.flatten(0, -2)
        known = (flat.float() - self.centre) / self.spread
        added = self.rows[:, :-1] @ known.T + self.rows[:, -1:]
        return answer_logs(self._head(flat), self._digits, added).unflatten(0, hidden.shape[:-1])

    def hidden(self, batch: Batch, change: Float[Tensor, "b units"]) -> Float[Tensor, "b units d_out"]:
        """What the head is given at the token before the answer."""
        return self.hidden_at(batch, patches(self.subject, self.units, batch, change))

    def hidden_at(self, batch: Batch, patch: Float[Tensor, "b units d_model"]) -> Float[Tensor, "b units d_out"]:
        """The same with any vector added to the residual at the full stop."""
        units = patch.shape[1]
        stop = (batch.stop[self.start][:, None] + patch).flatten(0, 1)[:, None]
        asked = batch.asked[self.start][:, :units].flatten(0, 1)
        past = batch.past.repeated(units)
        if not self.question:
            hidden, _ = go_on(self.subject, past.without_last(), torch.cat([stop, asked], 1), self.start)
            return hidden[:, -1].unflatten(0, (-1, units))
        with torch.no_grad(), self.adapters.off():
            _, patched = go_on(self.subject, past.without_last(), stop, self.start)
        ids = torch.tensor(self.wording.questions[:units]).repeat(len(batch), 1)
        hidden, _, _ = go_on_with(self.subject, patched.over(past, self.start), ids)
        return hidden[:, -1].unflatten(0, (-1, units))


@contextmanager
def reporter(
    subject: Subject,
    neurons: Sequence[Neuron],
    wording: Wording,
    trainable: str,
    rank: int,
    seed: int,
    room: Room | None = None,
) -> Generator[Reporter]:
    """A reporter that has learnt nothing yet; its adapters are gone after the block.

    ``trainable``: "rows" trains what is added to the digits' logits; "above" also adapters on the layers above the
    neurons, from the full stop on; "question" also adapters on every layer, on the question's tokens alone. None of
    these can change the neurons' own values.
    """
    layer = neurons[0].unit.site.layer
    layers = {"rows": (), "above": range(layer + 1, subject.n_layers), "question": range(subject.n_layers)}[trainable]
    with adapters(subject, layers, rank, seed) as found:
        yield Reporter(subject, neurons, wording, new_rows(subject, wording), found, trainable == "question", room)


def new_rows(subject: Subject, wording: Wording) -> nn.Parameter:
    """Rows that add nothing."""
    return nn.Parameter(torch.zeros(len(wording.digits), subject.d_out + 1, device=subject.device))


def loss(logs: Float[Tensor, "b units ten"], right: Int[Tensor, "b units"]) -> Tensor:
    """Mean cross-entropy of the right digits under the whole vocabulary, in nats."""
    return -logs.gather(-1, right.to(logs.device)[..., None]).mean()
