"""The map of a run: layer by score, a dot a unit where they are few, and their density where they are many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt
import numpy as np
from numpy.typing import ArrayLike, NDArray

from assay.draw.figures import NOISE, NULL, PAPER, VERMILION, DataSets, Figure, figure
from assay.draw.points import beside, cells, dots, filled
from assay.draw.words import counted, plain, score_text

FEW = 200  # up to so many units have a dot each
LOW, HIGH, STEP = -0.2, 1.0, 0.05
_MEDIAN, _NULL = "median of the layer’s units", "mean of their best nulls"

Vector = NDArray[np.floating]


class _Units(NamedTuple):
    """The units that have a score."""

    layers: Vector
    scores: Vector
    nulls: Vector | None
    names: list[str]


def layer_map(
    layers: ArrayLike,
    scores: ArrayLike,
    nulls: ArrayLike | None = None,
    *,
    names: Sequence[str] | None = None,
    cell_link: str = "",
    unit_link: str = "",
    score: str = "r",
    width: int = 720,
    height: int = 300,
) -> Figure:
    """Layer (x) by score (y), with the median and the mean null of each layer as lines.

    Up to 200 units with names are drawn one by one; more as the number of units in bins of .05. A bin holds
    low <= score < high, the highest 1 as well, and the lowest everything below it.

    Args:
        layers: (n,) layer of each unit.
        scores: (n,) its score; NaN, unscored, is left out and counted in the alternative.
        nulls: (n,) its best null's score; NaN where there is none.
        names: (n,) the units' names.
        cell_link: template of a bin's address, with ``{layer}``, ``{low}`` and ``{high}``.
        unit_link: template of a unit's, with ``{unit}``.
        score: what the score is called.

    Raises:
        ValueError: arrays of several lengths, or no unit with a score.
    """
    units, unscored = _scored(layers, scores, nulls, names)
    one_by_one = bool(units.names) and units.scores.size <= FEW
    by_layer = _lines(units)
    low = min(LOW, float(units.scores.min()) - 0.02) if one_by_one else LOW
    first, last = float(units.layers.min()), float(units.layers.max())
    ticks = list(range(int(first), int(last) + 1, 1 + int(last - first) // 16))
    x = alt.X("x:Q", axis=alt.Axis(title="layer", format="d", values=ticks))
    x = x.scale(domain=[first - 0.5, last + 0.5], nice=False, zero=False)
    y = alt.Y("y:Q", axis=alt.Axis(title=plain(score), format=".1~f", tickCount=7, grid=one_by_one))
    y = y.scale(domain=[low, HIGH], nice=False, zero=False, clamp=True)
    data = DataSets()
    marks = dots(data, _dots(units, unit_link, score), x, y) if one_by_one else None
    marks = marks or cells(data, _cells(units, cell_link, score), x, y)
    lines = _drawn(data, by_layer, x, y)
    chart = alt.LayerChart(layer=[*lines, marks] if one_by_one else [marks, *lines], width=width, height=height)
    return figure(chart, data, _alternative(units, unscored, by_layer, score))


def _scored(
    layers: ArrayLike, scores: ArrayLike, nulls: ArrayLike | None, names: Sequence[str] | None
) -> tuple[_Units, int]:
    where, values = np.asarray(layers, np.float64), np.asarray(scores, np.float64)
    sides = [len(column) for column in (np.asarray(nulls), names) if column is not None and np.ndim(column)]
    if where.ndim != 1 or where.shape != values.shape or any(size != where.size for size in sides):
        raise ValueError(
            f"layers, scores, nulls and names must be of one length. Got {where.size}, {values.size}, {sides}."
        )
    kept = np.isfinite(values) & np.isfinite(where)
    if not kept.any():
        raise ValueError("a map needs at least one unit with a score. Got none.")
    beaten = None if nulls is None else np.asarray(nulls, np.float64)[kept]
    known = [plain(name) for name, keep in zip(names, kept, strict=True) if keep] if names is not None else []
    return _Units(where[kept], values[kept], beaten, known), int((~kept).sum())


def _dots(units: _Units, link: str, score: str) -> list[dict[str, Any]]:
    places = beside(units.layers, -units.scores)
    rows: list[dict[str, Any]] = []
    for i, name in enumerate(units.names):
        row = {"x": round(float(places[i]), 4), "y": float(units.scores[i]), "unit": name}
        null = "" if units.nulls is None else f", best null {score_text(float(units.nulls[i]))}"
        row["said"] = f"{name}: {score} {score_text(row['y'])}{null}"
        rows.append(row | ({"href": filled(link, unit=name)} if link else {}))
    return rows


def _cells(units: _Units, link: str, score: str) -> list[dict[str, Any]]:
    bins = round((HIGH - LOW) / STEP)
    at = np.clip(np.floor((units.scores - LOW) / STEP + 1e-9), 0, bins - 1).astype(np.int64)
    lowest = min(LOW, STEP * math.floor(float(units.scores.min()) / STEP))
    pairs, counts = np.unique(np.stack([units.layers.astype(np.int64), at]), axis=1, return_counts=True)
    rows: list[dict[str, Any]] = []
    for layer, place, count in zip(*pairs.tolist(), counts.tolist(), strict=True):
        bottom, top = round(LOW + place * STEP, 10), round(LOW + (place + 1) * STEP, 10)
        low = round(bottom if place else lowest, 10)
        said = f"layer {layer}, {score} {score_text(low)} to {score_text(top)}: {counted(count, 'unit')}"
        row = {
            "x": layer - 0.46,
            "x2": layer + 0.46,
            "y": bottom,
            "y2": top,
            "layer": layer,
            "count": count,
            "said": said,
        }
        rows.append(row | ({"href": filled(link, layer=layer, low=low, high=top)} if link else {}))
    return rows


def _lines(units: _Units) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for layer in np.unique(units.layers).tolist():
        here = units.layers == layer
        rows.append({"x": layer, "y": float(np.median(units.scores[here])), "series": _MEDIAN})
        if units.nulls is not None and np.isfinite(units.nulls[here]).any():
            rows.append({"x": layer, "y": float(np.nanmean(units.nulls[here])), "series": _NULL})
    return rows


def _drawn(data: DataSets, rows: list[dict[str, Any]], x: alt.X, y: alt.Y) -> list[alt.Chart]:
    """The lines over the marks, on a halo of paper, and a point a layer: a circle a median, a dash a null."""
    legend = alt.Legend(title=None, symbolFillColor="transparent", columnPadding=34)
    used = [name for name in (_MEDIAN, _NULL) if any(row["series"] == name for row in rows)]
    colours, shapes = {_MEDIAN: VERMILION, _NULL: NOISE}, {_MEDIAN: "circle", _NULL: "stroke"}
    colour = alt.Color("series:N", legend=legend).scale(domain=used, range=[colours[name] for name in used])
    shape = alt.Shape("series:N", legend=legend).scale(domain=used, range=[shapes[name] for name in used])
    base = data.chart("lines", rows).encode(x=x, y=y)
    return [
        base.mark_line(color=PAPER, strokeWidth=4, opacity=0.8).encode(detail=alt.Detail("series:N")),
        base.mark_line(strokeWidth=1.6).encode(color=colour),
        base.mark_point(size=26, strokeWidth=1.6, fill=PAPER).encode(color=colour, shape=shape),
        data.chart("zero", [{"y": 0.0}]).mark_rule(color=NULL, strokeWidth=0.8).encode(y=y),
    ]


def _alternative(units: _Units, unscored: int, rows: list[dict[str, Any]], score: str) -> str:
    medians = [(row["y"], int(row["x"])) for row in rows if row["series"] == _MEDIAN]
    (best, at_best), (worst, at_worst) = max(medians), min(medians)
    said = f"Map of {score} by layer of {counted(units.scores.size, 'unit')} in {counted(len(medians), 'layer')}"
    said += f", {unscored:,} more without a score" if unscored else ""
    said += f". The median is {score_text(float(np.median(units.scores)))} over all of them"
    if len(medians) > 1:
        said += (
            f", highest in layer {at_best} ({score_text(best)}) and lowest in layer {at_worst} ({score_text(worst)})"
        )
    if units.nulls is not None and np.isfinite(units.nulls).any():
        said += f"; the mean of the best nulls is {score_text(float(np.nanmean(units.nulls)))}"
    return f"{said}."
