"""A control vector that was exported does in llama.cpp what it does here: the same weights, the same logits.

Needs llama-cpp-python, which has to be compiled; without it the test is skipped.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGUFWriter

from assay.core.control_vector import load_control_vector, save_control_vector
from assay.core.direction import Direction
from assay.core.ids import SiteId

IDS = [7, 311, 42, 1999, 5, 87]


def write_model(subject: Any, path: Path) -> None:
    """A Llama as a GGUF file, in fp32 and without a vocabulary."""
    config, weights = subject.model.config, {k: v.float().numpy() for k, v in subject.model.state_dict().items()}
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_rope_freq_base(float(config.rope_parameters["rope_theta"]))
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("no_vocab")
    writer.add_file_type(0)
    writer.add_tensor("token_embd.weight", weights["model.embed_tokens.weight"])
    writer.add_tensor("output_norm.weight", weights["model.norm.weight"])
    writer.add_tensor("output.weight", weights["lm_head.weight"])
    names = {"self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up"}
    names |= {"mlp.down_proj": "ffn_down", "self_attn.v_proj": "attn_v"}
    names |= {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
    heads = {"q": config.num_attention_heads, "k": config.num_key_value_heads}
    for layer in range(config.num_hidden_layers):
        for ours, theirs in names.items():
            writer.add_tensor(f"blk.{layer}.{theirs}.weight", weights[f"model.layers.{layer}.{ours}.weight"])
        for name, count in heads.items():
            matrix = weights[f"model.layers.{layer}.self_attn.{name}_proj.weight"]
            halves = matrix.reshape(count, 2, -1, matrix.shape[1]).swapaxes(1, 2)  # rotary pairs stand side by side
            writer.add_tensor(f"blk.{layer}.attn_{name}.weight", np.ascontiguousarray(halves.reshape(matrix.shape)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def logits_of(llama: Any, path: Path, vectors: dict[SiteId, Direction]) -> np.ndarray:
    """(seq, vocab) of llama.cpp, with a control vector loaded."""
    silent = llama.llama_log_callback(lambda *_: None)  # kept here, since llama.cpp calls it later
    llama.llama_log_set(silent, ctypes.c_void_p(0))
    llama.llama_backend_init()
    model = llama.llama_model_load_from_file(str(path).encode(), llama.llama_model_default_params())
    params = llama.llama_context_default_params()
    params.n_ctx = 64
    context = llama.llama_init_from_model(model, params)
    width, layers = llama.llama_model_n_embd(model), llama.llama_model_n_layer(model)
    added = np.zeros((layers, width), np.float32)  # from layer 1 on
    for site, direction in vectors.items():
        added[site.layer - 1] = direction.scale * direction.vector
    pointer = added.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    assert llama.llama_set_adapter_cvec(context, pointer, added.size, width, 1, layers) == 0
    batch = llama.llama_batch_init(len(IDS), 0, 1)
    batch.n_tokens = len(IDS)
    for at, token in enumerate(IDS):
        batch.token[at], batch.pos[at], batch.n_seq_id[at], batch.logits[at] = token, at, 1, 1
        batch.seq_id[at][0] = 0
    assert llama.llama_decode(context, batch) == 0
    vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))
    found = np.ctypeslib.as_array(llama.llama_get_logits(context), (len(IDS), vocabulary)).copy()
    llama.llama_batch_free(batch)
    llama.llama_free(context)
    llama.llama_model_free(model)
    return found


def test_llama_cpp_steers_by_an_exported_file_as_we_do(ladder: Any, tmp_path: Path) -> None:
    llama = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed; it has to be compiled")
    write_model(ladder, tmp_path / "model.gguf")
    rng = np.random.default_rng(0)
    direction = Direction(SiteId(1, "resid_post"), 5 * rng.standard_normal(ladder.d_model).astype(np.float32))
    save_control_vector(tmp_path / "mood.gguf", [direction], "llama")
    taken = load_control_vector(tmp_path / "mood.gguf")
    ids = torch.tensor([IDS])
    with torch.inference_mode():
        plain = ladder.logits(ids)[0].numpy()
        with ladder.edit(direction.site, lambda h: h + torch.tensor(direction.vector)):
            steered = ladder.logits(ids)[0].numpy()
    theirs = logits_of(llama, tmp_path / "model.gguf", taken)
    assert np.abs(theirs - steered).max() < 1e-3 * np.abs(steered - plain).max()
    assert np.abs(logits_of(llama, tmp_path / "model.gguf", {}) - plain).max() < 1e-3 * np.abs(steered - plain).max()
