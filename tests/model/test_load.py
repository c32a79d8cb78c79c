"""Loading by name, by directory, by hub id; dtype and device; every way in which it can fail."""

from __future__ import annotations

import json
from logging import INFO
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.utils import logging

from assay.core.ids import SiteId
from assay.errors import UnknownName, UnsupportedModel, UsageError
from assay.model import load, placement
from model.tiny_models import CONFIGS, tiny, tiny_model, tiny_tokenizer, token_batch


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    directory = tmp_path / "tiny"
    tiny_model("llama").save_pretrained(directory)
    tiny_tokenizer().save_pretrained(directory)
    return directory


def test_directory(saved: Path, capfd: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    subject = load(saved, dtype=torch.float32, device="cpu", progress=said.append)
    ids, mask = token_batch("right")
    assert torch.equal(subject.logits(ids, mask), tiny("llama").logits(ids, mask))
    assert subject.fingerprint == tiny("llama").fingerprint
    assert subject.name == str(saved)
    assert subject.attention == "sdpa"
    assert subject.reason == "fp32: asked for; cpu: asked for"
    assert said == [f"loading {saved} (fp32: asked for; cpu: asked for)"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "llama"])
def test_round_trip_of_other_architectures(name: str, tmp_path: Path) -> None:
    tiny_model(name).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    subject = load(tmp_path, dtype="fp32", device="cpu")
    assert subject.fingerprint == tiny(name).fingerprint
    low = load(tmp_path, dtype="bf16", device="cpu")
    ids, mask = token_batch("left")
    assert torch.equal(low.hidden(ids, mask), tiny(name, torch.bfloat16).hidden(ids, mask))


def test_settings_of_transformers_are_put_back(saved: Path) -> None:
    def hook(factory: Any, args: Any, kwargs: Any) -> Any:
        return factory(*args, **kwargs)

    before = logging.set_tqdm_hook(hook)
    level = logging.get_verbosity()
    logging.set_verbosity_info()
    try:
        (saved / "model.safetensors").write_bytes(b"short")
        with pytest.raises(UsageError):
            load(saved, dtype="fp32")
        assert logging.get_verbosity() == INFO
        assert logging.set_tqdm_hook(before) is hook
    finally:
        logging.set_verbosity(level)
        logging.set_tqdm_hook(before)


def test_dtype_and_device_are_chosen_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(placement, "computes_bf16", lambda device: True)
    chosen = placement.place(None, None)
    assert (chosen.dtype, chosen.device) == (torch.bfloat16, torch.device("cpu"))
    assert chosen.reason == "bf16: fastest here for recording and generating; cpu: no CUDA device is there"
    monkeypatch.setattr(placement, "computes_bf16", lambda device: False)
    assert placement.place(None, "cpu").reason == "fp32: this processor has no bf16 arithmetic; cpu: asked for"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert placement.place("fp32", None).reason == "fp32: asked for; cuda:1: a CUDA device is there"
    assert placement.place("float16", "cuda").device == torch.device("cuda", 1)
    with pytest.raises(UsageError, match="'cuda:2' was asked for, but torch sees 2 CUDA devices"):
        placement.place(None, "cuda:2")


@pytest.mark.parametrize(
    ("dtype", "device", "message"),
    [
        ("bf61", None, "unknown dtype 'bf61'; did you mean 'bf16'"),
        (torch.int8, None, "dtype must be one of bf16, fp32, .* Got torch.int8"),
        (None, "gpu", "'gpu' is not a device"),
        (None, "meta", "device 'meta' is not supported"),
    ],
)
def test_wrong_dtype_or_device(dtype: Any, device: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load(dtype=dtype, device=device)


def test_absent_cuda_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="device 'cuda' was asked for, but torch sees 0 CUDA devices; try cpu"):
        load(device="cuda")


def test_unknown_short_name_suggests() -> None:
    with pytest.raises(UnknownName, match="unknown model 'smolm2-135m'; did you mean 'smollm2-135m'") as caught:
        load("smolm2-135m")
    assert caught.value.exit_code == 2
    with pytest.raises(UnknownName, match=r"unknown model 'gpt2'; .*Hugging Face id, owner/name"):
        load("gpt2")


def test_paths_that_are_no_models(tmp_path: Path, saved: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no directory .*nowhere"):
        load(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"there is no directory \./nowhere"):
        load("./nowhere")
    with pytest.raises(UsageError, match="neither a directory nor a Hugging Face id"):
        load("one/two/three")
    with pytest.raises(UsageError, match=r"model.safetensors is a file; give the directory"):
        load(saved / "model.safetensors")
    with pytest.raises(UsageError, match=r"has no config\.json"):
        load(tmp_path)
    for text in ("{", "[]", "{}"):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(UsageError, match=r"config\.json is not a model configuration"):
            load(tmp_path)


def test_architecture_is_refused_by_the_configuration_alone(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bloom"}')
    with pytest.raises(UnsupportedModel, match="architecture 'bloom' is not supported; supported: llama, mistral"):
        load(tmp_path)


def test_broken_directories(saved: Path) -> None:
    weights = saved / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    with pytest.raises(UsageError, match=r"the weights in .* are damaged") as caught:
        load(saved)
    assert "\n" not in str(caught.value)
    weights.unlink()
    with pytest.raises(UsageError, match=r"tiny holds no weights in safetensors"):
        load(saved)
    weights.write_bytes(whole)
    for path in saved.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(UsageError, match="can't load the model in"):
        load(saved)


def test_missing_weights_are_not_invented(saved: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(saved / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, saved / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UnsupportedModel, match=r"lack 1 tensors, model\.layers\.1\.mlp\.up_proj\.weight among them"):
        load(saved)


def test_weights_of_another_shape_are_refused(saved: Path) -> None:
    config = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps(config | {"intermediate_size": 40}))
    with pytest.raises(UsageError, match="can't load the model in"):
        load(saved)


def test_default_model() -> None:
    subject = load()
    assert (subject.architecture, subject.n_layers, subject.d_model, subject.n_heads) == ("llama", 30, 576, 9)
    assert subject.width(SiteId(10, "mlp_act")) == 1536
    ids = torch.tensor([subject.tokenizer.encode("The capital of France is")])
    assert subject.token_texts()[int(subject.logits(ids)[0, -1].argmax())] == " Paris"
    start = SiteId(20, "resid_pre")
    hidden = subject.activations(ids, None, [start])[start]
    assert torch.equal(subject.forward_from(20, hidden), subject.hidden(ids))
