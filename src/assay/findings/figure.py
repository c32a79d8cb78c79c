"""The figure of an experiment, from the panels of its result: lines with intervals and matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from assay.draw import BLUE, GREEN, INK, NOISE, PURPLE, SKY, VERMILION, dressed, svg
from assay.findings.found import MATRIX

Rows = Sequence[Mapping[str, Any]]

_WIDTH = 560
_HEIGHT = 210
_CELL = 26
_UPRIGHT = 5  # words up to which they stand upright below an axis
_SHARES = ("AUROC", "AUC", "accuracy", "success", "recall", "folded", "cosine", "median |cosine|")
_DASHES = [[3, 3], [7, 3], [1, 2], [9, 2, 2, 2]]
_COLOURS = [BLUE, VERMILION, GREEN, PURPLE, SKY, NOISE, "#e69f00", "#f0e442"]
_SHAPES = ["circle", "square", "diamond", "triangle-up", "cross", "triangle-down", "stroke", "arrow"]


def figure_json(result: Mapping[str, Any]) -> str:
    """The figure as Vega-Lite JSON."""
    return build_figure(result).to_json(indent=1)


def figure_svg(result: Mapping[str, Any]) -> str:
    """The figure as one ``<svg>`` element."""
    return svg(build_figure(result))


def build_figure(result: Mapping[str, Any]) -> alt.VConcatChart:
    """The figure of a result (the JSON of ``assay probe`` and ``assay erase``) as an Altair chart.

    Raises:
        ValueError: the result has no panel.
    """
    panels = [_matrix(panel) if panel["kind"] == MATRIX else _lines(panel) for panel in result["panels"]]
    if not panels:
        raise ValueError("a figure needs at least one panel. Got none.")
    chart = alt.vconcat(*panels, spacing=26).resolve_scale(
        color="independent", shape="independent", strokeDash="independent"
    )
    return dressed(chart)


def _lines(panel: Mapping[str, Any]) -> alt.LayerChart:
    """Series by x, each with its interval; nulls are grey and dashed."""
    rows: Rows = [row for row in panel["rows"] if row.get("y") is not None]
    series = list(dict.fromkeys(row["series"] for row in rows))
    own = [name for name in series if name not in panel["nulls"]]
    words = any(isinstance(row["x"], str) for row in rows)
    many = len({row["x"] for row in rows}) > _UPRIGHT
    axis = alt.Axis(title=panel["x"])
    if words:
        axis = alt.Axis(title=panel["x"], labelAngle=-30 if many else 0, labelLimit=180)
    elif not panel["log"] and all(isinstance(row["x"], int) for row in rows):
        axis = alt.Axis(title=panel["x"], format="d", tickMinStep=1)
    scale = alt.Scale(type="log") if panel["log"] else alt.Scale(zero=False, nice=not words)
    x = alt.X("x:N", sort=None, axis=axis) if words else alt.X("x:Q", axis=axis, scale=scale)
    share = any(panel["y"].startswith(word) for word in _SHARES)
    y_scale = alt.Scale(domain=[0, 1], nice=False) if share else alt.Scale(zero=False)
    y = alt.Y("y:Q", axis=alt.Axis(title=panel["y"]), scale=y_scale)
    colours = {name: _COLOURS[place % len(_COLOURS)] for place, name in enumerate(own)}
    shapes = {name: _SHAPES[place % len(_SHAPES)] for place, name in enumerate(own)}
    domain = own
    legend = alt.Legend(title=None, columns=3, labelLimit=260)
    colour = alt.Color("series:N", legend=legend).scale(domain=domain, range=[colours[name] for name in domain])
    shape = alt.Shape("series:N", legend=legend).scale(domain=domain, range=[shapes[name] for name in domain])
    names = [name for name in series if name in panel["nulls"]]
    dash = alt.StrokeDash("series:N", legend=alt.Legend(title=None, orient="bottom", labelLimit=300) if names else None)
    dash = dash.scale(domain=names, range=_DASHES[: len(names)])
    marks = [dict(row) for row in rows if row["series"] in own]
    layers: list[Any] = []
    if null := [row for row in rows if row["series"] in panel["nulls"]]:
        layers.append(
            alt.Chart(alt.Data(values=null))
            .mark_line(strokeWidth=1.3)
            .encode(x=x, y=y, color=alt.ColorValue(NOISE), strokeDash=dash)
        )
    if spans := [row for row in marks if row.get("lo") is not None]:
        span = alt.Chart(alt.Data(values=spans)).mark_rule(strokeWidth=1.6, opacity=0.55)
        layers.append(_offset(span.encode(x=x, y=alt.Y("lo:Q"), y2="hi:Q", color=colour), own, words))
    base = alt.Chart(alt.Data(values=marks))
    if not words:
        layers.append(base.mark_line(strokeWidth=1.3, opacity=0.7).encode(x=x, y=y, color=colour))
    points = base.mark_point(filled=True, size=46, opacity=1).encode(x=x, y=y, color=colour, shape=shape)
    layers.append(_offset(points, own, words))
    return alt.LayerChart(layer=layers).properties(width=_WIDTH, height=_HEIGHT, title=_title(panel))


def _offset(chart: Any, own: Sequence[str], words: bool) -> Any:
    """Series beside each other where x is a word."""
    return chart.encode(xOffset=alt.XOffset("series:N", sort=list(own))) if words and len(own) > 1 else chart


def _matrix(panel: Mapping[str, Any]) -> alt.LayerChart:
    """A value in each cell, from white to blue above the middle and to vermilion below."""
    rows = [dict(row) for row in panel["rows"]]
    for row in rows:
        row.setdefault("text", "–" if row["value"] is None else f"{row['value']:.2f}")
    xs, ys = (list(dict.fromkeys(row[name] for row in rows)) for name in ("x", "y"))
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("x:N", sort=xs, axis=alt.Axis(title=panel["x"], labelAngle=0, labelAlign="center", orient="top")),
        y=alt.Y("y:N", sort=ys, axis=alt.Axis(title=panel["y"], labelLimit=260)),
    )
    scale = alt.Scale(domain=[0, 0.5, 1], range=[VERMILION, "#f4f4f6", BLUE], clamp=True, interpolate="rgb")
    known = [row for row in rows if row["value"] is not None]
    layers: list[Any] = [
        alt.Chart(alt.Data(values=known))
        .mark_rect()
        .encode(x=alt.X("x:N", sort=xs), y=alt.Y("y:N", sort=ys), color=alt.Color("value:Q", scale=scale, legend=None)),
        base.mark_text(fontSize=10).encode(
            text="text:N",
            color=alt.condition(
                "isValid(datum.value) && abs(datum.value - 0.5) > 0.32", alt.value("#ffffff"), alt.value(INK)
            ),
        ),
    ]
    width = max(130, 9 * max(len(row["text"]) for row in rows)) * len(xs)
    return alt.LayerChart(layer=layers).properties(width=width, height=_CELL * len(ys), title=_title(panel))


def _title(panel: Mapping[str, Any]) -> alt.Title:
    return alt.Title(panel["title"], anchor="start")
