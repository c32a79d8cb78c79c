"""Getting a subject from its name: the default model, one of the ladder, a directory, a Hugging Face id."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch

from assay.core.bundled import TOKENIZER, bundled_models
from assay.errors import StorageError, UnknownName, UnsupportedModel, UsageError
from assay.model import default, large
from assay.model.default import Progress, quiet
from assay.model.hub import fetch, first_line, hub_name
from assay.model.placement import Placement, place, place_anywhere
from assay.model.refusals import check_directory, check_weights
from assay.model.sitemap import site_map
from assay.model.subject import Subject
from assay.model.twins import TwinName, twin


def load(
    name: str | Path = default.NAME,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str | None = None,
    progress: Progress = quiet,
    *,
    trust_remote_code: str | None = None,
    max_memory: Mapping[int | str, int | str] | None = None,
) -> Subject:
    """Load and check a subject.

    Args:
        name: ``smollm2-135m`` (the default model), ``ladder-12-0`` and others that come with the package
            (docs/ladder.md), a directory with a Hugging Face model, or a hub id ``owner/name``, with a branch, tag or
            commit as ``owner/name@revision``. An existing directory wins over a hub id and over the ladder. Weights
            are read from safetensors only. Any of these with ``~shuffled`` or ``~reinit-3`` behind it is its randomised
            twin: see :func:`assay.model.twins.twin`.
        dtype: bf16, fp16, fp32 or fp64. None takes bf16 where the processor computes in it, else fp32. Effects are
            to be measured in fp32.
        device: cpu, cuda, cuda:1, mps. None takes CUDA if there is one. ``auto`` spreads a model over all CUDA
            devices, RAM and disk, by accelerate: slow on disk, but the numbers are those of the plain model.
        progress: is told, in one line each, what takes time, and the dtype and device with the reason.
        trust_remote_code: the name of the model, without revision, if it brings code of its own that may run.
        max_memory: with ``auto``, what each device may hold, ``{0: "20GB", "cpu": "60GB"}``; the rest is on disk.

    Raises:
        UnknownName: no such model.
        UsageError: a directory without a model in it, pickled weights, code that was not asked for by name, or a
            dtype or device that this machine lacks.
        UnsupportedModel: an architecture without a site map, a mixture of experts, or a check failed.
        ActivationError: it gives NaN or infinite values on a tiny input.
        DownloadError: the model could not be fetched.
        StorageError: the cache can't be written.
    """
    if named := TwinName.parse(str(name)):
        options: Any = {"trust_remote_code": trust_remote_code, "max_memory": max_memory}
        original = load(named.base, dtype, device, progress, **options)
        progress(f"drawing the weights of {named} anew")
        return twin(original, named.kind, named.seed, keep_embeddings=named.keep_embeddings)
    if device == "auto":
        large.check_installed()
        placement = place_anywhere(dtype)
        found = _find(str(name), trust_remote_code, progress)
        return _load_spread(found, str(name), placement, max_memory, progress)
    if max_memory is not None:
        raise UsageError("max_memory goes with device 'auto' only")
    placement = place(dtype, device)
    found = _find(str(name), trust_remote_code, progress)
    progress(f"loading {name} ({placement.reason})")
    model, tokenizer = _read(found, placement.dtype)
    subject = Subject.from_hf(model.to(placement.device), tokenizer, name=str(name), reason=placement.reason)
    subject.revision = found.revision
    return subject


class _Found(NamedTuple):
    directory: Path
    revision: str | None
    own_code: bool
    tokenizer: Path | None = None  # where it is not beside the weights


def _find(name: str, trusted: str | None, progress: Progress) -> _Found:
    if name == default.NAME:
        directory = default.default_model_dir(progress)
        return _Found(directory, None, check_directory(directory, name, trusted))
    path = Path(name).expanduser()
    if path.is_dir():
        own_code = check_directory(path, name, trusted)
        check_weights((file.name for file in path.iterdir()), name)
        return _Found(path, None, own_code)
    if path.is_file():
        raise UsageError(f"{name} is a file; give the directory that holds config.json and the safetensors weights")
    if path.is_absolute() or name.startswith((".", "~")):
        raise UsageError(f"there is no directory {name}")
    bundled = bundled_models()
    if name in bundled:
        return _Found(bundled[name], None, check_directory(bundled[name], name, trusted), TOKENIZER)
    if "/" not in name and os.sep not in name:
        known = [default.NAME, *bundled]
        raise UnknownName("model", name, known, "(or give a Hugging Face id, owner/name, or a directory)")
    on_hub = hub_name(name)
    if on_hub is None:
        raise UsageError(f"{name!r} is neither a directory nor a Hugging Face id, owner/name or owner/name@revision")
    snapshot = fetch(on_hub, trusted, progress)
    return _Found(snapshot.directory, snapshot.commit, snapshot.own_code)


def _load_spread(
    found: _Found,
    name: str,
    placement: Placement,
    max_memory: Mapping[int | str, int | str] | None,
    progress: Progress,
) -> Subject:
    progress(f"loading {name} ({placement.reason})")
    folder = large.offload_folder()
    try:
        memory = None if max_memory is None else dict(max_memory)
        model, tokenizer = _read(found, placement.dtype, device_map="auto", max_memory=memory, offload_folder=folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    large.remove_with(model, folder)
    reason = f"{placement.reason}, {large.where(model)}"
    progress(f"loaded {name} ({reason})")
    subject = Subject.from_hf(model, tokenizer, name=name, reason=reason)
    subject.revision = found.revision

    def reload(dtype: torch.dtype) -> Subject:
        return _load_spread(found, name, place_anywhere(dtype), max_memory, quiet)

    subject.reload = reload
    return subject


def _read(found: _Found, dtype: torch.dtype, **where: Any) -> tuple[Any, Any]:
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    directory = found.directory
    try:
        with _transformers_quiet(), large.quiet():
            tokenizer = AutoTokenizer.from_pretrained(found.tokenizer or directory, trust_remote_code=found.own_code)
            config: Any = AutoConfig.from_pretrained(directory, trust_remote_code=found.own_code)
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                directory,
                config=config,
                dtype=dtype,
                attn_implementation=site_map(config.model_type).attention,
                trust_remote_code=found.own_code,
                use_safetensors=True,
                output_loading_info=True,
                **where,
            )
    except SafetensorError as error:
        raise UsageError(
            f"the weights in {directory} are damaged ({first_line(error)}); delete the directory and load again"
        ) from error
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise StorageError(f"no room to spread {directory} over: {error.strerror}; free some space") from error
        raise UsageError(f"can't load the model in {directory}: {first_line(error)}") from error
    model, info = loaded
    missing = sorted(info["missing_keys"])
    if missing:
        raise UnsupportedModel(
            f"the weights in {directory} lack {len(missing)} tensors, {missing[0]} among them; they can't be invented"
        )
    return model, tokenizer


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
