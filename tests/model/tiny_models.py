"""Tiny random-weight models of every architecture, a tiny tokenizer, token batches."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTJConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    Olmo2Config,
    OPTConfig,
    Phi3Config,
    PhiConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from assay.model import SITE_MAPS, Subject

VOCAB = 53
LAYERS = 3

_GQA: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": None,
}
_GEMMA: dict[str, Any] = {
    **_GQA,
    "head_dim": 16,
    "sliding_window": 4,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    "query_pre_attn_scalar": 16,
    "final_logit_softcapping": 5.0,
}
_OPT: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "ffn_dim": 48,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": None,
}
_NEOX: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": None,
}

CONFIGS = {
    "llama": lambda: LlamaConfig(**_GQA, tie_word_embeddings=True),
    "mistral": lambda: MistralConfig(**_GQA, sliding_window=4),
    "qwen2": lambda: Qwen2Config(**_GQA),
    "qwen3": lambda: Qwen3Config(**_GQA, head_dim=16),
    "olmo2": lambda: Olmo2Config(**_GQA),
    "gpt2": lambda: GPT2Config(
        vocab_size=VOCAB, n_embd=32, n_layer=LAYERS, n_head=4, n_positions=64, bos_token_id=0, eos_token_id=1
    ),
    "gpt_neox": lambda: GPTNeoXConfig(**_NEOX, use_parallel_residual=True),
    "gpt_neox_serial": lambda: GPTNeoXConfig(**_NEOX, use_parallel_residual=False),
    "gemma2": lambda: Gemma2Config(**_GEMMA, attn_logit_softcapping=3.0),
    "gemma3_text": lambda: Gemma3TextConfig(**_GEMMA),
    "gptj": lambda: GPTJConfig(
        vocab_size=VOCAB,
        n_embd=32,
        n_layer=LAYERS,
        n_head=4,
        n_positions=64,
        rotary_dim=4,
        n_inner=48,
        bos_token_id=0,
        eos_token_id=1,
    ),
    "opt": lambda: OPTConfig(**_OPT),
    "opt_projected": lambda: OPTConfig(**_OPT, word_embed_proj_dim=24),
    "phi": lambda: PhiConfig(**_NEOX, qk_layernorm=True),
    "phi3": lambda: Phi3Config(**_GQA, sliding_window=4),
}
VARIANTS = {"gpt_neox_serial": "gpt_neox", "opt_projected": "opt"}
PARALLEL = ("gpt_neox", "gptj", "phi")
POST_NORMED = ("olmo2", "gemma2", "gemma3_text")


@cache
def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level: two special tokens, then single characters and a few words, 50 in all."""
    words = ["<s>", "</s>", *"abcdefghijklmnopqrstuvwxyz.,", "Ġ", "Ċ", "Ã", "©"]
    merges = [("Ġ", "a"), ("Ġ", "t"), ("h", "e"), ("Ġt", "he"), ("Ã", "©"), ("i", "n"), ("o", "n"), ("r", "e")]
    words += ["".join(pair) for pair in merges]
    tokenizer = Tokenizer(models.BPE(vocab={w: i for i, w in enumerate(words)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<s>", special=True), AddedToken("</s>", special=True)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


def tiny_model(name: str, dtype: torch.dtype = torch.float32) -> Any:
    """Random weights of a size that makes every part of a layer matter."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        config = CONFIGS[name]()
        attention = SITE_MAPS[config.model_type].attention
        model = AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(torch.randn_like(weight) * 0.15)
    return Subject.from_hf(model, tiny_tokenizer()).with_dtype(dtype).model


@cache
def tiny(name: str, dtype: torch.dtype = torch.float32) -> Subject:
    return Subject.from_hf(tiny_model(name, dtype), tiny_tokenizer(), name=f"tiny {name}")


def finish(subject: Subject, residual: torch.Tensor) -> torch.Tensor:
    """What the head is given, from the last residual."""
    hidden = subject.model.get_submodule(subject._row.norm)(residual)
    projection = getattr(subject.model.get_submodule(subject._row.trunk), "project_out", None)
    return hidden if projection is None else projection(hidden)


def count_hooks(subject: Subject) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in subject.model.modules())


def token_batch(padding: str, lengths: tuple[int, ...] = (9, 6, 1), seed: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask, padded on one side to the longest ("none": all of the longest)."""
    generator = torch.Generator().manual_seed(seed)
    longest = max(lengths)
    ids = torch.full((len(lengths), longest), 2)
    mask = torch.zeros_like(ids)
    for row, length in enumerate(lengths):
        tokens = torch.randint(2, VOCAB, (longest,), generator=generator)
        length = longest if padding == "none" else length
        where = slice(longest - length, longest) if padding == "left" else slice(0, length)
        ids[row, where] = tokens[:length]
        mask[row, where] = 1
    return ids, mask
