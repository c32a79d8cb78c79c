"""The neurons that a unit reads from and writes to most strongly, for all units of a run: by weights alone."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from assay.core.ids import SiteId, UnitId
from assay.errors import AssayError, UsageError
from assay.explain.material import Part, Progress
from assay.explain.related import weights as by_weights
from assay.explain.related.layers import Layers, survey_layers
from assay.explain.related.meeting import Meeting, Side
from assay.explain.related.relations import best
from assay.explain.related.survey import Around, survey
from assay.explain.related.text import Text, sample_text
from assay.explain.related.weights import Weights
from assay.model.large import is_spread
from assay.store.schema import TABLES, build_table, check_table

if TYPE_CHECKING:
    from assay.model import Subject

K = 8
TOKENS = 6_000
SIDES = ("upstream", "downstream")
_TABLE = "neighbours"


def _quiet(message: str, share: float | None = None) -> None:
    """Progress that goes nowhere."""


@dataclass(frozen=True)
class Wiring:
    """A subject's neurons and how strongly they are wired, kept so that the next unit costs little."""

    subject: Subject
    text: Text
    found: Layers
    k: int = K
    seed: int = 0

    def of(self, unit: UnitId, progress: Progress = _quiet) -> list[dict[str, Any]]:
        """Rows of the table ``neighbours``: up to ``k`` neurons a side; none where weights say nothing of the unit.

        A neuron takes some products of vectors; a coordinate or a direction one more pass over the text, in fp32.

        Raises:
            UnknownName, UsageError: the subject has no such unit.
        """
        self.subject.units.check(unit)
        if _is_neuron(unit):
            return self.table([unit], progress).to_pylist()
        return _of_another(self._in_fp32, self.text, unit, self.k, self.seed, progress) if _reads(unit) else []

    def table(self, neurons: Sequence[UnitId], progress: Progress = _quiet) -> pa.Table:
        """The table ``neighbours`` of these neurons: layer by layer, in the order of their numbers."""
        wanted: dict[int, torch.Tensor] = {}
        for layer in sorted({unit.site.layer for unit in neurons}):
            own = sorted({unit.number for unit in neurons if unit.site.layer == layer})
            wanted[layer] = torch.tensor(own)
        sides = Meeting(self.subject, self.found, wanted, self.k).run(progress)
        parts = [_columns(layer, wanted[layer].numpy(), sides[layer]) for layer in wanted]
        table = pa.concat_tables([pa.table(part, schema=TABLES[_TABLE]) for part in parts])
        check_table(_TABLE, table)
        return table

    @cached_property
    def _in_fp32(self) -> Subject:
        return self.subject.with_dtype(torch.float32)


def make_wiring(subject: Subject, text: Text, k: int = K, seed: int = 0, progress: Progress = _quiet) -> Wiring:
    """Survey a subject's neurons: one pass over the text, in the subject's own dtype.

    Raises:
        UsageError: the subject is spread over devices.
        ActivationError: a value is not finite.
    """
    _check_in_one_place(subject)
    return Wiring(subject, text, survey_layers(subject, text, seed, progress), k, seed)


def neighbours_of(
    subject: Subject, text: Text, units: Sequence[UnitId], k: int = K, seed: int = 0, progress: Progress = _quiet
) -> list[dict[str, Any]]:
    """Rows of the table ``neighbours`` of some units, in their order. Raises as :func:`make_wiring` does."""
    _check_in_one_place(subject)
    rows: dict[str, list[dict[str, Any]]] = {str(unit): [] for unit in units}
    if neurons := [unit for unit in units if _is_neuron(unit)]:
        for row in make_wiring(subject, text, k, seed, progress).table(neurons, progress).to_pylist():
            rows[row["unit"]].append(row)
    if others := [unit for unit in units if not _is_neuron(unit) and _reads(unit)]:
        in_fp32 = subject.with_dtype(torch.float32)
        for unit in others:
            rows[str(unit)] = _of_another(in_fp32, text, unit, k, seed, progress)
    return [row for own in rows.values() for row in own]


class Neighbours(NamedTuple):
    """The table of a run, and the entry of its summary: what it took, or the reason why the table is empty."""

    table: pa.Table
    summary: dict[str, Any] | str


def find_neighbours(subject: Subject, part: Part, units: Sequence[UnitId], seed: int, progress: Progress) -> Neighbours:
    """The neighbours of a run's units, on some text of a part. Where they can't be had, the run goes on without."""
    began = time.monotonic()
    text = sample_text(part, TOKENS, seed)
    try:
        if all(_is_neuron(unit) for unit in units):
            table = make_wiring(subject, text, K, seed, progress).table(units, progress)
        else:
            table = build_table(_TABLE, neighbours_of(subject, text, units, K, seed, progress))
    except (AssayError, torch.OutOfMemoryError) as error:
        return Neighbours(build_table(_TABLE, []), " ".join(str(error).split()))
    took = round(time.monotonic() - began, 1)
    return Neighbours(table, {"tokens": text.n_scored, "k": K, "seconds": took})


def _is_neuron(unit: UnitId) -> bool:
    return unit.site.kind == "mlp_act" and isinstance(unit.index, int)


def _reads(unit: UnitId) -> bool:
    """Whether a unit that is no neuron reads a vector of the residual's width; else weights say nothing of it."""
    return unit.site.kind not in ("mlp_act", "head") and unit.site.module is None


def _check_in_one_place(subject: Subject) -> None:
    if is_spread(subject.model):
        raise UsageError(f"{subject.name} is spread over devices, and neighbours by weights need it in one place")


def _of_another(
    subject: Subject, text: Text, unit: UnitId, k: int, seed: int, progress: Progress
) -> list[dict[str, Any]]:
    """Of a coordinate or a direction: what :mod:`assay.explain.related.weights` says of one unit, in fp32."""
    around = Around.of(subject, unit)
    try:
        found = survey(subject, text, unit, around, progress)
    except UsageError:  # it never varies, so nothing drives it and it drives nothing
        return []
    both = (way(subject, unit, around, found, seed) for way in (by_weights.upstream, by_weights.downstream))
    return [
        row
        for side, weights in zip(SIDES, both, strict=True)
        if weights is not None
        for row in _rows(unit, side, weights, k)
    ]


def _columns(layer: int, neurons: NDArray[np.int64], sides: tuple[Side, Side]) -> Mapping[str, Any]:
    """Of a layer's neurons, as the columns of the table: neuron by neuron, upstream first, the strongest first."""
    strength, net, layers, indices = (np.stack(parts, 1) for parts in list(zip(*sides, strict=True))[:4])
    there = strength > 0
    at, side, place = np.nonzero(there)
    names = np.array([str(UnitId(SiteId(layer, "mlp_act"), int(i))) for i in neurons], np.object_)
    others = [
        str(UnitId(SiteId(int(on), "mlp_act"), int(i))) for on, i in zip(layers[there], indices[there], strict=True)
    ]
    return {
        "unit": pa.array(names[at], pa.string()),
        "side": pa.array(np.array(SIDES, np.object_)[side], pa.string()),
        "place": pa.array((place + 1).astype(np.int32)),
        "other": pa.array(others, pa.string()),
        "layer": pa.array(layers[there].astype(np.int32)),
        "index": pa.array(indices[there].astype(np.int32)),
        "strength": pa.array(strength[there].astype(float)),
        "net": pa.array(net[there].astype(float)),
        "null": pa.array(np.stack([own.null for own in sides], 1)[at, side].astype(float)),
    }


def _rows(unit: UnitId, side: str, weights: Weights, k: int) -> list[dict[str, Any]]:
    """Of one unit and side, from what weights say of all neurons there."""
    null = weights.null_best
    return [
        {
            "unit": str(unit),
            "side": side,
            "place": place,
            "other": str(other),
            "layer": other.site.layer,
            "index": other.number,
            "strength": float(weights.sites[other.site].strength[other.number]),
            "net": float(weights.sites[other.site].net[other.number]),
            "null": null,
        }
        for place, other in enumerate(best({at: site.strength for at, site in weights.sites.items()}, k), 1)
    ]
