"""A layer's evidence as arrays and plain values, from which its cells are made again without the model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.core.ids import UnitId
from assay.errors import RunError
from assay.introspect.cells import cells_of, elsewhere
from assay.introspect.evidence import Evidence, Said
from assay.introspect.neurons import Neuron
from assay.introspect.verdicts import Thresholds
from assay.store import Run

Arrays = dict[str, NDArray[Any]]
_ALSO = "also/"  # before the names of arrays of other text
_KINDS = ("put_in", "told", "probe", "optimum", "optimum_controls")


class Pack(NamedTuple):
    """Evidence of one group of neurons: ``arrays`` by name, and ``told``, what is no array, fit for JSON."""

    arrays: Arrays
    told: dict[str, Any]


def pack(found: Evidence) -> Pack:
    """Evidence as it is stored; answers are kept in single precision."""
    arrays: Arrays = {"right": found.right, "values": found.values, "documents": found.documents}
    for kind in _KINDS:
        for name, array in getattr(found, kind).items():
            arrays[f"{kind}.{name}"] = array if kind == "put_in" else np.asarray(array, np.float32)
    heard: list[dict[str, Any]] = []
    for (regime, size), said in found.heard.items():
        start = f"heard.{regime}.{size}"
        arrays |= {f"{start}.logs.{test}": np.asarray(logs, np.float32) for test, logs in said.logs.items()}
        parts = {"choose_bits": said.choose_bits, "controls": said.controls, "own": said.own}
        arrays |= {f"{start}.{name}": array for name, array in parts.items() if array is not None}
        heard.append({"regime": regime, "size": size, "steps": said.steps, "by_heart": said.by_heart})
    neurons = [asdict(n) | {"unit": str(n.unit), "edges": n.edges.tolist()} for n in found.neurons]
    told = {"neurons": neurons, "heard": heard, "text": list(found.text)}
    return Pack(arrays, told | {"sibling": found.sibling, "blocked": found.blocked})


def with_also(packed: Pack, other: Pack) -> Pack:
    """Evidence, and beside it that of the same reporters on other text."""
    arrays = {f"{_ALSO}{name}": array for name, array in other.arrays.items()}
    return Pack(packed.arrays | arrays, packed.told | {"also": other.told})


def cells_from(packed: Pack, regimes: Sequence[str], size: int, limits: Thresholds) -> list[dict[str, Any]]:
    """The cells that stored evidence comes to; ``also`` in each is what the same reporter is worth on other text."""
    cells = cells_of(unpack(packed), regimes, size, limits)
    if "also" not in packed.told:
        return cells
    arrays = {name.removeprefix(_ALSO): array for name, array in packed.arrays.items() if name.startswith(_ALSO)}
    others = cells_of(unpack(Pack(arrays, packed.told["also"])), regimes, size, limits)
    return [cell | {"also": elsewhere(other)} for cell, other in zip(cells, others, strict=True)]


def unpack(packed: Pack) -> Evidence:
    """Evidence as it was stored."""
    arrays, told = packed
    heard: dict[tuple[str, int], Said] = {}
    for one in told["heard"]:
        own = _under(arrays, f"heard.{one['regime']}.{one['size']}")
        rest = own["choose_bits"], one["steps"], one["by_heart"], own.get("controls"), own.get("own")
        heard[one["regime"], one["size"]] = Said(_under(own, "logs"), *rest)
    return Evidence(
        [_neuron(own) for own in told["neurons"]],
        arrays["right"],
        arrays["values"],
        arrays["documents"],
        _under(arrays, "put_in"),
        heard,
        _under(arrays, "told"),
        told["text"],
        _under(arrays, "probe"),
        _under(arrays, "optimum"),
        told["sibling"],
        told["blocked"],
        _under(arrays, "optimum_controls"),
    )


def _neuron(own: Mapping[str, Any]) -> Neuron:
    return Neuron(**{**own, "unit": UnitId.parse(own["unit"]), "edges": np.array(own["edges"])})


def _under(arrays: Mapping[str, NDArray[Any]], start: str) -> Arrays:
    return {name.removeprefix(f"{start}."): array for name, array in arrays.items() if name.startswith(f"{start}.")}


class Again(NamedTuple):
    """A cell as it was stored, and as it comes out of the stored answers."""

    stored: dict[str, Any]
    now: dict[str, Any]


def write_part(groups: Sequence[tuple[list[dict[str, Any]], Pack]]) -> tuple[Arrays, str]:
    """The arrays and the JSON of everything that is stored of a part of a run: groups of neurons and their cells."""
    arrays = {f"{number}/{name}": array for number, (_, own) in enumerate(groups) for name, array in own.arrays.items()}
    return arrays, json.dumps([{"evidence": own.told, "cells": cells} for cells, own in groups], indent=1)


def read_cells(text: str) -> list[dict[str, Any]]:
    """The cells of a part of a run."""
    return [cell for group in json.loads(text) for cell in group["cells"]]


def recompute(run: Run) -> list[Again]:
    """Every cell of a run of reports, made again from the answers that it stored.

    Raises:
        RunError: the run stored no answers, as those of earlier versions did not, or it is damaged.
    """
    limits, found = Thresholds(**run.spec["resolved"]["thresholds"]), list[Again]()
    for name in (name for name in run.files if name.startswith("cells/")):
        groups = json.loads(run.file(name).read_text(encoding="utf-8"))
        arrays = run.tensors(name.removeprefix("cells/").removesuffix(".json"))
        for number, group in enumerate(groups):
            if "evidence" not in group:
                raise RunError(f"{run.id} was stored by an earlier version, without what verdicts are made from")
            cells = group["cells"]
            packed = Pack(_of(arrays, number), group["evidence"])
            regimes = list(dict.fromkeys(cell["regime"] for cell in cells))
            now = cells_from(packed, regimes, cells[0]["sentences"], limits)
            found += [Again(stored, stored | cell) for stored, cell in zip(cells, now, strict=True)]
    return found


def _of(arrays: Mapping[str, NDArray[Any]], number: int) -> Arrays:
    return {name.removeprefix(f"{number}/"): array for name, array in arrays.items() if name.startswith(f"{number}/")}
