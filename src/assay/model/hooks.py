"""Reading and changing the tensors that pass through sites, by plain forward hooks.

A :class:`Switchboard` holds, for each site in use, the edits and the captures attached to it. At most one set of
hooks stands at a site; it is removed when the last user leaves its ``with`` block, also when that block raises. Edits
run in the order in which their blocks were entered, and captures see the result, whichever was entered first: what
is captured is what the model went on to use.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from assay.core.ids import SiteId
from assay.errors import UsageError
from assay.model.sitemap import FORWARD_ORDER, SiteMap, tap

Edit = Callable[[Tensor], Tensor]
"""Takes a site's tensor (batch, seq, width) and returns a new one of the same shape, dtype and device."""


class EarlyExit(Exception):
    """Private to this package: everything that was asked for is captured, the rest of the pass is not needed."""


@dataclass
class _Line:
    """What is attached to one site. Keys are tokens of the ``with`` blocks, so that blocks may close in any order."""

    edits: dict[object, Edit] = field(default_factory=dict[object, Edit])
    captures: dict[object, dict[SiteId, Tensor]] = field(default_factory=dict[object, dict[SiteId, Tensor]])
    handles: list[RemovableHandle] = field(default_factory=list[RemovableHandle])

    @property
    def idle(self) -> bool:
        return not self.edits and not self.captures


class Switchboard:
    """The hooks of one subject."""

    def __init__(self, row: SiteMap, layers: Sequence[nn.Module]) -> None:
        self._row = row
        self._layers = tuple(layers)
        self._lines: dict[SiteId, _Line] = {}
        self._exits: set[object] = set()

    @property
    def in_use(self) -> bool:
        """Whether any edit or capture is open."""
        return bool(self._lines)

    @property
    def edited(self) -> list[SiteId]:
        """Sites with an edit in force."""
        return [site for site, line in self._lines.items() if line.edits]

    @contextmanager
    def edit(self, site: SiteId, fn: Edit) -> Iterator[None]:
        """Pass the site's tensor through ``fn`` in every forward pass of the block."""
        token = object()
        line = self._line(site)
        line.edits[token] = fn
        try:
            yield
        finally:
            del line.edits[token]
            self._tidy(site)

    @contextmanager
    def capture(self, sites: Collection[SiteId], early_exit: bool = False) -> Iterator[dict[SiteId, Tensor]]:
        """Yield a mapping that every forward pass of the block fills anew.

        With ``early_exit`` a pass ends with :class:`EarlyExit` at the highest site that anyone captures.
        """
        token = object()
        got: dict[SiteId, Tensor] = {}
        entered: list[SiteId] = []
        # where in its layer a module comes is not known, but that it has come by the layer's end
        ends = {SiteId(site.layer, "resid_post") for site in sites if site.module is not None} if early_exit else set()
        try:
            for site in (*sites, *(ends - set(sites))):
                line = self._line(site)
                line.captures[token] = got if site in sites else {}
                entered.append(site)
            if early_exit:
                self._exits.add(token)
            yield got
        finally:
            self._exits.discard(token)
            for site in entered:
                self._lines[site].captures.pop(token, None)
            for site in set(entered):
                self._tidy(site)

    def _line(self, site: SiteId) -> _Line:
        line = self._lines.get(site)
        if line is None:
            line = self._lines[site] = _Line(handles=self._install(site))
        return line

    def _tidy(self, site: SiteId) -> None:
        line = self._lines[site]
        if line.idle:
            for handle in line.handles:
                handle.remove()
            del self._lines[site]

    def _install(self, site: SiteId) -> list[RemovableHandle]:
        layer = self._layers[site.layer]
        module, side = tap(self._row, layer, site.kind)
        flat = site.kind in ("resid_mid", "mlp_act", "mlp_out") or site.module is not None
        if not (self._row.flat_mlp and flat):
            return self._install_at(site, module, side, lambda tensor: self._through(site, tensor))
        seen: list[Tensor] = []

        def note_shape(_: nn.Module, args: tuple[Any, ...]) -> None:
            seen[:] = [args[0]]

        def unrolled(tensor: Tensor) -> Tensor:
            shape = seen.pop().shape[:2]
            if tensor.dim() > 2:
                return self._through(site, tensor)
            return self._through(site, tensor.unflatten(0, shape)).flatten(0, 1)

        return [layer.register_forward_pre_hook(note_shape), *self._install_at(site, module, side, unrolled)]

    def _install_at(self, site: SiteId, module: nn.Module, side: str, through: Edit) -> list[RemovableHandle]:
        if site.kind == "resid_mid":
            return self._install_mid(site, module, through)
        if side == "input":
            return [module.register_forward_pre_hook(partial(_before, through))]
        # resid_post comes after, mlp_out before the hooks that resid_mid needs on the same module, whoever came first
        return [module.register_forward_hook(partial(_after, through), prepend=site.kind == "mlp_out")]

    def _install_mid(self, site: SiteId, module: nn.Module, through: Edit) -> list[RemovableHandle]:
        layer = self._layers[site.layer]
        middle = _Middle(through, lambda: bool(self._lines[site].edits))
        writer, _ = tap(self._row, layer, "mlp_out")
        return [
            module.register_forward_pre_hook(middle.before),
            writer.register_forward_hook(middle.keep_mlp_out),
            layer.register_forward_hook(middle.recombine, prepend=True),
        ]

    def _through(self, site: SiteId, tensor: Tensor) -> Tensor:
        line = self._lines[site]
        for fn in line.edits.values():
            tensor = _edited(site, fn, tensor)
        for got in line.captures.values():
            got[site] = tensor
        if self._exits and line.captures and site == self._highest():
            raise EarlyExit
        return tensor

    def _highest(self) -> SiteId:
        captured = (site for site, line in self._lines.items() if line.captures)
        return max(captured, key=lambda site: (site.layer, -1 if site.module else FORWARD_ORDER.index(site.kind)))


class _Middle:
    """The residual after attention, which goes two ways: into the MLP and past it.

    A hook reaches the way into the MLP only. The way past it is put right at the end of the layer, by the model's
    own last step, ``resid_post = resid_mid + mlp_out``, on the edited residual: exact, not a difference added.
    """

    def __init__(self, through: Edit, edited: Callable[[], bool]) -> None:
        self._through, self._edited = through, edited
        self._kept: list[Tensor] = []

    def before(self, _: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        self._kept.clear()
        middle = self._through(args[0])
        if self._edited():
            self._kept.append(middle)
        return (middle, *args[1:])

    def keep_mlp_out(self, _: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        if self._kept:
            self._kept.append(output)

    def recombine(self, _: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        if not self._kept:
            return output
        middle, mlp_out = self._kept
        self._kept.clear()
        return (middle + mlp_out).view_as(output)


def _before(through: Edit, _: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    return (through(args[0]), *args[1:])


def _after(through: Edit, _: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
    return through(output) if isinstance(output, Tensor) else (through(output[0]), *output[1:])


def _edited(site: SiteId, fn: Edit, tensor: Tensor) -> Tensor:
    versioned = not tensor.is_inference()
    version = tensor._version if versioned else 0
    new = fn(tensor)
    if versioned and tensor._version != version:
        raise UsageError(f"the edit at {site} changed its tensor in place; return a new tensor instead")
    if not isinstance(new, Tensor):
        raise UsageError(f"the edit at {site} must return a tensor. Got {type(new).__name__} instead.")
    if (new.shape, new.dtype, new.device) != (tensor.shape, tensor.dtype, tensor.device):
        raise UsageError(f"the edit at {site} must return {_describe(tensor)}. Got {_describe(new)} instead.")
    return new


def _describe(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')} on {tensor.device}"
