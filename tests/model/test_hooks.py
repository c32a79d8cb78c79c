"""Capture and edit: what they see, what they change, and that nothing stays."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor

from assay.core.ids import SiteId
from assay.errors import UnknownName, UsageError
from assay.model import Subject
from model.tiny_models import CONFIGS, LAYERS, count_hooks, tiny, token_batch

DTYPES = (torch.float32, torch.bfloat16)


def middle_sites(subject: Subject) -> list[SiteId]:
    return [site for site in subject.sites() if site.layer == 1]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CONFIGS)
def test_identity_edits_change_no_bit(name: str, dtype: torch.dtype) -> None:
    subject = tiny(name, dtype)
    ids, mask = token_batch("left")
    plain = subject.logits(ids, mask)
    for site in middle_sites(subject):
        with subject.edit(site, torch.clone):
            assert torch.equal(subject.logits(ids, mask), plain), site


@pytest.mark.parametrize("name", CONFIGS)
def test_real_edits_act_and_are_gone(name: str) -> None:
    subject = tiny(name)
    ids, mask = token_batch("right")
    plain = subject.logits(ids, mask)
    for site in middle_sites(subject):
        with subject.edit(site, lambda t: t * 3):
            assert not torch.equal(subject.logits(ids, mask), plain), site
        assert torch.equal(subject.logits(ids, mask), plain), site
    assert count_hooks(subject) == 0


def test_edit_replaces_the_tensor_for_all_that_follows() -> None:
    """Zeroing what both branches add leaves the residual alone from there on."""
    subject = tiny("qwen3")
    ids, mask = token_batch("none")
    with (
        subject.edit(SiteId(1, "attn_out"), torch.zeros_like),
        subject.edit(SiteId(1, "mlp_out"), torch.zeros_like),
        subject.capture([SiteId(1, "resid_pre"), SiteId(2, "resid_pre")]) as got,
    ):
        subject.hidden(ids, mask)
    assert torch.equal(got[SiteId(1, "resid_pre")], got[SiteId(2, "resid_pre")])


@pytest.mark.parametrize("order", ["edit first", "capture first"])
@pytest.mark.parametrize("name", ["llama", "olmo2", "gpt2", "gpt_neox_serial"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_edited_middle_reaches_both_the_mlp_and_the_sum(name: str, dtype: torch.dtype, order: str) -> None:
    subject = tiny(name, dtype)
    ids, mask = token_batch("right")
    new = torch.linspace(-2, 2, 32, dtype=dtype).expand(*ids.shape, 32)
    sites = [SiteId(1, kind) for kind in ("resid_mid", "mlp_out", "resid_post")]
    changed, doubled = subject.edit(sites[0], lambda _: new.clone()), subject.edit(sites[1], lambda t: t * 2)
    if order == "edit first":
        with changed, doubled, subject.capture(sites) as got:
            subject.hidden(ids, mask)
    else:
        with subject.capture(sites) as got, doubled, changed:
            subject.hidden(ids, mask)
    middle, mlp_out, post = (got[site] for site in sites)
    layer: Any = subject._layers[1]
    read = {"gpt2": "ln_2", "llama": "post_attention_layernorm", "gpt_neox_serial": "post_attention_layernorm"}
    value = getattr(layer, read[name])(new) if name in read else new
    value = layer.mlp(value)
    value = layer.post_feedforward_layernorm(value) if name == "olmo2" else value
    assert torch.equal(middle, new)
    assert torch.equal(mlp_out, value * 2)
    assert torch.equal(post, new + value * 2)


def test_edits_run_in_order_and_close_in_any() -> None:
    subject = tiny("llama")
    site = SiteId(0, "mlp_act")
    ids = torch.tensor([[4, 9, 30]])
    plus, double = subject.edit(site, lambda t: t + 1), subject.edit(site, lambda t: t * 2)
    plain = subject.activations(ids, None, [site])[site]
    plus.__enter__()
    double.__enter__()
    assert torch.equal(subject.activations(ids, None, [site])[site], (plain + 1) * 2)
    plus.__exit__(None, None, None)
    assert torch.equal(subject.activations(ids, None, [site])[site], plain * 2)
    double.__exit__(None, None, None)
    assert torch.equal(subject.activations(ids, None, [site])[site], plain)
    assert count_hooks(subject) == 0


def test_edit_is_gone_after_an_exception() -> None:
    subject = tiny("gpt2")
    ids, mask = token_batch("none")
    plain = subject.logits(ids, mask)

    def broken(_: Tensor) -> Tensor:
        raise ZeroDivisionError

    blocks = (pytest.raises(ZeroDivisionError), subject.edit(SiteId(1, "resid_mid"), broken))
    with blocks[0], blocks[1], subject.capture([SiteId(0, "head")]):
        subject.hidden(ids, mask)
    assert count_hooks(subject) == 0
    assert torch.equal(subject.logits(ids, mask), plain)


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (lambda t: t.mul_(2), "in place"),
        (lambda t: t[:, :1], r"must return \(1, 2, 48\) float32 on cpu. Got \(1, 1, 48\)"),
        (lambda t: t.double(), "Got .* float64"),
        (lambda t: None, "must return a tensor. Got NoneType"),
    ],
)
def test_wrong_edits_are_refused(fn: Any, message: str) -> None:
    subject = tiny("llama")
    with subject.edit(SiteId(1, "mlp_act"), fn), pytest.raises(UsageError, match=f"edit at L1.mlp_act .*{message}"):
        subject.hidden(torch.tensor([[4, 9]]))


def test_capture_is_refilled_by_every_pass() -> None:
    subject = tiny("mistral")
    site = SiteId(1, "mlp_act")
    one, two = torch.tensor([[4, 9]]), torch.tensor([[8, 3, 7]])
    with subject.capture([site]) as got:
        subject.hidden(one)
        first = got[site]
        subject.hidden(two)
        assert got[site].shape == (1, 3, 48)
    assert first.shape == (1, 2, 48)
    assert torch.equal(got[site], subject.activations(two, None, [site])[site])
    subject.hidden(one)
    assert got[site].shape == (1, 3, 48)


def test_unknown_sites_install_nothing() -> None:
    subject = tiny("llama")
    with pytest.raises(UnknownName):
        subject.capture([SiteId(0, "head"), SiteId(9, "head")])
    with pytest.raises(UnknownName):
        subject.edit(SiteId(0, "neck"), torch.clone)
    assert count_hooks(subject) == 0


def test_no_tensor_is_kept() -> None:
    subject = tiny("qwen2")
    ids, mask = token_batch("right")
    sites = subject.sites()
    with subject.edit(SiteId(1, "resid_mid"), lambda t: t + 1), subject.capture(sites) as got:
        subject.hidden(ids, mask)
        inside = [weakref.ref(tensor) for tensor in got.values()]
    acts = subject.activations(ids, mask, sites[:5])
    inside += [weakref.ref(tensor) for tensor in acts.values()]
    assert len(inside) == len(sites) + 5
    del got, acts
    gc.collect()
    assert [ref() for ref in inside if ref() is not None] == []


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CONFIGS)
def test_early_exit_gives_the_full_passes_activations(name: str, dtype: torch.dtype) -> None:
    subject = tiny(name, dtype)
    ids, mask = token_batch("right")
    sites = subject.sites()
    with subject.capture(sites) as full:
        subject.hidden(ids, mask)
    for site in middle_sites(subject):
        got = subject.activations(ids, mask, [site])
        assert list(got) == [site]
        assert torch.equal(got[site], full[site]), site
    assert count_hooks(subject) == 0


def test_early_exit_skips_what_lies_above() -> None:
    subject = tiny("llama")
    ids, mask = token_batch("none")
    layers: list[Any] = list(subject._layers)
    calls: list[str] = []
    watched = {f"layer {i}": layer for i, layer in enumerate(layers)}
    watched |= {"down 1": layers[1].mlp.down_proj, "norm": subject.model.model.norm}
    handles = [m.register_forward_hook(lambda *_, name=name: calls.append(name)) for name, m in watched.items()]
    subject.activations(ids, mask, [SiteId(0, "resid_post"), SiteId(1, "mlp_act")])
    assert calls == ["layer 0"]
    calls.clear()
    subject.activations(ids, mask, [SiteId(1, "mlp_out")])
    assert calls == ["layer 0", "down 1"]
    calls.clear()
    subject.hidden(ids, mask)
    assert calls == ["layer 0", "down 1", "layer 1", "layer 2", "norm"]
    for handle in handles:
        handle.remove()
    assert LAYERS == 3


def test_early_exit_waits_for_an_outer_capture() -> None:
    subject = tiny("llama")
    ids, mask = token_batch("none")
    low, high = SiteId(0, "mlp_act"), SiteId(2, "mlp_act")
    with subject.capture([high]) as outer:
        inner = subject.activations(ids, mask, [low])
    assert set(outer) == {high}
    assert set(inner) == {low}
    assert torch.equal(outer[high], subject.activations(ids, mask, [high])[high])


def test_no_sites_no_pass() -> None:
    assert tiny("llama").activations(torch.tensor([[4]]), None, []) == {}


def test_gradients_flow_only_when_asked_for() -> None:
    subject = tiny("llama")
    ids = torch.tensor([[4, 9, 30]])
    assert not subject.hidden(ids).requires_grad
    dial = torch.ones((), requires_grad=True)
    with subject.edit(SiteId(1, "mlp_act"), lambda t: t * dial):
        subject.hidden(ids).sum().backward()
    assert dial.grad is not None
    assert dial.grad.abs() > 1e-4
    assert all(weight.grad is None for weight in subject.model.parameters())
