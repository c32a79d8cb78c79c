"""Which weights a number came from."""

from __future__ import annotations

import hashlib

import torch
from torch import nn

_WHOLE_BYTES = 2 << 30
_SAMPLE = 1 << 16


def fingerprint(architecture: str, model: nn.Module) -> str:
    """SHA-256 over the architecture and every parameter's name, shape, dtype and bytes, in hex.

    Above 2 GiB of parameters each one adds an evenly strided sample of its entries instead of all of them.
    """
    parameters = sorted(model.named_parameters())
    whole = sum(p.numel() * p.element_size() for _, p in parameters) <= _WHOLE_BYTES
    digest = hashlib.sha256(architecture.encode())
    for name, parameter in parameters:
        digest.update(f"\n{name} {tuple(parameter.shape)} {parameter.dtype}\n".encode())
        flat = parameter.detach().reshape(-1)
        if not whole:
            flat = flat[:: max(1, flat.numel() // _SAMPLE)]
        digest.update(flat.contiguous().cpu().view(torch.uint8).numpy().data)
    return digest.hexdigest()
