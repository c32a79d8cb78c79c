"""Adapters: in force within the block, drawn by their seed, gone after it."""

from __future__ import annotations

import pytest
import torch

from assay.errors import UsageError
from assay.fit.lora import adapters
from model.tiny_models import CONFIGS, LAYERS, tiny, token_batch

LENGTHS = (7, 5)


def _attributes(subject: object) -> list[tuple[str, type, frozenset[str]]]:
    model = subject.model  # type: ignore[attr-defined]
    return [(name, type(module), frozenset(vars(module))) for name, module in model.named_modules()]


@pytest.mark.parametrize("name", CONFIGS)
def test_nothing_changes_until_they_are_trained_and_nothing_is_left_behind(name: str) -> None:
    subject = tiny(name, torch.float32)
    ids, mask = token_batch("left", LENGTHS)
    before, shape = subject.logits(ids, mask), _attributes(subject)
    seed = torch.initial_seed(), torch.random.get_rng_state()
    with adapters(subject, [1, 2], rank=4, seed=3) as found:
        assert torch.equal(subject.logits(ids, mask), before)
        assert {name.split(".")[0] for name in found.parameters} == {"1", "2"}
        assert all(p.requires_grad and p.dtype == torch.float32 for p in found.parameters.values())
        assert not any(p.requires_grad for n, p in subject.model.named_parameters() if "lora_" not in n)
        for parameter in found.parameters.values():
            parameter.data += 0.1
        changed = subject.logits(ids, mask)
        assert (changed - before).abs().max() > 1e-2
        with found.off():
            assert torch.equal(subject.logits(ids, mask), before)
        assert torch.equal(subject.logits(ids, mask), changed)
        assert all(p.requires_grad for p in found.parameters.values())
    assert torch.equal(subject.logits(ids, mask), before)
    assert _attributes(subject) == shape
    assert torch.equal(torch.random.get_rng_state(), seed[1])


def test_the_product_is_that_of_the_paper() -> None:
    """W x + 2 B A x, whichever way the matrix is stored."""
    for name, module in (("llama", "mlp.down_proj"), ("gpt2", "mlp.c_proj")):
        subject = tiny(name, torch.float32)
        layer = subject._layers[0]
        plain = layer.get_submodule(module)
        with adapters(subject, [0], rank=4, seed=0) as found:
            down, up = (found.parameters[f"0.{module}.lora_{part}.default.weight"] for part in "AB")
            up.data = torch.randn(up.shape, generator=torch.Generator().manual_seed(1))
            x = torch.randn(5, down.shape[1], generator=torch.Generator().manual_seed(2))
            expected = plain(x) + 2 * x @ down.T @ up.T
            assert layer.get_submodule(module)(x).detach() == pytest.approx(expected.detach(), abs=1e-5)


def test_seeds_draw_and_a_second_block_on_a_layer_is_refused() -> None:
    subject = tiny("llama", torch.float32)
    drawn = []
    for seed in (0, 0, 1):
        with adapters(subject, [0], seed=seed) as found:
            drawn.append({name: p.detach().clone() for name, p in found.parameters.items() if "lora_A" in name})
    assert all(torch.equal(drawn[0][name], drawn[1][name]) for name in drawn[0])
    assert not any(torch.equal(drawn[0][name], drawn[2][name]) for name in drawn[0])
    first, second = (drawn[0][f"0.self_attn.{name}_proj.lora_A.default.weight"] for name in ("q", "k"))
    assert not torch.equal(first, second)
    with (
        adapters(subject, [0]),
        pytest.raises(UsageError, match="layer 0 has adapters already"),
        adapters(subject, [0]),
    ):
        pass
    with pytest.raises(UsageError, match=rf"layers 0 to {LAYERS - 1}. Got layer 9"), adapters(subject, [9]):
        pass


def test_adapters_go_when_the_block_fails() -> None:
    subject = tiny("llama", torch.float32)
    kept = subject._layers[0].self_attn.q_proj
    with pytest.raises(ValueError, match="broken"), adapters(subject, [0]):
        raise ValueError("broken")
    assert subject._layers[0].self_attn.q_proj is kept
