"""What the cells come to: by layer, how many layers must be left, and how many neurons are decoded and not said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.introspect.scores import number
from assay.introspect.verdicts import FAILS, READS, UNREADABLE, VERDICTS

_REPLICATES = 2000
_CURVES = ("bits", "relative_slope", "spearman")
_BASELINES = ("text", "other_model", "blind", "shuffled", "probe_before", "probe_after")


def summarise(cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """``k_star`` and ``summary`` of a result.

    ``k_star``: for each model and way of asking the smallest number of layers left at which the median neuron is
    read, and at all greater numbers tested too; null where there is none. Neurons that nobody could read are left out
    of the median. ``k_star_shares``: how often each value comes out when neurons are drawn again within their layers.
    """
    ways = list(dict.fromkeys(_way(cell) for cell in cells))
    own = {way: [cell for cell in cells if _way(cell) == way] for way in ways}
    return {
        "k_star": {way: _k_star(own[way]) for way in ways},
        "summary": {
            "cells": len(cells),
            "verdicts": {word: n for word in VERDICTS if (n := Counter(cell["verdict"] for cell in cells)[word])},
            "k_star_shares": {way: _k_star_shares(own[way]) for way in ways},
            "decoded_not_said": {way: _decoded_not_said(own[way]) for way in ways},
            "curves": {way: _curve(own[way]) for way in ways},
            "also": {way: told for way in ways if (told := _also(own[way]))},
        },
    }


def _way(cell: Mapping[str, Any]) -> str:
    return f"{cell['model']} {cell['topology']} {cell['regime']} {cell['trainable']}"


def _k_star(cells: Sequence[Mapping[str, Any]]) -> int | None:
    shares = {left: float(np.mean(read)) if len(read) else 0.0 for left, read in _read(cells).items()}
    return _lowest(shares)


def _k_star_shares(cells: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    rng = np.random.default_rng(0)
    drawn = {
        left: rng.choice(read, (_REPLICATES, len(read))).mean(1) if len(read) else np.zeros(_REPLICATES)
        for left, read in _read(cells).items()
    }
    found = Counter(_lowest({left: float(shares[i]) for left, shares in drawn.items()}) for i in range(_REPLICATES))
    order = sorted(found, key=lambda k: np.inf if k is None else k)
    return {"none" if k is None else str(k): round(found[k] / _REPLICATES, 3) for k in order}


def _read(cells: Sequence[Mapping[str, Any]]) -> dict[int, NDArray[np.bool_]]:
    """By number of layers left, most first: of each neuron that somebody could read whether it is read."""
    own: dict[int, list[bool]] = {cell["layers_left"]: [] for cell in sorted(cells, key=lambda c: -c["layers_left"])}
    for cell in cells:
        if cell["verdict"] != UNREADABLE:
            own[cell["layers_left"]].append(cell["verdict"] == READS)
    return {left: np.array(read, bool) for left, read in own.items()}


def _lowest(shares: Mapping[int, float]) -> int | None:
    """The last number of layers, from the most downwards, up to which at least half of the neurons are read."""
    found: int | None = None
    for left, share in shares.items():
        if share < 0.5:
            break
        found = left
    return found


def _decoded_not_said(cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Neurons whose patches a linear reader sees well and that the trained model can't say, after the plateau."""
    decoded = [cell for cell in cells if cell["verdict"] != UNREADABLE]
    settled = [cell for cell in decoded if cell["plateau"]]
    return {
        "readable": len(decoded),
        "after_plateau": len(settled),
        "read": sum(cell["verdict"] == READS for cell in settled),
        "not_read": sum(cell["verdict"] != READS for cell in settled),
        "failed": sum(cell["verdict"] == FAILS for cell in settled),
    }


def _also(cells: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What other text makes of the scores, mean over neurons: here, there, and the drop with its interval."""
    both = [cell for cell in cells if cell.get("also") and cell["bits"] is not None]
    if not both:
        return None
    row: dict[str, Any] = {"neurons": len(both)}
    for name in ("bits", "relative_slope"):
        usable = both
        if name == "relative_slope":
            usable = [c for c in both if UNREADABLE not in (c["verdict"], c["also"]["verdict"])]
        row |= _mean(name, [cell[name] for cell in usable])
        row |= _mean(f"{name}_there", [cell["also"][name] for cell in usable])
        row |= _mean(f"{name}_drop", [cell[name] - cell["also"][name] for cell in usable])
    return row


def _curve(cells: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """By layers left the mean over neurons of scores and baselines, each score with an interval over neurons."""
    rows: list[dict[str, Any]] = []
    for left in sorted({cell["layers_left"] for cell in cells}):
        here = [cell for cell in cells if cell["layers_left"] == left]
        row: dict[str, Any] = {"layers_left": left, "layer": here[0]["layer"], "neurons": len(here)}
        for name in _CURVES:
            usable = here if name != "relative_slope" else [c for c in here if c["verdict"] != UNREADABLE]
            row |= _mean(name, [cell[name] for cell in usable if cell[name] is not None])
        for name in _BASELINES:
            values = [cell["baselines"][name] for cell in here if cell["baselines"][name] is not None]
            row[name] = number(float(np.mean(values))) if values else None
        rows.append(row)
    return rows


def _mean(name: str, values: Sequence[float]) -> dict[str, float | None]:
    """Mean and interval, neurons drawn again; no interval from fewer than three."""
    if not values:
        return {name: None, f"{name}_lo": None, f"{name}_hi": None}
    array = np.array(values)
    drawn = np.random.default_rng(0).choice(array, (_REPLICATES, len(array))).mean(1)
    lo, hi = np.quantile(drawn, [0.025, 0.975]) if len(array) >= 3 else (float("nan"), float("nan"))
    return {name: number(array.mean()), f"{name}_lo": number(lo), f"{name}_hi": number(hi)}
