"""Names of places and of units: ``L10.mlp_act``, ``L10.mlp_act:345`` and ``L10.resid_post:@happy``.

Besides the kinds that every model has, the output of any module of a layer is a place: ``L10.module.self_attn.q_proj``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from assay.errors import UnknownName, UsageError

KINDS = ("mlp_act", "mlp_out", "attn_out", "head", "resid_pre", "resid_mid", "resid_post")

MODULE = "module."  # and a path: the output of that module of a layer

_SITE = re.compile(r"L([0-9]{1,9})\.(module\.[\w.]+|\w+)")
_DIRECTION = r"@[\w.-]+"


class SiteId(NamedTuple):
    """A named place in a model: a layer (from 0) and a kind of :data:`KINDS`, or ``module.`` and a path in a layer."""

    layer: int
    kind: str

    @property
    def module(self) -> str | None:
        """The path of the module in the layer whose output this is; None for a kind of :data:`KINDS`."""
        return self.kind.removeprefix(MODULE) if self.kind.startswith(MODULE) else None

    def __str__(self) -> str:
        return f"L{self.layer}.{self.kind}"

    @classmethod
    def parse(cls, text: str) -> SiteId:
        """Read ``L<layer>.<kind>``.

        Raises:
            UsageError: not of that form.
            UnknownName: no such kind of site.
        """
        match = _SITE.fullmatch(text)
        if not match:
            raise UsageError(f"{text!r} is not a site; write L<layer>.<kind>, for example L10.mlp_act")
        if match[2] not in KINDS and not match[2].startswith(MODULE):
            raise UnknownName("site", match[2], KINDS)
        return cls(int(match[1]), match[2])


class UnitId(NamedTuple):
    """One unit of a site, by its number or, for a direction, by ``@`` and its name.

    A number is a coordinate of the site's tensor, but at ``head``, where it is the number of a head.
    """

    site: SiteId
    index: int | str  # pyright: ignore[reportIncompatibleMethodOverride]

    def __str__(self) -> str:
        return f"{self.site}:{self.index}"

    @property
    def number(self) -> int:
        """The number in the site; -1 for a direction, which has none."""
        return self.index if isinstance(self.index, int) else -1

    @classmethod
    def parse(cls, text: str) -> UnitId:
        """Read ``L<layer>.<kind>:<index>`` or ``L<layer>.<kind>:@<name>``.

        Raises:
            UsageError: not of that form.
            UnknownName: no such kind of site.
        """
        site, colon, index = text.partition(":")
        if colon and re.fullmatch(_DIRECTION, index):
            return cls(SiteId.parse(site), index)
        if not colon or not re.fullmatch(r"[0-9]{1,9}", index):
            raise UsageError(f"{text!r} is not a unit; write L<layer>.<kind>:<index>, for example L10.mlp_act:345")
        return cls(SiteId.parse(site), int(index))


def parse_units(specs: str, n_layers: int, n_units: Callable[[SiteId], int], seed: int) -> list[UnitId]:
    """Expand a comma-separated list of unit specifications, without repeats, in the order given.

    A specification is ``L10.mlp_act:345``, a range ``L10.mlp_act:0-63`` (both ends included), a sample
    ``L10.mlp_act:random64``, a direction's file ``L10.resid_post:@happy.safetensors``, or ``spread16``: that many MLP
    neurons, drawn one at each of evenly spaced depths from the first layer to the last (several a layer when there
    are more than layers).

    ``n_units`` gives the number of units at a site and raises when the model has no such site.

    Raises:
        UsageError: a specification of no known form, or an index outside the site.
    """
    units: dict[UnitId, None] = {}
    for spec in (part.strip() for part in specs.split(",")):
        for unit in _expand(spec, n_layers, n_units, seed):
            units[unit] = None
    return list(units)


def _expand(spec: str, n_layers: int, n_units: Callable[[SiteId], int], seed: int) -> Sequence[UnitId]:
    if match := re.fullmatch(r"spread(\d+)", spec):
        return _spread(int(match[1]), n_layers, n_units, seed)
    site_text, colon, index = spec.partition(":")
    if not colon:
        raise UsageError(
            f"{spec!r} is not a unit; write L10.mlp_act:345, L10.mlp_act:0-63, L10.mlp_act:random64 or spread16"
        )
    site = SiteId.parse(site_text)
    size = n_units(site)
    if index.startswith("@"):
        return [_direction_unit(site, index)]
    if match := re.fullmatch(r"random(\d+)", index):
        count = int(match[1])
        if not 0 < count <= size:
            raise UsageError(f"{spec!r} asks for {count} units; {site} has {size}, ask for 1 to {size}")
        chosen = _generator(seed, str(site)).choice(size, count, replace=False)
        return [UnitId(site, int(i)) for i in np.sort(chosen)]
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", index)
    if not match:
        raise UsageError(f"{spec!r}: {index!r} is not an index; write a number, a range 0-63 or random64")
    first, last = int(match[1]), int(match[2] or match[1])
    if first > last:
        raise UsageError(f"{spec!r} runs backwards; write {site}:{last}-{first}")
    if last >= size:
        raise UsageError(f"{spec!r} is out of range; {site} has units 0 to {size - 1}")
    return [UnitId(site, i) for i in range(first, last + 1)]


def direction_files(specs: str) -> Iterator[tuple[UnitId, Path]]:
    """The directions among a list of unit specifications, each with its file.

    Raises:
        UsageError: a file's name that can't name a unit.
        UnknownName: no such kind of site.
    """
    for spec in (part.strip() for part in specs.split(",")):
        site, _, index = spec.partition(":")
        if index.startswith("@"):
            yield _direction_unit(SiteId.parse(site), index), Path(index[1:])


def _direction_unit(site: SiteId, index: str) -> UnitId:
    """The unit that a direction's file gives: ``@`` and the file's name without its suffix."""
    name = "@" + re.sub(r"\.(safetensors|json|gguf)$", "", Path(index[1:]).name)
    if not re.fullmatch(_DIRECTION, name):
        raise UsageError(
            f"{index[1:]!r} can't name a direction; use letters, digits, '_', '-' and '.' in the file name"
        )
    return UnitId(site, name)


def _spread(count: int, n_layers: int, n_units: Callable[[SiteId], int], seed: int) -> list[UnitId]:
    if count < 1:
        raise UsageError("spread0 names no unit; write spread1 or more")
    layers = np.linspace(0, n_layers - 1, count).round().astype(int)
    units: list[UnitId] = []
    for layer, times in zip(*np.unique(layers, return_counts=True), strict=True):
        site = SiteId(int(layer), "mlp_act")
        size = n_units(site)
        if times > size:
            raise UsageError(f"spread{count} needs {times} units of {site}, which has {size}; ask for fewer")
        chosen = _generator(seed, str(site)).choice(size, int(times), replace=False)
        units += [UnitId(site, int(i)) for i in np.sort(chosen)]
    return units


def _generator(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, *name.encode()])
