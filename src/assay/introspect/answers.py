"""Log-probabilities of ten answers under the whole vocabulary, for a few rows at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.model import large

if TYPE_CHECKING:
    from assay.model import Subject


class Head:
    """A subject's head, the vocabulary first: from (n, d_out) to logits (vocab, n).

    Where nobody trains it and it is but a matrix on a CPU, it is W h^T: the matrix is read as it lies. In h W^T and in
    the product that the backward pass takes it is rearranged at every call, which for a few dozen rows in bf16 takes a
    sixth and a third of the time. Elsewhere it is the subject's own.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        trained = any(weight.requires_grad for weight in subject.model.get_output_embeddings().parameters())
        usual = subject.device.type != "cpu" or large.is_spread(subject.model) or trained
        self._matrix = None if usual else subject.unembedding()
        self._turned: Tensor | None = None

    def __call__(self, hidden: Float[Tensor, "n d_out"]) -> Float[Tensor, "vocab n"]:
        """In the subject's dtype."""
        if self._matrix is None:
            return self._subject.unembed(hidden).T
        if self._turned is None and torch.is_grad_enabled():
            self._turned = self._matrix.T.contiguous()
        found: Tensor = _Product.apply(hidden, self._matrix, self._turned)
        return found


def answer_logs(
    logits: Float[Tensor, "vocab n"], digits: Int[Tensor, " ten"], added: Float[Tensor, "ten n"]
) -> Float[Tensor, "n ten"]:
    """The log-probability of each digit under the whole vocabulary, in nats, when this is added to their logits."""
    said, rest = _Apart.apply(logits, digits)
    said = said + added
    return (said - torch.logaddexp(rest, said.logsumexp(0))).T


class _Product(torch.autograd.Function):
    """W h^T, and its gradient by h alone; ``turned`` is W^T as it should lie, needed for the gradient."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, matrix: Tensor, turned: Tensor | None) -> Tensor:
        """``hidden`` (n, d_out), ``matrix`` (vocab, d_out)."""
        ctx.turned = turned
        return matrix @ hidden.T.contiguous()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        """Of (vocab, n)."""
        return (ctx.turned @ grads[0].contiguous()).T, None, None


class _Apart(torch.autograd.Function):
    """The digits' logits, and the log of the sum of everything else's exponentials, in fp32.

    As one step, so that what is as large as the vocabulary is gone over four times and not a dozen.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, digits: Tensor) -> tuple[Tensor, Tensor]:
        """(ten, n) and (n,)"""
        wide = logits.to(torch.float32, copy=True)
        said = wide[digits]
        wide[digits] = -torch.inf
        rest = wide.logsumexp(0)
        ctx.save_for_backward(logits, digits, rest)
        return said, rest

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        """Of ``said`` and ``rest``."""
        logits, digits, rest = ctx.saved_tensors
        wide = (logits.float() - rest).exp_().mul_(grads[1])
        wide[digits] = grads[0]
        return wide.to(logits.dtype), None
