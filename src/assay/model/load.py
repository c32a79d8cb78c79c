"""Getting a subject from its name: the default model, a directory, a Hugging Face id."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from assay.errors import DownloadError, StorageError, UnknownName, UnsupportedModel, UsageError
from assay.model import default
from assay.model.default import Progress, quiet
from assay.model.placement import place
from assay.model.sitemap import site_map
from assay.model.subject import Subject

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_HUB_FILES = ["*.json", "model*.safetensors", "tokenizer*", "*.model", "vocab*", "merges.txt", "*.jinja"]


def load(
    name: str | Path = default.NAME,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str | None = None,
    progress: Progress = quiet,
) -> Subject:
    """Load and check a subject.

    Args:
        name: ``smollm2-135m`` (the default model), a directory with a Hugging Face model, or a hub id ``owner/name``.
            An existing directory wins over a hub id. Weights are read from safetensors only; remote code never runs.
        dtype: None takes bf16 where the processor computes in it, else fp32. Effects are to be measured in fp32.
        device: None takes CUDA if there is one.
        progress: is told, in one line each, what takes time, and the dtype and device with the reason.

    Raises:
        UnknownName: no such model.
        UsageError: a directory without a model in it, or a dtype or device that this machine lacks.
        UnsupportedModel: an architecture without a site map, or a check failed.
        ActivationError: it gives NaN or infinite values on a tiny input.
        DownloadError: the model could not be fetched.
        StorageError: the cache can't be written.
    """
    placement = place(dtype, device)
    directory = _directory(str(name), progress)
    _check_architecture(directory)
    progress(f"loading {name} ({placement.reason})")
    model, tokenizer = _read(directory, placement.dtype)
    return Subject.from_hf(model.to(placement.device), tokenizer, name=str(name), reason=placement.reason)


def _directory(name: str, progress: Progress) -> Path:
    if name == default.NAME:
        return default.default_model_dir(progress)
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.is_file():
        raise UsageError(f"{name} is a file; give the directory that holds config.json and the safetensors weights")
    if path.is_absolute() or name.startswith((".", "~")):
        raise UsageError(f"there is no directory {name}")
    if "/" not in name and os.sep not in name:
        raise UnknownName("model", name, [default.NAME], "(or give a Hugging Face id, owner/name, or a directory)")
    if not _HUB_ID.fullmatch(name):
        raise UsageError(f"{name!r} is neither a directory nor a Hugging Face id of the form owner/name")
    return _from_hub(name, progress)


def _from_hub(name: str, progress: Progress) -> Path:
    """Directory of a snapshot in the Hugging Face cache. Configuration first: an architecture is refused by it."""
    import huggingface_hub
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    progress(f"asking the Hugging Face hub for {name}")
    try:
        with _hub_quiet():
            config = Path(huggingface_hub.hf_hub_download(name, "config.json"))
            _check_architecture(config.parent)
            return Path(huggingface_hub.snapshot_download(name, allow_patterns=_HUB_FILES, ignore_patterns=["*/*"]))
    except GatedRepoError:
        raise DownloadError(f"{name} is gated; accept its terms on the hub and run 'hf auth login'") from None
    except RepositoryNotFoundError:
        raise UsageError(f"the Hugging Face hub has no model {name!r} (or it is private); check the spelling") from None
    except LocalEntryNotFoundError:
        raise DownloadError(
            f"can't reach the Hugging Face hub for {name!r}, and it is not in the local cache; "
            "check the network, or give the directory of a copy"
        ) from None
    except EntryNotFoundError:
        raise UsageError(
            f"{name!r} has no config.json on the Hugging Face hub; it is not a transformers model"
        ) from None
    except HFValidationError as error:
        raise UsageError(f"{name!r} is not a Hugging Face id: {_first_line(error)}") from None
    except HfHubHTTPError as error:
        raise DownloadError(f"the Hugging Face hub failed on {name!r}: {_first_line(error)}; try again") from error
    except OSError as error:
        if error.errno is None:  # the network's errors derive from OSError too
            raise DownloadError(f"fetching {name!r} broke off: {_first_line(error)}; try again") from error
        raise StorageError(f"can't store {name!r} in the Hugging Face cache: {error.strerror or error}") from error


def _check_architecture(directory: Path) -> None:
    """Refuse by the configuration alone, without reading weights or running anything."""
    path = directory / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        architecture = str(config["model_type"])
    except FileNotFoundError:
        raise UsageError(f"{directory} has no config.json; give a directory with a Hugging Face model") from None
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{path} is not a model configuration with a model_type") from None
    site_map(architecture)


def _read(directory: Path, dtype: torch.dtype) -> tuple[Any, Any]:
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        with _transformers_quiet():
            tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=False)
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                directory,
                dtype=dtype,
                attn_implementation="sdpa",
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
            )
    except SafetensorError as error:
        raise UsageError(
            f"the weights in {directory} are damaged ({_first_line(error)}); delete the directory and load again"
        ) from error
    except (OSError, ValueError, RuntimeError) as error:
        raise UsageError(f"can't load the model in {directory}: {_first_line(error)}") from error
    model, info = loaded
    missing = sorted(info["missing_keys"])
    if missing:
        raise UnsupportedModel(
            f"the weights in {directory} lack {len(missing)} tensors, {missing[0]} among them; they can't be invented"
        )
    return model, tokenizer


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".:")


@contextmanager
def _transformers_quiet() -> Iterator[None]:
    """No progress bar and no warnings of transformers within the block; its settings are put back afterwards."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    hook = logging.set_tqdm_hook(lambda factory, args, kwargs: logging.EmptyTqdm(*args, **kwargs))
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        logging.set_tqdm_hook(hook)


@contextmanager
def _hub_quiet() -> Iterator[None]:
    """No warnings of the hub's client (one line a retry) within the block."""
    from huggingface_hub.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
