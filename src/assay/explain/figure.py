"""The figure of a run: score against depth, beside its nulls and its references.

One panel for prediction (r) and, where it was measured, one for behaviour. Each explainer has a mark with its
interval; nulls are short grey ticks; references are thin lines. When all units sit in one layer there is no depth
to show, and x is the rank of the unit by r. Colours are from the Okabe-Ito set, and every series has its own shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import altair as alt

from assay.core.ids import UnitId
from assay.draw import BLUE, GREEN, NOISE, NULL, PURPLE, VERMILION, dressed, svg

EXPLAINERS = {"rules": (BLUE, "circle"), "lookup": (VERMILION, "square"), "self": ("#56b4e9", "diamond")}
OTHER_EXPLAINERS = ((GREEN, "diamond"), (PURPLE, "circle"))
_REFERENCES = {
    "bigram_full": ("bigram, unlimited", PURPLE, "triangle-up"),
    "lookup_full": ("lookup, unlimited", GREEN, "cross"),
}
_NULLS = {"noise_equal_r": ("truth plus noise, at equal r", NOISE)}  # a benchmark, which decides nothing
_OTHER_NULLS = ("nulls", NULL)
_LOWEST = -0.5  # scores below are drawn at the lower edge
_WIDTH = 800


class _Panel(NamedTuple):
    """One panel: which keys of a result's unit hold value, interval, nulls and references."""

    title: str
    value: str
    low: str
    high: str
    nulls: str
    references: tuple[str, ...]
    height: int


_PREDICTION = _Panel("Prediction: r on the test split", "r", "r_lo", "r_hi", "nulls", tuple(_REFERENCES), 240)
_BEHAVIOUR = _Panel(
    "Behaviour: share of the unit’s effect that the prediction keeps",
    *("behaviour", "behaviour_lo", "behaviour_hi", "behaviour_nulls"),
    (),
    170,
)


def build_figure(result: Mapping[str, Any]) -> alt.VConcatChart:
    """The figure of a result (the JSON of ``assay explain``) as an Altair chart.

    Units without a score are left out; a result without any behaviour score has one panel.
    """
    units: Sequence[Mapping[str, Any]] = result["units"]
    explainers = list(dict.fromkeys(unit["explainer"] for unit in units))
    places, axis = _places(units, explainers)
    panels = [_PREDICTION]
    if any(unit["behaviour"] is not None for unit in units):
        panels.append(_BEHAVIOUR)
    datasets: dict[str, list[dict[str, Any]]] = {}
    charts = [_chart(panel, units, explainers, places, axis, datasets, panel is panels[-1]) for panel in panels]
    chart = dressed(alt.vconcat(*charts, spacing=22).resolve_scale(color="independent", shape="independent"))
    chart.datasets = datasets
    return chart


def figure_json(result: Mapping[str, Any]) -> str:
    """The figure as Vega-Lite JSON."""
    return build_figure(result).to_json(indent=1)


def figure_svg(result: Mapping[str, Any]) -> str:
    """The figure as one ``<svg>`` element. Rendered in the process, without a network; equal input, equal bytes."""
    return svg(build_figure(result))


def _places(units: Sequence[Mapping[str, Any]], explainers: Sequence[str]) -> tuple[dict[str, float], alt.X]:
    """Where each unit stands on x, and that axis."""
    layers = {unit["unit"]: UnitId.parse(unit["unit"]).site.layer for unit in units}
    r = {unit["unit"]: unit["r"] for unit in reversed(units) if unit["r"] is not None}
    r |= {unit["unit"]: unit["r"] for unit in units if unit["explainer"] == explainers[0] and unit["r"] is not None}
    ordered = sorted(layers, key=lambda name: (-r.get(name, -2.0), name))
    if len(set(layers.values())) == 1:
        layer = next(iter(layers.values()))
        places = {name: float(i + 1) for i, name in enumerate(ordered)}
        return places, _axis(f"units of layer {layer}, by r", 0.25, len(ordered) + 0.75, len(ordered))
    places = {}
    for layer in set(layers.values()):
        here = [name for name in ordered if layers[name] == layer]
        for i, name in enumerate(here):
            places[name] = layer + 0.6 * ((i + 0.5) / len(here) - 0.5)
    low, high = min(layers.values()), max(layers.values())
    return places, _axis("layer", low - 0.75, high + 0.75, high - low + 1)


def _axis(title: str, low: float, high: float, ticks: int) -> alt.X:
    scale = alt.Scale(domain=[low, high], nice=False, zero=False)
    return alt.X("x:Q", scale=scale, axis=alt.Axis(title=title, tickCount=min(ticks, 30), tickMinStep=1, format="d"))


def _chart(
    panel: _Panel,
    units: Sequence[Mapping[str, Any]],
    explainers: Sequence[str],
    places: Mapping[str, float],
    x: alt.X,
    datasets: dict[str, list[dict[str, Any]]],
    last: bool,
) -> alt.LayerChart:
    scored = [unit for unit in units if unit[panel.value] is not None]
    spread = {name: 0.12 * (i - (len(explainers) - 1) / 2) for i, name in enumerate(explainers)}
    marks = [
        {
            "x": round(places[unit["unit"]] + spread[unit["explainer"]], 4),
            "series": unit["explainer"],
            "score": unit[panel.value],
            "low": unit[panel.low],
            "high": unit[panel.high],
            "unit": unit["unit"],
        }
        for unit in scored
    ]
    values = [v for mark in marks for v in (mark["score"], mark["low"]) if v is not None]
    nulls = _side(scored, places, panel.nulls, {}, spread)
    lowest = min([-0.1, *values, *(row["score"] for row in nulls)]) - 0.02
    floor = max(_LOWEST, lowest)
    name = panel.value + (f", clipped at {_LOWEST:g}".replace("-", "−") if lowest < _LOWEST else "")
    y, y_low = (
        alt.Y(field=field, type="quantitative", axis=alt.Axis(title=name, tickCount=6)).scale(
            domain=[floor, 1], nice=False, clamp=True
        )
        for field in ("score", "low")
    )
    if not last:
        x = x.axis(title=None, labels=False, ticks=False, domain=False)
    colour, shape = _legend(explainers, panel)

    def on(name: str, rows: list[dict[str, Any]]) -> alt.Chart:
        datasets[f"{panel.value}: {name}"] = rows
        return alt.Chart(alt.NamedData(f"{panel.value}: {name}"))

    tip = ["unit:N", "name:N", "score:Q"]
    layers: list[alt.Chart] = [
        on("zero", [{"zero": 0}]).mark_rule(color=NULL, strokeWidth=1).encode(y=alt.Y("zero:Q")),
        on("nulls", nulls)
        .mark_tick(orient="horizontal", size=7, thickness=1.6)
        .encode(x=x, y=y, color=colour, tooltip=tip),
    ]
    on_all = [unit for unit in scored if not unit.get("same_tokens")]  # references of a sample stand on other tokens
    for key in panel.references:
        rows = _side(on_all, places, "references", {key: _REFERENCES[key][0]}, {})
        base = on(key, rows).encode(x=x, y=y, color=colour, tooltip=tip)
        layers.append(base.mark_line(strokeWidth=1, opacity=0.55))
        layers.append(base.mark_point(size=22, strokeWidth=1.2).encode(shape=shape))
    base = on("scores", marks).encode(x=x, color=colour, tooltip=["unit:N", "score:Q", "low:Q", "high:Q"])
    layers.append(base.mark_rule(strokeWidth=1.6).encode(y=y_low, y2="high:Q"))
    layers.append(base.mark_point(size=48, filled=True, opacity=1).encode(y=y, shape=shape))
    title = alt.Title(panel.title, anchor="start")
    return alt.LayerChart(layer=layers).properties(width=_WIDTH, height=panel.height, title=title)


def _side(
    units: Sequence[Mapping[str, Any]],
    places: Mapping[str, float],
    column: str,
    wanted: Mapping[str, str],
    spread: Mapping[str, float],
) -> list[dict[str, Any]]:
    """Rows for the nulls or the ``wanted`` references, from left to right; equal ones of two explainers once.

    ``spread`` moves a row to its explainer's side; without it a unit's rows share one place.
    """
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for unit in units:
        for name, score in unit[column].items():
            if score is None or (wanted and name not in wanted):
                continue
            x = round(places[unit["unit"]] + spread.get(unit["explainer"], 0.0), 4)
            series = wanted[name] if wanted else _NULLS.get(name, _OTHER_NULLS)[0]
            rows[x, name, score] = {"x": x, "series": series, "score": score, "unit": unit["unit"], "name": name}
    return [rows[key] for key in sorted(rows)]


def _legend(explainers: Sequence[str], panel: _Panel) -> tuple[alt.Color, alt.Shape]:
    """One legend for colour and shape together."""
    others = [name for name in explainers if name not in EXPLAINERS]
    more = {name: OTHER_EXPLAINERS[i % len(OTHER_EXPLAINERS)] for i, name in enumerate(others)}
    entries = {name: more.get(name) or EXPLAINERS[name] for name in explainers}
    entries |= {label: (colour, shape) for label, colour, shape in (_REFERENCES[key] for key in panel.references)}
    if panel is _BEHAVIOUR:
        entries |= {label: (colour, "stroke") for label, colour in _NULLS.values()}
    entries[_OTHER_NULLS[0]] = (_OTHER_NULLS[1], "stroke")
    domain = list(entries)
    colours, shapes = (alt.Scale(domain=domain, range=[entry[i] for entry in entries.values()]) for i in (0, 1))
    legend = alt.Legend(title=None)
    return alt.Color("series:N", scale=colours, legend=legend), alt.Shape("series:N", scale=shapes, legend=legend)
