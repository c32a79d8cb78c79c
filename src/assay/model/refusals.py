"""What is refused before any weight is read or any foreign code is run: by files and configuration alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from assay.errors import UnsupportedModel, UsageError
from assay.model.sitemap import check_needs, site_map

_EXPERT_COUNTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "num_routed_experts")
_EXPERTS = ("mixtral", "dbrx", "jamba", "arctic", "gpt_oss", "llama4", "llama4_text", "deepseek_v2", "deepseek_v3")
_TEXT_FORM = {"gemma3": "gemma3_text, as google/gemma-3-1b-pt has it"}
_PICKLED = (".bin", ".pt", ".pth", ".ckpt")


def check_directory(directory: Path, name: str, trusted: str | None) -> bool:
    """Check a directory that holds at least a model's configuration. Returns whether code of its own is to run.

    ``name`` is the model's name without revision; ``trusted`` the name of the model whose code may run.

    Raises:
        UsageError: no configuration, or code of its own that was not asked for by name.
        UnsupportedModel: no site map for it, or a mixture of experts.
    """
    path = directory / "config.json"
    config = _read_json(path)
    if config is None:
        raise UsageError(f"{directory} has no config.json; give a directory with a Hugging Face model")
    if not isinstance(config.get("model_type"), str):
        raise UsageError(f"{path} is not a model configuration with a model_type")
    _check_experts(config, name)
    ours = _check_code(config, _read_json(directory / "tokenizer_config.json") or {}, name, trusted)
    architecture = config["model_type"]
    if architecture in _TEXT_FORM:
        form = _TEXT_FORM[architecture]
        raise UnsupportedModel(
            f"{name} ({architecture}) takes images and is not supported; its text-only form is: {form}"
        )
    check_needs(site_map(architecture), config)
    return ours


def check_weights(files: Iterable[str], name: str) -> None:
    """Refuse a model whose weights are pickled, and one without weights. ``files``: the names of its files.

    Raises:
        UsageError: with the command that converts it.
    """
    names = list(files)
    if any(file.endswith(".safetensors") for file in names):
        return
    pickled = [file for file in names if file.endswith(_PICKLED)]
    if not pickled:
        raise UsageError(f"{name} holds no weights in safetensors")
    convert = f"M.from_pretrained({name!r}, use_safetensors=False).save_pretrained('copy')"
    convert += f"; T.from_pretrained({name!r}).save_pretrained('copy')"
    raise UsageError(
        f"the weights of {name} are pickled ({pickled[0]}), and loading a pickle can run code; if you trust them, make "
        "a copy once with python -c "
        f'"from transformers import AutoModelForCausalLM as M, AutoTokenizer as T; {convert}" '
        "and give the directory 'copy'"
    )


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise UsageError(f"{path} is not a model configuration with a model_type")
    return value


def _check_experts(config: Mapping[str, Any], name: str) -> None:
    kind = config["model_type"]
    nested = config.get("text_config")
    parts = [config, nested] if isinstance(nested, dict) else [config]
    counts = [count for part in parts for key in _EXPERT_COUNTS if isinstance(count := part.get(key), int)]
    if kind in _EXPERTS or "moe" in kind or any(count > 1 for count in counts):
        raise UnsupportedModel(
            f"{name} is a mixture of experts ({kind}), which is not supported: each token passes a few experts only, "
            "so a layer has no one set of neurons that act on every token; take a dense model"
        )


def _check_code(config: Mapping[str, Any], tokenizer: Mapping[str, Any], name: str, trusted: str | None) -> bool:
    if trusted is not None and trusted != name:
        raise UsageError(
            f"code of {trusted!r} was allowed to run, but the model is {name!r}; give the model's own name"
        )
    places = [text for part in (config, tokenizer) for text in _strings(part.get("auto_map"))]
    if not places:
        return False
    if trusted is None:
        own = f"or take auto_map out of a copy's JSON files to use the {config['model_type']} code of transformers"
        raise UsageError(
            f"{name} brings code of its own ({places[0]}), which is not run unless it is asked for by name: "
            f"--trust-remote-code {name} if you have read it, {own}"
        )
    foreign = [text.partition("--")[0] for text in places if "--" in text]
    if any(repository != name for repository in foreign):
        raise UsageError(f"{name} runs code of another repository, {foreign[0]}, which can't be allowed; take a copy")
    return True


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for part in value.values() for text in _strings(part)]
    return [text for part in value for text in _strings(part)] if isinstance(value, list) else []
