"""A pass from a layer on equals the full pass, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from assay.core.ids import SiteId
from assay.errors import UnknownName, UsageError
from model.tiny_models import CONFIGS, LAYERS, count_hooks, finish, tiny, token_batch

DTYPES = (torch.float32, torch.bfloat16)


@pytest.mark.parametrize("padding", ["none", "left", "right"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CONFIGS)
def test_equals_the_full_pass_from_every_layer(name: str, dtype: torch.dtype, padding: str) -> None:
    subject = tiny(name, dtype)
    ids, mask = token_batch(padding)
    full = subject.hidden(ids, mask)
    for layer in range(LAYERS):
        site = SiteId(layer, "resid_pre")
        start = subject.activations(ids, mask, [site])[site]
        assert torch.equal(subject.forward_from(layer, start, mask), full)
        other = start * torch.linspace(-1, 1, 32, dtype=dtype)
        assert not torch.equal(subject.forward_from(layer, other, mask), full)
    assert count_hooks(subject) == 0


@pytest.mark.parametrize("name", CONFIGS)
def test_composes_with_edits_and_captures(name: str) -> None:
    subject = tiny(name)
    ids, mask = token_batch("left")
    site = SiteId(1, "resid_pre")
    start = subject.activations(ids, mask, [site])[site]
    for edited in (site for site in subject.sites() if site.layer == 1):
        with subject.edit(edited, lambda t: t * 2), subject.capture([edited, SiteId(2, "mlp_act")]) as got:
            full = subject.hidden(ids, mask)
            seen = dict(got)
            assert torch.equal(subject.forward_from(1, start, mask), full), edited
            assert all(torch.equal(got[at], seen[at]) for at in seen)
        assert not torch.equal(full, subject.hidden(ids, mask))


def test_layers_below_are_not_run_and_come_back() -> None:
    subject = tiny("gpt_neox")
    layers: Any = subject.model.gpt_neox.layers
    before = list(layers)
    calls: list[int] = []
    handles = [m.register_forward_hook(lambda *_, i=i: calls.append(i)) for i, m in enumerate(layers)]
    subject.forward_from(2, torch.randn(1, 4, 32, generator=torch.Generator().manual_seed(0)))
    for handle in handles:
        handle.remove()
    assert calls == [2]
    assert list(layers) == before


def test_everything_is_back_after_an_exception() -> None:
    subject = tiny("llama")
    before = list(subject.model.model.layers)
    with subject.edit(SiteId(2, "head"), lambda t: t / [][0]), pytest.raises(IndexError):
        subject.forward_from(1, torch.zeros(1, 4, 32))
    assert list(subject.model.model.layers) == before
    assert count_hooks(subject) == 0


def test_an_edit_that_could_not_act_is_refused() -> None:
    subject = tiny("llama")
    with subject.edit(SiteId(0, "mlp_act"), torch.clone):
        subject.forward_from(0, torch.zeros(1, 4, 32))
        with pytest.raises(UsageError, match=r"edit at L0.mlp_act can't act in a pass that starts at layer 1"):
            subject.forward_from(1, torch.zeros(1, 4, 32))


@pytest.mark.parametrize("padding", ["none", "left", "right"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CONFIGS)
def test_advancing_equals_the_full_pass_between_any_two_layers(name: str, dtype: torch.dtype, padding: str) -> None:
    subject = tiny(name, dtype)
    ids, mask = token_batch(padding)
    borders = [SiteId(layer, "resid_pre") for layer in range(LAYERS)] + [SiteId(LAYERS - 1, "resid_post")]
    with subject.capture(subject.sites()) as got:
        full = subject.hidden(ids, mask)
        truth = dict(got)
    for start in range(LAYERS):
        for stop in range(start + 1, LAYERS + 1):
            inside = [site for site in subject.sites() if start <= site.layer < stop]
            with subject.capture(subject.sites()) as got:
                end = subject.advance(start, stop, truth[borders[start]], mask)
            assert torch.equal(end, truth[borders[stop]])
            assert list(got) == inside
            assert all(torch.equal(got[site], truth[site]) for site in inside)
    assert torch.equal(finish(subject, end), full)
    assert count_hooks(subject) == 0


@pytest.mark.parametrize("name", CONFIGS)
def test_edits_act_while_advancing(name: str) -> None:
    subject = tiny(name)
    ids, mask = token_batch("left")
    start, end = SiteId(1, "resid_pre"), SiteId(2, "resid_pre")
    before = subject.activations(ids, mask, [start])[start]
    plain = subject.advance(1, 2, before, mask)
    for edited in (site for site in subject.sites() if site.layer == 1):
        with subject.edit(edited, lambda t: t * 2):
            full = subject.activations(ids, mask, [end])[end]
            assert torch.equal(subject.advance(1, 2, before, mask), full), edited
        assert not torch.equal(full, plain)


def test_only_the_layers_between_are_run() -> None:
    subject = tiny("gpt2")
    layers: Any = subject.model.transformer.h
    before = list(layers)
    calls: list[int] = []
    handles = [m.register_forward_hook(lambda *_, i=i: calls.append(i)) for i, m in enumerate(layers)]
    handles.append(subject.model.transformer.ln_f.register_forward_hook(lambda *_: calls.append(99)))
    hidden = torch.randn(1, 4, 32, generator=torch.Generator().manual_seed(0))
    subject.advance(1, 2, hidden)
    subject.advance(1, 3, hidden)
    for handle in handles:
        handle.remove()
    assert calls == [1, 1, 2]
    assert list(layers) == before
    with subject.edit(SiteId(2, "mlp_act"), torch.clone):
        with pytest.raises(UsageError, match=r"edit at L2.mlp_act can't act in a pass that ends before layer 2"):
            subject.advance(1, 2, hidden)
        subject.advance(1, 3, hidden)
    for start, stop in ((1, 1), (2, 1), (1, 4)):
        with pytest.raises(UsageError, match=rf"stop must be {start + 1} to 3. Got {stop}"):
            subject.advance(start, stop, hidden)


def test_wrong_arguments_are_refused() -> None:
    subject = tiny("llama")
    with pytest.raises(UsageError, match=r"is in fp32. Got a hidden state in bf16"):
        subject.forward_from(1, torch.zeros(1, 4, 32, dtype=torch.bfloat16))
    with pytest.raises(UsageError, match=r"mask must have the shape \(1, 4\). Got \(1, 5\)"):
        subject._mask(torch.zeros(1, 4, 32), torch.ones(1, 5, dtype=torch.long))
    with pytest.raises(UnknownName, match=r"unknown site 'L3.resid_pre'"):
        subject.forward_from(3, torch.zeros(1, 4, 32))
    with pytest.raises(UsageError, match=r"at most 64 tokens. Got 65"):
        subject.hidden(torch.zeros(1, 65, dtype=torch.long))
    with pytest.raises(UsageError, match=r"is in fp32. Got a hidden state in bf16"):
        subject.unembed(torch.zeros(32, dtype=torch.bfloat16))
