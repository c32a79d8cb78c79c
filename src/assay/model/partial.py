"""Some layers of a model alone, on a residual computed before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from assay.core.ids import SiteId
from assay.errors import UsageError
from assay.model.hooks import EarlyExit


class _PassOn(nn.Module):
    """A layer that does nothing."""

    def __init__(self, as_tuple: bool) -> None:
        super().__init__()
        self.as_tuple = as_tuple

    def forward(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor | tuple[Tensor]:
        return (hidden_states,) if self.as_tuple else hidden_states


@contextmanager
def starting_at(layers: nn.ModuleList, layer: int, hidden: Tensor, tuples: bool = False) -> Iterator[None]:
    """Within the block the layers below ``layer`` do nothing and ``layer`` receives ``hidden`` (batch, seq, d_model).

    With ``layer`` the number of layers no layer does anything, and the final norm receives it.
    ``tuples`` says that layers of this model return tuples.

    The trunk itself still makes masks, positions and rotary tables, which is why the result is exact. The residual
    is put in by a hook that runs before any other of that layer, so that an edit of its ``resid_pre`` acts on it.
    """
    below = [layers[i] for i in range(layer)]
    handle: RemovableHandle | None = None
    try:
        for i in range(layer):
            layers[i] = _PassOn(tuples)
        handle = layers[min(layer, len(layers) - 1)].register_forward_pre_hook(partial(_inject, hidden), prepend=True)
        yield
    finally:
        if handle is not None:
            handle.remove()
        for i, module in enumerate(below):
            layers[i] = module


def _inject(hidden: Tensor, _: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    return (hidden, *args[1:])


@contextmanager
def ending_after(layer: nn.Module) -> Iterator[list[Tensor]]:
    """Within the block a pass ends with EarlyExit when ``layer`` is done; its output is appended to what is yielded.

    The hook runs after every other of that layer, so that edits of its ``resid_post`` show.
    """
    left: list[Tensor] = []

    def leave(_: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        left.append(output if isinstance(output, Tensor) else output[0])
        raise EarlyExit

    handle = layer.register_forward_hook(leave)
    try:
        yield left
    finally:
        handle.remove()


def check_edits(edited: Sequence[SiteId], start: int, stop: int) -> None:
    """Refuse edits at layers that a pass over ``start`` to ``stop - 1`` does not run.

    Raises:
        UsageError: there is one, which could not act.
    """
    for site in edited:
        if site.layer < start:
            raise UsageError(f"the edit at {site} can't act in a pass that starts at layer {start}")
        if site.layer >= stop:
            raise UsageError(f"the edit at {site} can't act in a pass that ends before layer {stop}")
