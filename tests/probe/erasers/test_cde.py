"""Causal direction extraction finds the direction that is known to carry the concept."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn.functional import kl_div

from assay.core.ids import SiteId
from assay.errors import FitError
from assay.probe.erasers.cde import CdeFitter, _turn, swap_loss
from assay.probe.erasers.eraser import Eraser
from assay.probe.swap import PairReading, read_pairs, swap_success
from model.tiny_models import VOCAB, count_hooks, tiny
from probe.planted_pairs import WIDTH, planted_pairs, random_pairs


def read(layer: int) -> PairReading:
    planted = planted_pairs()
    return read_pairs(planted.subject, [layer], planted.pairs)[layer]


def fit(layer: int, **options: int) -> CdeFitter:
    return CdeFitter(planted_pairs().subject, lr=0.05, **options).fit(read(layer))


def cosine(eraser: Eraser, axis: NDArray[np.float64]) -> float:
    """Length of what a unit vector has in the span of what is erased."""
    return float(np.linalg.norm(eraser.proj_right @ axis))


@pytest.mark.parametrize(("layer", "axis", "rank"), [(0, "named", 1), (0, "named", 2), (1, "said", 1), (2, "said", 1)])
def test_finds_what_carries_the_concept(layer: int, axis: str, rank: int) -> None:
    planted = planted_pairs()
    fitter = fit(layer, rank=rank, steps=120)
    eraser = fitter.eraser
    assert (eraser.rank, eraser.method) == (rank, "cde")
    assert cosine(eraser, getattr(planted, axis)) > 0.99
    assert swap_success(planted.subject, read(layer), eraser).success.value > 0.98
    assert len(fitter.losses) == fitter.steps
    assert fitter.losses[-1] < 0.01 * fitter.losses[0]


def test_what_it_begins_with_moves_nothing() -> None:
    fitter = fit(0, steps=1)
    drawn = swap_success(planted_pairs().subject, read(0), fitter.eraser)
    assert abs(drawn.shift.value) < 0.2
    assert cosine(fitter.eraser, planted_pairs().named) < 0.5


def test_learns_in_bf16_what_holds_in_fp32() -> None:
    planted = planted_pairs()
    subject = planted.subject.with_dtype(torch.bfloat16)
    eraser = CdeFitter(subject, lr=0.05).fit(read(0)).eraser
    assert cosine(eraser, planted.named) > 0.99
    assert swap_success(planted.subject, read(0), eraser).success.value > 0.98


def test_the_eraser_projects_and_the_seed_decides() -> None:
    first, again, other = (fit(0, rank=3, steps=5, seed=seed) for seed in (1, 1, 2))
    eraser = first.eraser
    np.testing.assert_allclose(eraser.proj_right @ eraser.proj_left, np.eye(3), atol=1e-12)
    np.testing.assert_array_equal(eraser.proj_left, eraser.proj_right.T)
    assert not eraser.bias.any()
    np.testing.assert_array_equal(eraser.proj_left, again.eraser.proj_left)
    assert first.losses == again.losses
    assert np.abs(eraser.proj_left - other.eraser.proj_left).max() > 0.1


def test_the_loss_is_the_divergence_of_full_passes_both_ways() -> None:
    subject, pairs = tiny("llama"), random_pairs(VOCAB)
    reading = read_pairs(subject, [1], pairs)[1]
    basis = torch.linalg.qr(torch.randn(subject.d_model, 2, generator=torch.Generator().manual_seed(0)))[0]
    site, losses = SiteId(1, "resid_post"), []
    for row, length in enumerate(pairs.lengths):
        prompts = torch.from_numpy(pairs.ids[row, :, :length])
        unedited = torch.log_softmax(subject.logits(prompts)[:, -1], -1)
        with subject.edit(site, lambda into: into + (into.flip(0) - into) @ basis @ basis.T):
            runs = torch.log_softmax(subject.logits(prompts)[:, -1], -1)
        goal = unedited.flip(0)
        both = [kl_div(p, q, reduction="sum", log_target=True) for p, q in ((runs, goal), (goal, runs))]
        losses.append((both[0] + both[1]) / 2)
    found = swap_loss(subject, reading, np.arange(len(pairs)), basis)
    torch.testing.assert_close(found, torch.stack(losses).mean(), rtol=1e-3, atol=1e-5)
    everything = swap_loss(subject, reading, np.arange(len(pairs)), torch.eye(subject.d_model))
    assert everything.item() == pytest.approx(0, abs=1e-5)


def test_the_gradient_is_the_slope_of_the_loss() -> None:
    subject = planted_pairs().subject.with_dtype(torch.float64)
    reading = read_pairs(subject, [0], planted_pairs().pairs)[0]
    generator = torch.Generator().manual_seed(1)
    basis, along = (torch.randn(WIDTH, 1, generator=generator, dtype=torch.float64) for _ in range(2))
    basis = (basis / basis.norm()).requires_grad_()
    rows = np.arange(6)
    (gradient,) = torch.autograd.grad(swap_loss(subject, reading, rows, basis), [basis])
    with torch.no_grad():
        ahead, behind = (swap_loss(subject, reading, rows, basis + step * along) for step in (1e-4, -1e-4))
    assert (gradient * along).sum().item() == pytest.approx((ahead - behind).item() / 2e-4, rel=1e-3)


def test_a_gradient_within_the_span_turns_nothing() -> None:
    basis = torch.linalg.qr(torch.randn(WIDTH, 2, generator=torch.Generator().manual_seed(0)))[0].requires_grad_()
    before = basis.detach().clone()
    basis.grad = before @ torch.tensor([[3.0, -1.0], [2.0, 0.5]])
    _turn(basis, torch.optim.SGD([basis], lr=0.1))
    torch.testing.assert_close(basis.detach(), before)
    basis.grad = torch.ones_like(before)
    _turn(basis, torch.optim.SGD([basis], lr=0.1))
    assert ((basis * before).sum(0) > 0.5).all()
    torch.testing.assert_close(basis.T @ basis, torch.eye(2))


def test_nothing_is_left_in_the_subject() -> None:
    fitter = fit(0, steps=2)
    assert count_hooks(fitter.subject) == 0
    parameters = list(fitter.subject.model.parameters())
    assert parameters
    assert all(weight.grad is None and not weight.requires_grad for weight in parameters)
    assert torch.is_grad_enabled()


def test_what_is_refused() -> None:
    subject = planted_pairs().subject
    for rank in (0, WIDTH):
        with pytest.raises(FitError, match=f"rank must be from 1 to {WIDTH - 1}.* Got {rank}"):
            CdeFitter(subject, rank)
    with pytest.raises(FitError, match="CdeFitter has learnt nothing yet; call fit first"):
        _ = CdeFitter(subject).eraser
    with pytest.raises(FitError, match="causal directions need pairs of prompts; got none"):
        CdeFitter(subject).fit(read(0).select(np.zeros(0, np.int64)))
