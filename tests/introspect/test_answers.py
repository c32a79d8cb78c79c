"""Ten answers under the whole vocabulary, against the plain way of computing them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from assay.introspect.answers import Head, answer_logs
from assay.introspect.reporter import loss
from assay.model import Subject
from model.tiny_models import tiny

DIGITS = torch.tensor([7, 3, 11, 30, 2, 19, 5, 23, 13, 17])


def plainly(subject: Subject, hidden: Tensor, added: Tensor) -> Tensor:
    """Logits row by row, the digits' changed, and a softmax over all of them."""
    logits = subject.unembed(hidden).float().index_add(-1, DIGITS, added.T)
    return torch.log_softmax(logits, -1)[:, DIGITS]


# a matrix alone; with a bias; below a cap
@pytest.mark.parametrize("name", ["llama", "phi", "gemma2"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_answers_and_gradients_are_those_of_a_softmax_over_the_vocabulary(name: str, dtype: torch.dtype) -> None:
    subject = tiny(name, dtype)
    rng = torch.Generator().manual_seed(0)
    hidden = (3 * torch.randn(6, subject.d_out, generator=rng)).to(dtype)
    added, right = 2 * torch.randn(10, 6, generator=rng), torch.tensor([[0], [9], [4], [4], [2], [7]])
    found: list[tuple[Tensor, ...]] = []
    for way in (lambda h, a: answer_logs(Head(subject)(h), DIGITS, a), lambda h, a: plainly(subject, h, a)):
        given, own = hidden.clone().requires_grad_(), added.clone().requires_grad_()
        logs = way(given, own)
        wrong = loss(logs[:, None], right)
        wrong.backward()
        assert given.grad is not None
        assert own.grad is not None
        found.append((logs.detach(), given.grad.float(), own.grad, wrong.detach()[None]))
    near = 2e-5 if dtype is torch.float32 else 0.02
    for ours, plain in zip(*found, strict=True):
        assert ours.double() == pytest.approx(plain.double(), abs=near, rel=near)
    logs, _, _, wrong = found[0]
    assert float(wrong) == pytest.approx(-float(logs.gather(1, right).mean()))


def test_a_head_that_is_trained_gets_its_gradient() -> None:
    subject = tiny("llama", torch.float32)
    weight = subject.model.get_output_embeddings().weight
    hidden = torch.randn(4, subject.d_out, generator=torch.Generator().manual_seed(0))
    weight.requires_grad_(True)
    try:
        answer_logs(Head(subject)(hidden), DIGITS, torch.zeros(10, 4)).sum().backward()
        assert weight.grad is not None
        assert weight.grad.abs().max() > 1e-3
    finally:  # others share this model
        weight.grad = None
        weight.requires_grad_(False)


def test_nothing_else_than_digits_is_told_from_the_digits_alone() -> None:
    """Digits far below the rest of the vocabulary are worth little, however they share what they have."""
    logits = torch.zeros(40, 1)
    logits[DIGITS] = -10.0
    logs = answer_logs(logits, DIGITS, torch.zeros(10, 1))
    share = 10 * torch.tensor(-10.0).exp() / (10 * torch.tensor(-10.0).exp() + 30)
    assert float(logs.exp().sum()) == pytest.approx(float(share), rel=1e-4)
