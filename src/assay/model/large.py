"""Models that don't fit into memory: spread over devices, RAM and disk by accelerate, weights fetched when needed."""

from __future__ import annotations

import importlib.util
import logging
import shutil
import tempfile
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from assay.core.cache import cache_dir
from assay.errors import StorageError, UsageError


def check_installed() -> None:
    """Raise UsageError unless accelerate is there."""
    if importlib.util.find_spec("accelerate") is None:
        raise UsageError("device 'auto' needs accelerate, which is not installed; run pip install 'assay[large]'")


def offload_folder() -> str:
    """A new directory in the cache for weights that can't be read from the model's own files.

    Raises:
        StorageError: the cache can't be written.
    """
    place = cache_dir() / "offload"
    try:
        place.mkdir(parents=True, exist_ok=True)
        return tempfile.mkdtemp(dir=place)
    except OSError as error:
        raise StorageError(f"can't write the cache {place}: {error.strerror}; point ASSAY_CACHE elsewhere") from error


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings of accelerate within the block: that it puts weights elsewhere is what it was asked to do."""
    logger = logging.getLogger("accelerate")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def remove_with(model: nn.Module, folder: str) -> None:
    """Remove the directory when the model is gone, at the latest when the process ends."""
    weakref.finalize(model, shutil.rmtree, folder, ignore_errors=True)


def is_spread(model: nn.Module) -> bool:
    """Whether some weights are elsewhere than in the memory of the one device that computes."""
    return any(parameter.is_meta for parameter in model.parameters()) or len(_places(model)) > 1


def where(model: nn.Module) -> str:
    """ "5 parts on cuda:0, 3 in RAM, 24 on disk": where accelerate put the parts of a model."""
    named = {"cpu": "in RAM", "disk": "on disk"}
    counts = _places(model)
    if not counts:  # all fits on one device
        device = str(next(model.parameters()).device)
        return f"all of it {named.get(device, f'on {device}')}"
    shown = ((count, named.get(place, f"on {place}")) for place, count in counts.items())
    return ", ".join(f"{count} part{'s' if count > 1 else ''} {place}" for count, place in shown)


def _places(model: nn.Module) -> Counter[str]:
    spread: dict[str, int | str] = getattr(model, "hf_device_map", {})
    return Counter(f"cuda:{place}" if isinstance(place, int) else str(place) for place in spread.values())


def input_device(module: Any) -> torch.device:
    """The device on which a module with a ``weight`` computes."""
    for hook in _hooks(module):
        if hook.execution_device is not None:
            return torch.device(hook.execution_device)
    return module.weight.device


def weight_of(module: nn.Module, name: str = "weight") -> Tensor:
    """A parameter's values, fetched if they are not in memory."""
    parameter: Tensor = getattr(module, name)
    if not parameter.is_meta:
        return parameter.detach()
    hook = next(hook for hook in _hooks(module) if hook.weights_map is not None)
    return hook.weights_map[name].to(parameter.dtype)


class Weight(NamedTuple):
    """A parameter of a model, which may be elsewhere than in memory."""

    name: str
    module: nn.Module
    parameter: Tensor

    def values(self) -> Tensor:
        """The parameter's values, fetched if need be."""
        return weight_of(self.module, self.name.rpartition(".")[2])


def weights(model: Any) -> list[Weight]:
    """Every parameter, sorted by name, each tied one once and by the name that it has in a plain model."""
    tied = getattr(model, "all_tied_weights_keys", {}) if is_spread(model) else {}
    named = sorted((name, parameter) for name, parameter in model.named_parameters() if name not in tied)
    return [Weight(name, model.get_submodule(name.rpartition(".")[0]), parameter) for name, parameter in named]


def _hooks(module: Any) -> list[Any]:
    """The hooks by which accelerate moves a module's inputs and weights."""
    hook = getattr(module, "_hf_hook", None)
    chain = getattr(hook, "hooks", (hook,))
    return [hook for hook in chain if hasattr(hook, "execution_device")]
