"""The model whose weights are planted."""

from __future__ import annotations

from typing import Any


def blank_llama(
    *,
    vocabulary: int,
    width: int,
    neurons: int,
    layers: int,
    heads: int,
    rope_base: float,
    head_width: int | None = None,
) -> Any:
    """A small Llama with its own head, whose weights are still to be written; 256 tokens at most."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=neurons,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=heads,
            head_dim=head_width,
            max_position_embeddings=256,
            rope_parameters={"rope_type": "default", "rope_theta": rope_base},
            rms_norm_eps=1e-6,
            tie_word_embeddings=False,
            bos_token_id=0,
            eos_token_id=0,
            pad_token_id=0,
        )
    )
