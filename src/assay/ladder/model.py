"""The models of the family: Llama's architecture, one width, and depth as the only axis."""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

import torch
from torch import Tensor

CONTEXT = 512
HEADS = 4
SPREAD = 0.02  # standard deviation of fresh weights
ATTENTION = "assay_causal"

_WEIGHTS = 2  # what is drawn from the seed: the weights here, the data's order in stream.py
_WRITES = re.compile(r"\.(o_proj|down_proj)\.weight$")


class Shape(NamedTuple):
    """Sizes of a model. The MLP is 8/3 as wide as the residual, up to the next multiple of 32."""

    layers: int
    width: int = 96
    vocabulary: int = 4096

    @property
    def inner(self) -> int:
        """Neurons a layer."""
        return 32 * math.ceil(self.width / 12)

    @property
    def parameters(self) -> int:
        """Numbers in the model; the head is the embedding."""
        layer = 4 * self.width**2 + 3 * self.width * self.inner + 2 * self.width
        return self.layers * layer + self.vocabulary * self.width + self.width


def configuration(shape: Shape) -> Any:
    """The ``transformers.LlamaConfig`` of a shape, with :data:`CONTEXT` positions and the token 0 as begin and end."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        initializer_range=SPREAD,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
        architectures=["LlamaForCausalLM"],
    )


def fresh_model(shape: Shape, seed: int, attention: str = "sdpa") -> Any:
    """A ``LlamaForCausalLM`` in fp32 whose weights are drawn from the seed alone; the global generator stays as it is.

    Matrices are normal with :data:`SPREAD`, those that write into the residual divided by the square root of the
    number of their writes, as in GPT-2 (Radford et al. 2019, section 2.3); norms are one.
    """
    from transformers import LlamaForCausalLM

    config = configuration(shape)
    config._attn_implementation = attention
    with torch.random.fork_rng(devices=[]):
        model: Any = LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(seed * 4 + _WEIGHTS)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim < 2:
                weight.fill_(1.0)
                continue
            spread = SPREAD / math.sqrt(2 * shape.layers) if _WRITES.search(name) else SPREAD
            weight.copy_(torch.randn(weight.shape, generator=generator) * spread)
    return model


def register_attention() -> str:
    """Make :func:`causal_attention` known to transformers, and return its name there."""
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION, causal_attention)
    return ATTENTION


def causal_attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, scaling: float, **_: Any
) -> tuple[Tensor, None]:
    """Attention of windows without padding on their left as two batched products: (b, h, s, d) each, to (b, s, h, d).

    For heads of 24 numbers, backward through torch's fused attention takes several times as long on a CPU.
    """
    b, h, s, d = query.shape
    q, k, v = (x.reshape(b * h, s, d) for x in (query * scaling, key, value))
    later = torch.full((s, s), float("-inf"), dtype=q.dtype, device=q.device).triu(1)
    scores = torch.baddbmm(later, q, k.transpose(1, 2))
    mixed = torch.bmm(scores.softmax(-1).to(v.dtype), v)
    return mixed.view(b, h, s, d).transpose(1, 2), None
