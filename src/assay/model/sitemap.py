"""Where the sites are: one row of data an architecture.

All paths are attribute paths: those of the trunk, the layers and the final norm start at the causal language model,
the others at one layer. (Embedding and head have accessors of their own in transformers.) Every tap is a plain tensor,
so that one hook code serves all rows. Dropout is off (a Subject is in eval mode), hence the output of an attention's
last matrix is what it adds to the residual, unless a norm follows, as in OLMo 2 and Gemma.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from torch import nn

from assay.core.ids import SiteId
from assay.errors import UnsupportedModel

FORWARD_ORDER = ("resid_pre", "head", "attn_out", "resid_mid", "mlp_act", "mlp_out", "resid_post")
"""The kinds of site in the order in which a layer computes them."""


class Tap(NamedTuple):
    """Where a site's tensor passes: the first input or the output of a module."""

    module: nn.Module
    side: Literal["input", "output"]


class Need(NamedTuple):
    """A setting that a configuration must have, and why another one can't be mapped."""

    key: str
    value: object
    why: str


@dataclass(frozen=True)
class SiteMap:
    """One architecture. ``architecture`` is the ``model_type`` of its Hugging Face configuration."""

    architecture: str
    trunk: str
    layers: str
    norm: str
    o_proj: str
    """Last matrix of the attention: its input is the site ``head``."""
    attn_out: str
    """Module whose output attention adds to the residual."""
    mid: str
    """First module that reads the residual after attention: its input is the site ``resid_mid``."""
    down: str
    """Last matrix of the MLP: its input is the site ``mlp_act``."""
    mlp_out: str
    """Module whose output the MLP adds to the residual."""
    mlp_in: Mapping[str, str]
    """By name, the MLP's matrices that read the residual. Two names with one path are halves of its rows, in order."""
    unit_gain: bool = False
    """Whether a norm multiplies by 1 + its weight rather than by its weight."""
    parallel: bool | str = False
    """Whether attention and MLP read the same residual, so that there is no ``resid_mid``; or the configuration flag
    that says so."""
    transposed: bool = False
    """Whether matrices are stored (in, out), as GPT-2's ``Conv1D`` does, rather than (out, in)."""
    tuples: bool = False
    """Whether a layer returns a tuple that begins with the residual, rather than the residual."""
    flat_mlp: bool = False
    """Whether the MLP works on (batch * seq, width)."""
    softcap: str | None = None
    """Configuration key of the bound c that logits are pressed into as c tanh(logits / c), if it is set."""
    attention: str = "sdpa"
    """The attention implementation that it is loaded with: transformers' fastest one that is exact here."""
    needs: tuple[Need, ...] = ()


_GATED = {"gate": "mlp.gate_proj", "up": "mlp.up_proj"}
_CAUSAL = Need("use_bidirectional_attention", False, "its tokens see what comes after them")
_NORM_FIRST = Need("do_layer_norm_before", True, "norms in its residual stream keep its parts from adding up")


def _llama_like(architecture: str, mlp_in: Mapping[str, str] = _GATED) -> SiteMap:
    return SiteMap(
        architecture=architecture,
        trunk="model",
        layers="model.layers",
        norm="model.norm",
        o_proj="self_attn.o_proj",
        attn_out="self_attn.o_proj",
        mid="post_attention_layernorm",
        down="mlp.down_proj",
        mlp_out="mlp",
        mlp_in=mlp_in,
    )


def _gemma(architecture: str, attention: str, *needs: Need) -> SiteMap:
    return SiteMap(
        architecture=architecture,
        trunk="model",
        layers="model.layers",
        norm="model.norm",
        o_proj="self_attn.o_proj",
        attn_out="post_attention_layernorm",
        mid="pre_feedforward_layernorm",
        down="mlp.down_proj",
        mlp_out="post_feedforward_layernorm",
        mlp_in=_GATED,
        unit_gain=True,
        softcap="final_logit_softcapping",
        attention=attention,
        needs=needs,
    )


_ROWS = (
    _llama_like("llama"),
    _llama_like("mistral"),
    _llama_like("qwen2"),
    _llama_like("qwen3"),
    _llama_like("phi3", {"gate": "mlp.gate_up_proj", "up": "mlp.gate_up_proj"}),
    SiteMap(
        architecture="olmo2",
        trunk="model",
        layers="model.layers",
        norm="model.norm",
        o_proj="self_attn.o_proj",
        attn_out="post_attention_layernorm",
        mid="mlp",
        down="mlp.down_proj",
        mlp_out="post_feedforward_layernorm",
        mlp_in=_GATED,
    ),
    _gemma("gemma2", "eager"),
    _gemma("gemma3_text", "sdpa", _CAUSAL),
    SiteMap(
        architecture="gpt2",
        trunk="transformer",
        layers="transformer.h",
        norm="transformer.ln_f",
        o_proj="attn.c_proj",
        attn_out="attn.c_proj",
        mid="ln_2",
        down="mlp.c_proj",
        mlp_out="mlp",
        mlp_in={"in": "mlp.c_fc"},
        transposed=True,
    ),
    SiteMap(
        architecture="gpt_neox",
        trunk="gpt_neox",
        layers="gpt_neox.layers",
        norm="gpt_neox.final_layer_norm",
        o_proj="attention.dense",
        attn_out="attention.dense",
        mid="post_attention_layernorm",
        down="mlp.dense_4h_to_h",
        mlp_out="mlp",
        mlp_in={"in": "mlp.dense_h_to_4h"},
        parallel="use_parallel_residual",
    ),
    SiteMap(
        architecture="gptj",
        trunk="transformer",
        layers="transformer.h",
        norm="transformer.ln_f",
        o_proj="attn.out_proj",
        attn_out="attn.out_proj",
        mid="ln_1",
        down="mlp.fc_out",
        mlp_out="mlp",
        mlp_in={"in": "mlp.fc_in"},
        parallel=True,
        tuples=True,
        attention="eager",
    ),
    SiteMap(
        architecture="opt",
        trunk="model.decoder",
        layers="model.decoder.layers",
        norm="model.decoder.final_layer_norm",
        o_proj="self_attn.out_proj",
        attn_out="self_attn.out_proj",
        mid="final_layer_norm",
        down="fc2",
        mlp_out="fc2",
        mlp_in={"in": "fc1"},
        flat_mlp=True,
        needs=(_NORM_FIRST, Need("_remove_final_layer_norm", False, "it has no final norm")),
    ),
    SiteMap(
        architecture="phi",
        trunk="model",
        layers="model.layers",
        norm="model.final_layernorm",
        o_proj="self_attn.dense",
        attn_out="self_attn.dense",
        mid="input_layernorm",
        down="mlp.fc2",
        mlp_out="mlp",
        mlp_in={"in": "mlp.fc1"},
        parallel=True,
    ),
)

SITE_MAPS = {row.architecture: row for row in _ROWS}


def site_map(architecture: str) -> SiteMap:
    """The row of an architecture.

    Raises:
        UnsupportedModel: there is none.
    """
    row = SITE_MAPS.get(architecture)
    if row is None:
        raise UnsupportedModel(f"architecture {architecture!r} is not supported; supported: {', '.join(SITE_MAPS)}")
    return row


def check_needs(row: SiteMap, config: Mapping[str, Any]) -> None:
    """Refuse a configuration that the row does not describe. A setting that is left out or None is the right one.

    Raises:
        UnsupportedModel: with the setting and the reason.
    """
    for key, value, why in row.needs:
        got = config.get(key)
        if got is not None and got != value:
            raise UnsupportedModel(
                f"a model of architecture {row.architecture!r} with {key} = {got} is not supported: {why}"
            )


def submodule(root: nn.Module, path: str, architecture: str) -> nn.Module:
    """The module at an attribute path.

    Raises:
        UnsupportedModel: nothing is there.
    """
    try:
        return root.get_submodule(path)
    except AttributeError:
        raise UnsupportedModel(
            f"a {type(root).__name__} has no module {path!r}, which the site map of {architecture!r} needs; "
            "give a plain causal language model of that architecture"
        ) from None


def tap(row: SiteMap, layer: nn.Module, kind: str) -> Tap:
    """Where the tensor of a kind of site passes in a layer."""
    if (module := SiteId(0, kind).module) is not None:
        return Tap(submodule(layer, module, row.architecture), "output")
    match kind:
        case "resid_pre":
            return Tap(layer, "input")
        case "resid_post":
            return Tap(layer, "output")
        case "head":
            path, side = row.o_proj, "input"
        case "attn_out":
            path, side = row.attn_out, "output"
        case "resid_mid":
            path, side = row.mid, "input"
        case "mlp_act":
            path, side = row.down, "input"
        case "mlp_out":
            path, side = row.mlp_out, "output"
        case _:
            raise KeyError(kind)
    return Tap(submodule(layer, path, row.architecture), side)
