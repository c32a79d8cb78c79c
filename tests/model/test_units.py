"""Heads, directions and coordinates as units: their values by hand, and what setting them does."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch
from torch import Tensor

from assay.core.direction import Direction
from assay.core.ids import SiteId, UnitId
from assay.errors import UnknownName, UsageError
from assay.model import Subject
from model.tiny_models import CONFIGS, tiny, tiny_model, tiny_tokenizer, token_batch

HEAD = SiteId(1, "head")
RESIDUAL = SiteId(1, "resid_post")


def at(subject: Subject, site: SiteId) -> Tensor:
    return subject.activations(*token_batch("right"), [site])[site]


def fresh(name: str = "llama") -> Subject:
    return Subject.from_hf(tiny_model(name), tiny_tokenizer(), name="fresh")


def direction(seed: int = 5, site: SiteId = RESIDUAL, offset: float = 0.3, scale: float = -2.0) -> Direction:
    vector = np.random.default_rng(seed).standard_normal(32).astype(np.float32)
    return Direction(site, vector, offset, scale)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", CONFIGS)
def test_a_heads_value_is_the_norm_of_what_it_writes(name: str, dtype: torch.dtype) -> None:
    subject = tiny(name, dtype)
    assert subject.units.count(HEAD) == 4
    tensor = at(subject, HEAD)
    size = tensor.shape[-1] // 4
    module = subject.model.get_submodule(f"{subject._row.layers}.1.{subject._row.o_proj}").double()
    values = subject.units.values(HEAD, tensor)
    assert (values.shape, values.dtype) == ((3, 9, 4), torch.float32)
    silent = module(torch.zeros_like(tensor).double())
    for head in range(4):
        alone = torch.zeros_like(tensor).double()
        part = slice(head * size, (head + 1) * size)
        alone[..., part] = tensor[..., part].double()
        written = (module(alone) - silent).norm(dim=-1)
        torch.testing.assert_close(values[..., head].double(), written, rtol=1e-5, atol=1e-6)
    module.to(dtype)


def test_coordinates_are_the_tensor_itself() -> None:
    subject = tiny("llama", torch.bfloat16)
    tensor = at(subject, RESIDUAL)
    assert subject.units.count(RESIDUAL) == 32
    assert torch.equal(subject.units.values(RESIDUAL, tensor), tensor)
    some = subject.units.values(RESIDUAL, tensor, [7, 3])
    assert some.dtype == torch.bfloat16
    assert torch.equal(some, tensor[..., [7, 3]])
    assert torch.equal(
        subject.units.values(HEAD, at(subject, HEAD), [2])[..., 0],
        subject.units.values(HEAD, at(subject, HEAD))[..., 2],
    )


def test_a_direction_reads_what_it_says() -> None:
    subject, happy = fresh(), direction()
    unit = UnitId(RESIDUAL, "@happy")
    subject.units.add(unit, happy)
    tensor = at(subject, RESIDUAL)
    values = subject.units.values(RESIDUAL, tensor, [4, "@happy"])
    assert torch.equal(values[..., 0], tensor[..., 4])
    expected = -2.0 * (tensor.double().numpy() @ happy.vector.astype(np.float64) - 0.3)
    np.testing.assert_allclose(values[..., 1].numpy(), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(happy.value(tensor.numpy()), expected)
    assert subject.units.at(RESIDUAL) == [*range(32), "@happy"]
    assert subject.units.at(HEAD) == [0, 1, 2, 3]


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "opt"])
@pytest.mark.parametrize("text", ["L1.resid_post:@happy", "L1.head:2", "L1.mlp_act:5", "L1.attn_out:6", "L1.mlp_out:7"])
def test_a_unit_that_is_set_reads_what_it_was_set_to(name: str, text: str) -> None:
    subject, unit = fresh(name), UnitId.parse(text)
    if unit.index == "@happy":
        subject.units.add(unit, direction())
    tensor = at(subject, unit.site)
    target = torch.rand(tensor.shape[:-1], generator=torch.Generator().manual_seed(1)) * 3
    changed = subject.units.put(unit, tensor, target)
    assert not torch.equal(changed, tensor)
    torch.testing.assert_close(
        subject.units.values(unit.site, changed, [unit.index])[..., 0], target, rtol=1e-4, atol=1e-4
    )
    others = [index for index in subject.units.at(unit.site) if index != unit.index]
    if unit.index != "@happy":
        before, after = (subject.units.values(unit.site, t, others) for t in (tensor, changed))
        assert torch.equal(before, after)


def test_setting_a_direction_moves_along_its_vector_alone() -> None:
    subject, happy = fresh(), direction()
    unit = UnitId(RESIDUAL, "@happy")
    subject.units.add(unit, happy)
    tensor = at(subject, RESIDUAL)
    moved = subject.units.put(unit, tensor, torch.full(tensor.shape[:-1], 1.5)) - tensor
    vector = torch.from_numpy(happy.vector.copy())
    along = (moved @ vector)[..., None] * vector / vector.square().sum()
    torch.testing.assert_close(moved, along, rtol=1e-4, atol=1e-5)


def test_setting_a_unit_to_what_it_is_changes_next_to_nothing() -> None:
    subject = fresh()
    subject.units.add(UnitId(RESIDUAL, "@happy"), direction())
    for unit in (UnitId(RESIDUAL, "@happy"), UnitId(HEAD, 1), UnitId(SiteId(1, "mlp_act"), 3)):
        tensor = at(subject, unit.site)
        own = subject.units.values(unit.site, tensor, [unit.index])[..., 0]
        torch.testing.assert_close(subject.units.put(unit, tensor, own), tensor, rtol=1e-5, atol=1e-6)


def test_a_head_can_not_write_less_than_nothing_and_silence_stays() -> None:
    subject = fresh()
    tensor = at(subject, HEAD).clone()
    tensor[0, 0, 8:16] = 0
    changed = subject.units.put(UnitId(HEAD, 1), tensor, torch.full(tensor.shape[:-1], -1.0))
    assert torch.equal(changed[..., 8:16], torch.zeros_like(changed[..., 8:16]))
    raised = subject.units.put(UnitId(HEAD, 1), tensor, torch.full(tensor.shape[:-1], 2.0))
    assert bool(raised.isfinite().all())
    assert torch.equal(raised[0, 0], tensor[0, 0])


def test_directions_go_with_a_copy_in_another_dtype() -> None:
    subject = fresh()
    subject.units.add(UnitId(RESIDUAL, "@happy"), direction())
    low = subject.with_dtype(torch.bfloat16)
    values = low.units.values(RESIDUAL, at(low, RESIDUAL), ["@happy"])
    expected = subject.units.values(RESIDUAL, at(subject, RESIDUAL), ["@happy"])
    assert values.dtype == torch.float32
    torch.testing.assert_close(values, expected, rtol=0.1, atol=0.5)


def test_what_can_not_be_added() -> None:
    subject = fresh()
    unit = UnitId(RESIDUAL, "@happy")
    subject.units.add(unit, direction())
    subject.units.add(unit, direction())
    with pytest.raises(UsageError, match="is the name of another direction already"):
        subject.units.add(unit, direction(seed=6))
    with pytest.raises(
        UsageError, match=r"must be a direction of 32 entries at L1.resid_post. Got 32 at L0.resid_post"
    ):
        subject.units.add(UnitId(RESIDUAL, "@other"), direction(site=SiteId(0, "resid_post")))
    with pytest.raises(UsageError, match=r"must be a direction of 48 entries at L1.mlp_act. Got 32 at L1.mlp_act"):
        subject.units.add(UnitId(SiteId(1, "mlp_act"), "@other"), direction(site=SiteId(1, "mlp_act")))
    with pytest.raises(UnknownName, match=r"unknown site 'L7.resid_post'"):
        subject.units.add(UnitId(SiteId(7, "resid_post"), "@other"), direction(site=SiteId(7, "resid_post")))
    with pytest.raises(UsageError, match=r"there is no direction L1.resid_post:@sad"):
        subject.units.check(UnitId(RESIDUAL, "@sad"))


def test_units_do_not_keep_their_subject_in_memory() -> None:
    subject = fresh()
    subject.units.values(HEAD, at(subject, HEAD))
    gone = weakref.ref(subject)
    gc.disable()
    try:
        del subject
        assert gone() is None
    finally:
        gc.enable()
