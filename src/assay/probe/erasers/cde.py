"""Causal direction extraction: the directions whose swap makes a model's output follow the other prompt."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from assay.errors import FitError
from assay.probe.erasers.eraser import Eraser
from assay.probe.erasers.inlp import check_rank
from assay.probe.swap import PairReading, swapped

if TYPE_CHECKING:
    from assay.model import Subject

RATE, STEPS, BATCH = 0.02, 80, 8


class CdeFitter:
    """Learns k orthonormal directions V of a layer by gradients through the layers above it (Roger 2022).

    The run of one prompt of a pair gets the part of its residual in the span of V from the other prompt, at every
    position from the first that differs. V is to make the output at the last token that of the other prompt: the loss
    is KL(p || q) + KL(q || p) over the whole vocabulary, p unedited after the other prompt and q of the run, the mean
    of the runs of both prompts. Adam changes V, and after each step V is made orthonormal again.

    Two things differ from what is published. The part of the gradient that lies in the span of V is taken off: the QR
    undoes what it changes, but Adam divides each entry by its own size and would turn V by it. And the rate begins at
    .02, not .0003, and falls to 0 along a cosine. Success on held-out names at layer 27 of the default model: .93 after
    these 80 steps, .87 without the first, .26 as published and .85 after 1,000 steps of that.

    Args:
        subject: passes are in its dtype. bf16 will do to learn in (on a CPU that has it twice as fast, and success the
            same within .01); success is to be measured in fp32.
        rank: k. At the full width the loss is 0 whatever is learnt: keep it small, and compare at equal rank.
        lr: Adam's rate in the first step.
        steps: steps of Adam.
        batch: pairs in a step.
        seed: of the first V and of the order of the pairs.

    Attributes:
        losses: of each step, in nats; empty before :meth:`fit`.

    Raises:
        FitError: a rank below 1, or of the whole width and more.
    """

    def __init__(
        self,
        subject: Subject,
        rank: int = 1,
        *,
        lr: float = RATE,
        steps: int = STEPS,
        batch: int = BATCH,
        seed: int = 0,
    ) -> None:
        check_rank(rank, subject.d_model)
        self.subject, self.rank, self.seed = subject, rank, seed
        self.lr, self.steps, self.batch = lr, steps, batch
        self.losses: list[float] = []
        self._basis: Float[Tensor, "d k"] | None = None

    def fit(self, reading: PairReading, told: Callable[[float], None] = lambda share: None) -> CdeFitter:
        """Learn from the pairs of a reading of the same model, whose dtype may be another.

        Raises:
            FitError: no pairs.
        """
        if not len(reading.pairs):
            raise FitError("causal directions need pairs of prompts; got none")
        reading = reading.to(self.subject.dtype)
        drawn = np.random.default_rng([self.seed, 0]).normal(size=(self.subject.d_model, self.rank))
        basis = torch.linalg.qr(torch.from_numpy(drawn).float())[0].to(reading.residual.device).requires_grad_()
        optimizer = torch.optim.Adam([basis], lr=self.lr)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        self.losses = []
        for rows in _orders(len(reading.pairs), self.batch, self.steps, self.seed):
            with attention(self.subject):
                loss = swap_loss(self.subject, reading, rows, basis)
                (basis.grad,) = torch.autograd.grad(loss, [basis])
            self.losses.append(loss.item())
            _turn(basis, optimizer)
            schedule.step()
            told(len(self.losses) / self.steps)
        self._basis = basis.detach()
        return self

    @property
    def eraser(self) -> Eraser:
        """What takes the directions out: ``e(x) = x - V V^T x``.

        Raises:
            FitError: nothing was fitted.
        """
        if self._basis is None:
            raise FitError("CdeFitter has learnt nothing yet; call fit first")
        basis, _ = np.linalg.qr(self._basis.cpu().double().numpy())
        return Eraser(basis, basis.T, np.zeros(len(basis)), "cde")


def swap_loss(
    subject: Subject, reading: PairReading, rows: Int64[NDArray[np.int64], " m"], basis: Float[Tensor, "d k"]
) -> Float[Tensor, ""]:
    """The loss of :class:`CdeFitter` on some pairs: nats, the mean over both runs of each."""

    def swap(into: Tensor, source: Tensor) -> Tensor:
        narrow = basis.to(into.dtype)
        return into + (source - into) @ narrow @ narrow.T

    runs = torch.log_softmax(subject.unembed(swapped(subject, reading, rows, swap)).float(), -1)
    with torch.no_grad():
        goal = torch.log_softmax(subject.unembed(reading.final[torch.from_numpy(rows)].flip(1)).float(), -1)
    return ((goal.exp() - runs.exp()) * (goal - runs)).sum(-1).mean()


@torch.no_grad()
def _turn(basis: Tensor, optimizer: torch.optim.Optimizer) -> None:
    """A step that leaves the basis orthonormal, by a QR whose signs leave each column where it points."""
    gradient: Any = basis.grad
    gradient -= basis @ (basis.T @ gradient)
    optimizer.step()
    turned, upper = torch.linalg.qr(basis)
    basis.copy_(turned * torch.sign(torch.diagonal(upper)))


def _orders(pairs: int, batch: int, steps: int, seed: int) -> Iterator[Int64[NDArray[np.int64], " m"]]:
    """The rows of each step: one shuffled order of all pairs after the other."""
    rng = np.random.default_rng([seed, 1])
    batch = min(batch, pairs)
    order = np.concatenate([rng.permutation(pairs) for _ in range(math.ceil(steps * batch / pairs))])
    for step in range(steps):
        yield order[step * batch : (step + 1) * batch]


def attention(subject: Subject) -> AbstractContextManager[Any]:
    """On a CPU two products in the place of the fused attention, whose backward pass is slow in bf16."""
    return sdpa_kernel(SDPBackend.MATH) if subject.device.type == "cpu" else nullcontext()
