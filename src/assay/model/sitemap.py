"""Where the sites are: one row of data an architecture.

All paths are attribute paths: those of the trunk, the layers and the final norm start at the causal language model,
the others at one layer. (Embedding and head have accessors of their own in transformers.) Every tap is a plain tensor,
so that one hook code serves all rows. Dropout is off (a Subject is in eval mode), hence the output of an attention's
last matrix is what it adds to the residual, unless a norm follows, as in OLMo 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from torch import nn

from assay.errors import UnsupportedModel

FORWARD_ORDER = ("resid_pre", "head", "attn_out", "resid_mid", "mlp_act", "mlp_out", "resid_post")
"""The kinds of site in the order in which a layer computes them."""


class Tap(NamedTuple):
    """Where a site's tensor passes: the first input or the output of a module."""

    module: nn.Module
    side: Literal["input", "output"]


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
    parallel: str | None = None
    """Configuration flag that, when true, makes attention and MLP read the same residual: no ``resid_mid`` then."""
    transposed: bool = False
    """Whether matrices are stored (in, out), as GPT-2's ``Conv1D`` does, rather than (out, in)."""


def _llama_like(architecture: str) -> SiteMap:
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
    )


_ROWS = (
    _llama_like("llama"),
    _llama_like("mistral"),
    _llama_like("qwen2"),
    _llama_like("qwen3"),
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
    ),
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
        parallel="use_parallel_residual",
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

    def at(path: str, side: Literal["input", "output"]) -> Tap:
        return Tap(submodule(layer, path, row.architecture), side)

    match kind:
        case "resid_pre":
            return Tap(layer, "input")
        case "head":
            return at(row.o_proj, "input")
        case "attn_out":
            return at(row.attn_out, "output")
        case "resid_mid":
            return at(row.mid, "input")
        case "mlp_act":
            return at(row.down, "input")
        case "mlp_out":
            return at(row.mlp_out, "output")
        case "resid_post":
            return Tap(layer, "output")
        case _:
            raise KeyError(kind)
