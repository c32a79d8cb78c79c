"""Captured sites against the same quantities computed by hand from the weights."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest
import torch
from torch import Tensor

from assay.core.ids import SiteId, UnitId
from assay.errors import UnknownName, UsageError
from assay.model import Subject
from model.tiny_models import CONFIGS, LAYERS, PARALLEL, POST_NORMED, finish, tiny, token_batch

DTYPES = (torch.float32, torch.bfloat16)


def captured(subject: Subject, layer: int, padding: str = "right") -> dict[str, Tensor]:
    ids, mask = token_batch(padding)
    sites = [site for site in subject.sites() if site.layer == layer]
    with subject.capture(sites) as got:
        subject.hidden(ids, mask)
    return {site.kind: got[site] for site in sites}


def neurons_by_hand(name: str, layer: Any, at: dict[str, Tensor]) -> Tensor:
    if name.startswith("opt"):
        return layer.activation_fn(layer.fc1(layer.final_layer_norm(at["resid_mid"].flatten(0, 1)))).unflatten(
            0, (3, 9)
        )
    mlp = layer.mlp
    match name:
        case "olmo2":
            x = at["resid_mid"]
        case "gemma2" | "gemma3_text":
            x = layer.pre_feedforward_layernorm(at["resid_mid"])
        case "gptj":
            return mlp.act(mlp.fc_in(layer.ln_1(at["resid_pre"])))
        case "phi":
            return mlp.activation_fn(mlp.fc1(layer.input_layernorm(at["resid_pre"])))
        case "phi3":
            gate, up = mlp.gate_up_proj(layer.post_attention_layernorm(at["resid_mid"])).chunk(2, -1)
            return mlp.activation_fn(gate) * up
        case "gpt2":
            return mlp.act(mlp.c_fc(layer.ln_2(at["resid_mid"])))
        case "gpt_neox":
            return mlp.act(mlp.dense_h_to_4h(layer.post_attention_layernorm(at["resid_pre"])))
        case "gpt_neox_serial":
            return mlp.act(mlp.dense_h_to_4h(layer.post_attention_layernorm(at["resid_mid"])))
        case _:
            x = layer.post_attention_layernorm(at["resid_mid"])
    return mlp.act_fn(mlp.gate_proj(x)) * mlp.up_proj(x)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CONFIGS)
def test_neurons_are_what_the_mlp_computes(name: str, dtype: torch.dtype) -> None:
    subject = tiny(name, dtype)
    for layer in range(LAYERS):
        at = captured(subject, layer)
        assert torch.equal(at["mlp_act"], neurons_by_hand(name, subject._layers[layer], at))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CONFIGS)
def test_sites_add_up_to_the_residual(name: str, dtype: torch.dtype) -> None:
    subject = tiny(name, dtype)
    at = captured(subject, 1)
    if name in PARALLEL:
        assert "resid_mid" not in at
        assert torch.equal(at["mlp_out"] + at["attn_out"] + at["resid_pre"], at["resid_post"])
    else:
        assert torch.equal(at["resid_pre"] + at["attn_out"], at["resid_mid"])
        assert torch.equal(at["resid_mid"] + at["mlp_out"], at["resid_post"])
    assert torch.equal(at["resid_post"], captured(subject, 2)["resid_pre"])
    assert not torch.equal(at["resid_pre"], at["resid_post"])


@pytest.mark.parametrize("name", CONFIGS)
def test_first_and_last_residual(name: str) -> None:
    subject = tiny(name)
    ids, mask = token_batch("none")
    first, last = SiteId(0, "resid_pre"), SiteId(LAYERS - 1, "resid_post")
    with subject.capture([first, last]) as got:
        hidden = subject.hidden(ids, mask)
    assert torch.equal(got[first], embedded_by_hand(name, subject.model, ids))
    assert torch.equal(finish(subject, got[last]), hidden)
    assert hidden.shape[-1] == (24 if name == "opt_projected" else 32)


def embedded_by_hand(name: str, model: Any, ids: Tensor) -> Tensor:
    embedded = model.get_input_embeddings().weight[ids]
    seq = ids.shape[1]
    match name:
        case "gpt2":
            return embedded + model.transformer.wpe.weight[:seq]
        case "gemma2" | "gemma3_text":
            return embedded * 32**0.5
        case "opt":
            return embedded + model.model.decoder.embed_positions.weight[2 : seq + 2]
        case "opt_projected":
            decoder = model.model.decoder
            return decoder.project_in(embedded) + decoder.embed_positions.weight[2 : seq + 2]
        case _:
            return embedded


@pytest.mark.parametrize("name", CONFIGS)
def test_logits_are_the_models_own(name: str) -> None:
    subject = tiny(name)
    ids, mask = token_batch("right")
    own = subject.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    assert torch.equal(subject.logits(ids, mask)[mask.bool()], own[mask.bool()])


@pytest.mark.parametrize("name", [name for name in CONFIGS if name not in POST_NORMED])
def test_attention_output_is_the_heads_through_the_last_matrix(name: str) -> None:
    subject = tiny(name)
    at = captured(subject, 1)
    written = at["head"] @ subject.write_matrix(SiteId(1, "head")).T
    matrix: Any = subject._layers[1].get_submodule(subject._row.o_proj)
    bias = 0 if matrix.bias is None else matrix.bias
    torch.testing.assert_close(written + bias, at["attn_out"], rtol=1e-4, atol=1e-5)


def test_heads_are_concatenated_in_order() -> None:
    """Llama, one token: attention returns the value itself, each key-value head serving two query heads."""
    subject = tiny("llama")
    with subject.capture([SiteId(0, "resid_pre"), SiteId(0, "head")]) as got:
        subject.hidden(torch.tensor([[5]]))
    layer: Any = subject._layers[0]
    values = layer.self_attn.v_proj(layer.input_layernorm(got[SiteId(0, "resid_pre")])).reshape(2, 8)
    torch.testing.assert_close(got[SiteId(0, "head")].reshape(4, 8), values.repeat_interleave(2, 0))


@pytest.mark.parametrize("name", [name for name in CONFIGS if name not in POST_NORMED])
def test_write_vector_is_what_a_neuron_adds(name: str) -> None:
    subject = tiny(name)
    ids, mask = token_batch("none")
    unit = UnitId(SiteId(1, "mlp_act"), 11)
    one = torch.zeros(subject.width(unit.site))
    one[unit.index] = 1
    with subject.capture([SiteId(1, "mlp_out")]) as plain:
        subject.hidden(ids, mask)
    with subject.edit(unit.site, lambda acts: acts + one), subject.capture([SiteId(1, "mlp_out")]) as more:
        subject.hidden(ids, mask)
    added = more[SiteId(1, "mlp_out")] - plain[SiteId(1, "mlp_out")]
    torch.testing.assert_close(added, subject.write_vector(unit).expand_as(added), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("padding", ["left", "right"])
@pytest.mark.parametrize("name", CONFIGS)
def test_shapes(name: str, padding: str) -> None:
    subject = tiny(name)
    inner = 4 * 32 if name == "gpt2" else 48
    heads = 4 * 16 if name in ("qwen3", "gemma2", "gemma3_text") else 32
    for kind, tensor in captured(subject, 1, padding).items():
        width = {"mlp_act": inner, "head": heads}.get(kind, 32)
        assert tensor.shape == (3, 9, width)
        assert subject.width(SiteId(1, kind)) == width


@pytest.mark.parametrize("name", CONFIGS)
def test_left_padding_gives_the_numbers_of_right_padding(name: str) -> None:
    subject = tiny(name)
    left, right = (token_batch(padding) for padding in ("left", "right"))
    sites = subject.sites()
    on_left, on_right = (subject.activations(ids, mask, sites) for ids, mask in (left, right))
    for site in sites:
        real = on_left[site][left[1].bool()]
        torch.testing.assert_close(real, on_right[site][right[1].bool()], rtol=1e-4, atol=1e-5)
    hidden = subject.hidden(*left)[left[1].bool()]
    torch.testing.assert_close(hidden, subject.hidden(*right)[right[1].bool()], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("padding", ["left", "right"])
@pytest.mark.parametrize("name", CONFIGS)
def test_padding_does_not_reach_real_tokens(name: str, padding: str) -> None:
    subject = tiny(name)
    ids, mask = token_batch(padding)
    other = torch.where(mask.bool(), ids, 40)
    real = mask.bool()
    assert torch.equal(subject.hidden(ids, mask)[real], subject.hidden(other, mask)[real])
    alone = subject.hidden(ids[1:2][mask[1:2].bool()][None])
    torch.testing.assert_close(subject.hidden(ids, mask)[1][real[1]], alone[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CONFIGS)
def test_padded_positions_stay_finite(name: str, dtype: torch.dtype) -> None:
    subject = tiny(name, dtype)
    acts = subject.activations(*token_batch("left"), subject.sites())
    assert all(bool(tensor.isfinite().all()) for tensor in acts.values())


def test_left_out_mask_means_all_real() -> None:
    subject = tiny("qwen2")
    ids, mask = token_batch("none")
    assert torch.equal(subject.hidden(ids), subject.hidden(ids, mask))


def test_sites_are_listed_in_the_order_of_the_pass() -> None:
    subject = tiny("llama")
    order: list[SiteId] = []

    def note(site: SiteId) -> Any:
        def fn(tensor: Tensor) -> Tensor:
            order.append(site)
            return tensor

        return fn

    with ExitStack() as stack:
        for site in reversed(subject.sites()):
            stack.enter_context(subject.edit(site, note(site)))
        subject.hidden(torch.tensor([[3, 4]]))
    assert order == subject.sites()
    assert [str(site) for site in order[:3]] == ["L0.resid_pre", "L0.head", "L0.attn_out"]


def test_layer_out_of_range() -> None:
    with pytest.raises(UnknownName, match=r"unknown site 'L3.mlp_act'; did you mean 'L\d.mlp_act'\? .*0 to 2"):
        tiny("llama").check_site(SiteId(3, "mlp_act"))
    with pytest.raises(UnknownName, match="layers of tiny llama run from 0 to 2"):
        tiny("llama").width(SiteId(-1, "resid_pre"))


def test_unknown_kind_suggests_the_nearest() -> None:
    with pytest.raises(UnknownName) as caught:
        tiny("gpt2").check_site(SiteId(1, "mlp_acts"))
    assert caught.value.suggestion == "L1.mlp_act"


def test_parallel_layers_have_no_middle() -> None:
    assert SiteId(0, "resid_mid") in tiny("gpt_neox_serial").sites()
    with pytest.raises(UnknownName, match="attention and MLP read the same residual"):
        tiny("gpt_neox").check_site(SiteId(0, "resid_mid"))


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        ("L0.mlp_act:48", "has units 0 to 47"),
        ("L0.head:4", "L0.head has units 0 to 3"),
        ("L0.resid_pre:3", "has no write vector"),
        ("L0.head:3", "has no write vector"),
        ("L0.resid_pre:@x", "there is no direction L0.resid_pre:@x; give its file"),
    ],
)
def test_write_vector_refuses(unit: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        tiny("llama").write_vector(UnitId.parse(unit))


def test_only_two_kinds_of_site_are_multiplied_by_a_matrix() -> None:
    with pytest.raises(UsageError, match=r"L0.mlp_out is not multiplied by a matrix; only mlp_act and head are"):
        tiny("llama").write_matrix(SiteId(0, "mlp_out"))


@pytest.mark.parametrize("name", CONFIGS)
def test_the_unembedding_is_given_where_it_is_all(name: str) -> None:
    subject = tiny(name)
    matrix = subject.unembedding()
    assert (matrix is None) == (name in ("gemma2", "gemma3_text", "gptj", "phi"))
    if matrix is not None:
        hidden = subject.hidden(*token_batch("none"))
        assert torch.equal(hidden @ matrix.T, subject.unembed(hidden))


@pytest.mark.parametrize("name", CONFIGS)
def test_the_logits_of_some_tokens_are_those_of_all(name: str) -> None:
    subject, tokens = tiny(name), torch.tensor([7, 3, 11, 3])
    hidden = subject.hidden(*token_batch("right"))
    whole = subject.unembed(hidden)
    some = subject.unembed(hidden, tokens)
    assert some.shape == (*hidden.shape[:-1], 4)
    assert torch.allclose(some, whole[..., tokens], atol=1e-6)
    assert not torch.allclose(some[..., 0], some[..., 1])
