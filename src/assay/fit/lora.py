"""Low-rank adapters on a subject's layers, in force within a ``with`` block and provably gone after it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Collection, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from assay.errors import UsageError

if TYPE_CHECKING:
    from assay.model import Subject

_DRAWING = threading.Lock()  # what peft draws is drawn from the one generator that all threads have


class Adapters:
    """Adapters that are in force.

    Attributes:
        parameters: what is trainable, by name.
    """

    def __init__(self, parameters: dict[str, nn.Parameter], tuners: list[Any]) -> None:
        self.parameters = parameters
        self._tuners = tuners

    @contextmanager
    def off(self) -> Generator[None]:
        """Within the block the subject computes as without them."""
        for tuner in self._tuners:
            tuner.enable_adapters(False)
        try:
            yield
        finally:
            for tuner in self._tuners:
                tuner.enable_adapters(True)


@contextmanager
def adapters(subject: Subject, layers: Collection[int], rank: int = 16, seed: int = 0) -> Generator[Adapters]:
    """Within the block every matrix of these layers has a trainable low-rank one beside it, W + 2 B A.

    LoRA (Hu et al. 2021, arXiv:2106.09685) as :mod:`peft` has it, with alpha = 2 rank and no dropout. B begins at
    zero, so nothing changes until it is trained; A is drawn by ``seed``, and both are fp32 whatever the subject is in.
    The subject's own parameters stay frozen. After the block the modules are the very ones that were there before.

    Raises:
        UsageError: no such layer, or a layer has adapters already.
    """
    if wrong := sorted(set(layers) - set(range(subject.n_layers))):
        raise UsageError(f"{subject.name} has layers 0 to {subject.n_layers - 1}. Got layer {wrong[0]} for adapters.")
    taken = [(module, name, child) for layer in set(layers) for module, name, child in _matrices(subject, layer)]
    try:
        found = {name: p for layer in sorted(set(layers)) for name, p in _inject(subject, layer, rank, seed).items()}
        yield Adapters(found, [getattr(module, name) for module, name, _ in taken])
    finally:
        for module, name, child in taken:
            setattr(module, name, child)
        for layer in set(layers):
            vars(subject._layers[layer]).pop("peft_config", None)


def _matrices(subject: Subject, layer: int) -> list[tuple[nn.Module, str, nn.Module]]:
    """Each linear module of a layer, after its parent and its name there."""
    found: list[tuple[nn.Module, str, nn.Module]] = []
    for parent in subject._layers[layer].modules():
        for name, child in parent.named_children():
            if hasattr(child, "lora_A"):
                raise UsageError(f"layer {layer} has adapters already; close the block that put them there")
            if _is_matrix(child):
                found.append((parent, name, child))
    return found


def _is_matrix(module: nn.Module) -> bool:
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, nn.Linear | Conv1D)


def _inject(subject: Subject, layer: int, rank: int, seed: int) -> dict[str, nn.Parameter]:
    from peft import LoraConfig, inject_adapter_in_model

    module = subject._layers[layer]
    paths = [path for path, child in module.named_modules() if _is_matrix(child)]
    config = LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules=paths, fan_in_fan_out=subject._row.transposed, bias="none"
    )
    with _DRAWING, torch.random.fork_rng(devices=[]):  # what is drawn here is drawn again below
        inject_adapter_in_model(config, module)
    parameters = {f"{layer}.{name}": p for name, p in module.named_parameters() if "lora_" in name}
    for name, weight in parameters.items():
        if "lora_A" in name:
            generator = torch.Generator().manual_seed(_number(seed, name))
            drawn = torch.rand(weight.shape, generator=generator) * 2 - 1
            weight.data = (drawn * weight.shape[1] ** -0.5).to(weight.device)
        else:
            weight.data = weight.data.float()
    return parameters


def _number(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}\0{name}".encode()).digest()[:7], "little")
