"""The upper part of a model alone, on a residual computed before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


class _PassOn(nn.Module):
    """A layer that does nothing."""

    def forward(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return hidden_states


@contextmanager
def starting_at(layers: nn.ModuleList, layer: int, hidden: Tensor) -> Iterator[None]:
    """Within the block the layers below ``layer`` do nothing and ``layer`` receives ``hidden`` (batch, seq, d_model).

    The trunk itself still makes masks, positions and rotary tables, which is why the result is exact. The residual
    is put in by a hook that runs before any other of that layer, so that an edit of its ``resid_pre`` acts on it.
    """
    below = [layers[i] for i in range(layer)]

    def inject(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (hidden, *args[1:])

    handle = layers[layer].register_forward_pre_hook(inject, prepend=True)
    try:
        for i in range(layer):
            layers[i] = _PassOn()
        yield
    finally:
        for i, module in enumerate(below):
            layers[i] = module
        handle.remove()
