"""Teaching a reporter to answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from assay.introspect.kept import Batch
from assay.introspect.neurons import Neuron
from assay.introspect.regimes import Doses, doses, lengths
from assay.introspect.reporter import Reporter, loss
from assay.introspect.scores import MOST_BITS

if TYPE_CHECKING:
    from assay.model import Subject


class Plan(NamedTuple):
    """How a reporter is trained: passes over its sentences, steps of AdamW with a warm-up and a cosine to zero.

    ``epochs`` are those over natural values, which are the same each time and soon known by heart; ``patched_epochs``
    those over patches, which are drawn anew each time and stand for more data. Patches begin as long as the residual's
    own spread and come down to what the regime says over the share ``approach`` of the epochs: weak ones alone leave
    the answers at chance for very long. Training on natural values ends early when what was seen is told so many nats
    better (``apart``) than what was not. ``rate`` is that of adapters, ``weights_rate`` that of the model's own
    weights, ``rows_rate`` that of the rows.
    """

    epochs: int = 3
    patched_epochs: int = 3
    rate: float = 2e-3
    weights_rate: float = 5e-4
    rows_rate: float = 1e-3
    warmup: float = 0.05
    clip: float = 1.0
    rank: int = 16
    apart: float = 1.0
    approach: float = 0.7

    def epochs_of(self, regime: str) -> int:
        """Passes over the sentences in a regime."""
        return self.epochs if regime == "nat" else self.patched_epochs


class Trained(NamedTuple):
    """``losses``: of each step, in nats. ``by_heart``: whether it ended early, see :class:`Plan`."""

    losses: list[float]
    by_heart: bool


class Lesson(NamedTuple):
    """Sentences to learn from: their batches, and the neurons' natural values, (n, units) by sentence.

    ``spread``: root mean square distance of the residual after the neurons' layer, at the full stop, from its mean.
    """

    batches: Sequence[Batch]
    values: Float[np.ndarray, "n units"]
    spread: float = 0.0


def train(
    reporter: Reporter,
    neurons: list[Neuron],
    lesson: Lesson,
    regime: str,
    plan: Plan,
    seed: int,
    judged: Callable[[], float],
    told: Callable[[float, float], None] = lambda share, loss: None,
) -> Trained:
    """Train in place. Patches are drawn anew each time a sentence is seen.

    ``judged`` is asked before training, and after each epoch from which on patches are what the regime says, for the
    bits that answers are worth on the choose split; what is left in the reporter is what it was at its best.
    """
    reporter.begin_on(lesson.batches[:: max(1, len(lesson.batches) // 8)])
    rate = plan.weights_rate if reporter.trains_weights else plan.rate
    groups = [
        {"params": [reporter.rows], "lr": plan.rows_rate},
        {"params": list(reporter.adapters.parameters.values()), "lr": rate},
    ]
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], weight_decay=0.0, fused=True)
    epochs = plan.epochs_of(regime)
    steps = epochs * len(lesson.batches)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _share(step, steps, plan.warmup))
    losses: list[float] = []
    best, state, by_heart = judged(), reporter.state(), False
    for epoch in range(epochs):
        rng = np.random.default_rng([seed, epoch])
        order = [lesson.batches[number] for number in rng.permutation(len(lesson.batches))]
        shares = np.ones(len(lesson.values))
        for number, batch in enumerate(order):
            shares[batch.rows.numpy()] = (epoch + number / len(order)) / (plan.approach * epochs)
        given = doses(regime, neurons, lesson.values, rng, how_far(regime, neurons, lesson.spread, shares))
        for batch in order:
            losses.append(reporter.room.work(batch, partial(learn, reporter, optimizer, given)))
            torch.nn.utils.clip_grad_norm_([p for group in groups for p in group["params"]], plan.clip)
            optimizer.step()
            schedule.step()
            told(len(losses) / steps, losses[-1])
        if regime != "nat" and epoch + 1 < plan.approach * epochs:
            continue
        if (now := judged()) > best:
            best, state = now, reporter.state()
        unseen = (MOST_BITS - now) * math.log(2)
        by_heart = regime == "nat" and bool(np.mean(losses[-len(lesson.batches) :]) < unseen - plan.apart)
        if by_heart:
            break
    reporter.load(state)
    return Trained(losses, by_heart)


def how_far(
    regime: str, neurons: list[Neuron], spread: float, shares: Float[np.ndarray, " n"]
) -> Float[NDArray[np.float64], "n units"]:
    """By what patches are lengthened when these shares of the approach are over: by equal factors down to 1."""
    return np.maximum(1.0, spread / lengths(regime, neurons)) ** np.maximum(0.0, 1 - shares)[:, None]


def attention(subject: Subject) -> AbstractContextManager[Any]:
    """On a CPU two products in the place of the fused attention, whose backward pass takes twice the step's time.

    For all threads at once, so it is for whoever starts them.
    """
    return sdpa_kernel(SDPBackend.MATH) if subject.device.type == "cpu" else nullcontext()


def learn(reporter: Reporter, optimizer: torch.optim.Optimizer, given: Doses, parts: Sequence[Batch]) -> float:
    """The loss on a batch that is taken in parts, and its gradients."""
    optimizer.zero_grad()
    count, total = sum(map(len, parts)), 0.0
    for part in parts:
        wrong = step_loss(reporter, part, given) * (len(part) / count)
        wrong.backward()
        total += wrong.item()
    return total


def step_loss(reporter: Reporter, batch: Batch, given: Doses) -> Tensor:
    """The loss on one batch."""
    rows = batch.rows.numpy()
    change, right = torch.from_numpy(given.change[rows]), torch.from_numpy(given.digits[rows])
    return loss(reporter.answers(batch, change), right)


def _share(step: int, steps: int, warmup: float) -> float:
    rising = max(1, round(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))
