"""Which weights a number came from."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from assay.model.large import weights

if TYPE_CHECKING:
    from assay.model.subject import Subject

_WHOLE_BYTES = 2 << 30
_SAMPLE = 1 << 16


def fingerprint(architecture: str, model: nn.Module) -> str:
    """SHA-256 over the architecture and every parameter's name, shape, dtype and bytes, in hex.

    Above 2 GiB of parameters each one adds an evenly strided sample of its entries instead of all of them.
    """
    found = weights(model)
    whole = sum(w.parameter.numel() * w.parameter.element_size() for w in found) <= _WHOLE_BYTES
    digest = hashlib.sha256(architecture.encode())
    for weight in found:
        values = weight.values()
        digest.update(f"\n{weight.name} {tuple(values.shape)} {values.dtype}\n".encode())
        flat = values.reshape(-1)
        if not whole:
            flat = flat[:: max(1, flat.numel() // _SAMPLE)]
        digest.update(flat.contiguous().cpu().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def describe(subject: Subject) -> dict[str, Any]:
    """A subject in the spec of a run."""
    return {
        "name": subject.name,
        "architecture": subject.architecture,
        "fingerprint": subject.fingerprint,
        "dtype": str(subject.dtype).removeprefix("torch."),
        "device": str(subject.device),
        "revision": subject.revision,
        "reason": subject.reason,
        "n_layers": subject.n_layers,
    }
