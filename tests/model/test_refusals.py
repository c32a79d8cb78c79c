"""What is refused by name, and what is run when it is asked for by name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import OPTConfig

from assay.errors import ActivationError, UnsupportedModel, UsageError
from assay.model import Subject, load, placement
from assay.model.refusals import check_directory, check_weights
from model.tiny_models import tiny, tiny_model, tiny_tokenizer, token_batch


def config_in(directory: Path, **config: Any) -> Path:
    (directory / "config.json").write_text(json.dumps(config))
    return directory


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "mixtral"},
        {"model_type": "qwen3_moe"},
        {"model_type": "phimoe"},
        {"model_type": "olmoe"},
        {"model_type": "gpt_oss"},
        {"model_type": "deepseek_v3"},
        {"model_type": "llama4", "text_config": {"num_local_experts": 16}},
        {"model_type": "llama", "num_experts": 8},
        {"model_type": "brand_new", "text_config": {"n_routed_experts": 64}},
    ],
    ids=lambda config: config["model_type"],
)
def test_mixtures_of_experts_are_refused_by_name(config: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(
        UnsupportedModel, match=rf"a/b is a mixture of experts \({config['model_type']}\).*take a dense"
    ):
        check_directory(config_in(tmp_path, **config), "a/b", None)


@pytest.mark.parametrize("config", [{"num_experts": 1}, {"num_local_experts": None}, {"text_config": None}])
def test_one_expert_is_no_mixture(config: dict[str, Any], tmp_path: Path) -> None:
    assert check_directory(config_in(tmp_path, model_type="llama", **config), "a/b", None) is False


def test_settings_that_a_row_does_not_describe(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=r"'opt' with do_layer_norm_before = False is not supported: norms in"):
        check_directory(config_in(tmp_path, model_type="opt", do_layer_norm_before=False), "a/b", None)
    with pytest.raises(UnsupportedModel, match=r"'gemma3_text' with use_bidirectional_attention = True"):
        check_directory(config_in(tmp_path, model_type="gemma3_text", use_bidirectional_attention=True), "a/b", None)
    with pytest.raises(UnsupportedModel, match=r"takes images .* its text-only form is: gemma3_text"):
        check_directory(config_in(tmp_path, model_type="gemma3"), "a/b", None)


def test_an_object_with_such_settings_is_refused_as_well() -> None:
    from transformers import OPTForCausalLM

    config = OPTConfig(
        vocab_size=53, hidden_size=32, ffn_dim=48, num_hidden_layers=1, num_attention_heads=4, pad_token_id=None
    )
    config.do_layer_norm_before = False
    with pytest.raises(UnsupportedModel, match="do_layer_norm_before = False"):
        Subject.from_hf(OPTForCausalLM(config), tiny_tokenizer())


OWN_CODE = """
from pathlib import Path
from transformers import LlamaForCausalLM

Path({ran!r}).touch()

class Own(LlamaForCausalLM):
    mark = "own"
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny Llama that brings a class of its own, which leaves a file behind when it is imported."""
    directory = tmp_path / "own"
    tiny_model("llama").save_pretrained(directory)
    tiny_tokenizer().save_pretrained(directory)
    (directory / "modeling_own.py").write_text(OWN_CODE.format(ran=str(tmp_path / "ran")))
    change(directory, auto_map={"AutoModelForCausalLM": "modeling_own.Own"})
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    return directory


def change(directory: Path, file: str = "config.json", **changes: Any) -> None:
    path = directory / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_code_of_its_own_is_not_run_unless_asked_for_by_name(own: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"brings code of its own \(modeling_own.Own\).* --trust-remote-code /"
    ) as caught:
        load(own, dtype="fp32")
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match=r"code of 'another/model' was allowed to run, but the model is '.*own'"):
        load(own, dtype="fp32", trust_remote_code="another/model")
    assert not (tmp_path / "ran").exists()


def test_code_of_its_own_runs_when_asked_for_by_name(own: Path, tmp_path: Path) -> None:
    subject = load(own, dtype="fp32", device="cpu", trust_remote_code=str(own))
    assert (tmp_path / "ran").exists()
    assert subject.model.mark == "own"
    ids, mask = token_batch("right")
    assert torch.equal(subject.logits(ids, mask), tiny("llama").logits(ids, mask))


def test_a_tokenizer_of_its_own_counts_too(own: Path) -> None:
    change(own, auto_map=None)
    change(own, "tokenizer_config.json", auto_map={"AutoTokenizer": ["tokenization_own.Own", None]})
    with pytest.raises(UsageError, match=r"brings code of its own \(tokenization_own.Own\)"):
        load(own, dtype="fp32")


def test_code_of_another_repository_is_not_covered_by_the_name(own: Path) -> None:
    change(own, auto_map={"AutoModelForCausalLM": "other/place--modeling_own.Own"})
    with pytest.raises(UsageError, match="runs code of another repository, other/place, which can't be allowed"):
        load(own, dtype="fp32", trust_remote_code=str(own))


def test_a_name_without_code_to_run_is_harmless(tmp_path: Path) -> None:
    assert check_directory(config_in(tmp_path, model_type="llama"), "a/b", "a/b") is False


@pytest.mark.parametrize("file", ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "consolidated.00.pth"])
def test_pickled_weights_are_refused(file: str) -> None:
    with pytest.raises(
        UsageError, match=rf"the weights of a/b are pickled \({file}\), and loading a pickle can run code"
    ):
        check_weights(["config.json", file], "a/b")
    check_weights(["config.json", file, "model.safetensors"], "a/b")


def test_the_conversion_that_is_told_works(tmp_path: Path) -> None:
    pickled = tmp_path / "pickled"
    model = tiny_model("gpt2")
    model.config.save_pretrained(pickled)
    tiny_tokenizer().save_pretrained(pickled)
    torch.save(model.state_dict(), pickled / "pytorch_model.bin")
    with pytest.raises(UsageError, match="are pickled") as caught:
        load(pickled, dtype="fp32")
    command = str(caught.value).partition('python -c "')[2].partition('"')[0]
    subprocess.run([sys.executable, "-c", command], cwd=tmp_path, check=True, capture_output=True, timeout=120)
    assert load(tmp_path / "copy", dtype="fp32", device="cpu").fingerprint == tiny("gpt2").fingerprint


def test_fp16_is_computed_on_a_cpu_that_can(tmp_path: Path) -> None:
    tiny_model("llama").save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    subject = load(tmp_path, dtype="fp16", device="cpu")
    assert (subject.dtype, subject.reason) == (torch.float16, "fp16: asked for; cpu: asked for")
    ids, mask = token_batch("right")
    torch.testing.assert_close(subject.hidden(ids, mask).float(), tiny("llama").hidden(ids, mask), rtol=0.05, atol=0.05)


def test_fp16_where_the_cpu_can_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("not implemented for 'Half'")

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", refuse)
    with pytest.raises(UsageError, match="this torch has no fp16 arithmetic on the CPU; ask for bf16 or fp32"):
        placement.place("fp16", "cpu")


def test_numbers_too_large_for_fp16_are_noticed(tmp_path: Path) -> None:
    model = tiny_model("llama")
    model.model.layers[1].mlp.up_proj.weight *= 1e6
    model.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    load(tmp_path, dtype="bf16", device="cpu")
    with pytest.raises(ActivationError, match="NaN or infinite logits on a tiny input; try dtype fp32"):
        load(tmp_path, dtype="fp16", device="cpu")
