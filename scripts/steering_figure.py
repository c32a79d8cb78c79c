"""The figure of docs/findings/steering.md: methods by mean rank, by their effects, and by what they write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt

from assay.draw import BLUE, GRID, INK, NOISE, NULL, VERMILION, dressed, svg
from assay.draw.embedding import standalone

_ROW, _LABEL = 24, 78
_WIDTHS = (200, 240, 160)


def draw(found: Mapping[str, Any]) -> str:
    """SVG that stands alone."""
    methods = list(found["methods"])
    y = alt.Y("method:N", sort=methods, axis=None)
    named = alt.Y("method:N", sort=methods, axis=alt.Axis(title=None, labelLimit=_LABEL, domain=False, ticks=False))
    chart = alt.hconcat(_ranks(found, named), _effects(found, y), _hits(found, y), spacing=18)
    return standalone(svg(dressed(alt.vconcat(chart))))


def _ranks(found: Mapping[str, Any], y: alt.Y) -> alt.LayerChart:
    rows = [{"method": name, **one["rank"]} for name, one in found["methods"].items()]
    base = alt.Chart(alt.Data(values=rows)).encode(y=y)
    scale = alt.Scale(domain=[0.5, len(rows) + 0.5], nice=False, zero=False)
    x = alt.X("value:Q", axis=alt.Axis(title="mean rank over concepts (1 is best)", tickCount=6), scale=scale)
    return _panel(
        [
            base.mark_rule(color=GRID).encode(x=alt.XValue(0), x2=alt.XValue(_WIDTHS[0])),
            base.mark_rule(color=BLUE, strokeWidth=2, opacity=0.6).encode(x=alt.X("lo:Q", scale=scale), x2="hi:Q"),
            base.mark_point(filled=True, size=60, color=BLUE, opacity=1).encode(x=x),
        ],
        0,
        "By what they do to the next word",
    )


def _effects(found: Mapping[str, Any], y: alt.Y) -> alt.LayerChart:
    rows = [
        {"method": row["method"], "effect": row["effect"], "verdict": _verdict(row)}
        for concept in found["concepts"]
        for row in concept["results"]
        if row["effect"] is not None
    ]
    verdicts = ["supported", "undecided or above the cap", "refuted"]
    legend = alt.Legend(title=None, orient="bottom", symbolStrokeWidth=0)
    colour = alt.Color("verdict:N", legend=legend).scale(domain=verdicts, range=[BLUE, NULL, VERMILION])
    shape = alt.Shape("verdict:N", legend=legend).scale(domain=verdicts, range=["circle", "square", "cross"])
    base = alt.Chart(alt.Data(values=rows)).encode(y=y)
    rules = alt.Chart(alt.Data(values=[{"method": name} for name in found["methods"]])).encode(y=y)
    zero = alt.Chart(alt.Data(values=[{"effect": 0}])).mark_rule(color=NULL).encode(x="effect:Q")
    x = alt.X("effect:Q", axis=alt.Axis(title="rise of log odds, nats: a mark a concept", tickCount=6))
    return _panel(
        [
            rules.mark_rule(color=GRID).encode(x=alt.XValue(0), x2=alt.XValue(_WIDTHS[1])),
            zero,
            base.mark_point(filled=True, size=42, opacity=0.8, strokeWidth=0).encode(x=x, color=colour, shape=shape),
        ],
        1,
        "Effects",
    )


def _verdict(row: Mapping[str, Any]) -> str:
    return row["verdict"] if row["verdict"] in ("supported", "refuted") else "undecided or above the cap"


def _hits(found: Mapping[str, Any], y: alt.Y) -> alt.LayerChart:
    rows = [{"method": name, "null": one["hits_null"], **one["hits"]} for name, one in found["methods"].items()]
    base = alt.Chart(alt.Data(values=rows)).encode(y=y)
    untreated = alt.Chart(alt.Data(values=[{"value": found["untreated"]["value"]}]))
    x = alt.X("value:Q", axis=alt.Axis(title="share of hits, tick: random", tickCount=4)).scale(zero=True)
    return _panel(
        [
            base.mark_rule(color=GRID).encode(x=alt.XValue(0), x2=alt.XValue(_WIDTHS[2])),
            untreated.mark_rule(color=NULL, strokeDash=[3, 3]).encode(x="value:Q"),
            base.mark_rule(color=INK, strokeWidth=2, opacity=0.5).encode(x=alt.X("lo:Q"), x2="hi:Q"),
            base.mark_tick(color=NOISE, thickness=2, size=14).encode(x=alt.X("null:Q")),
            base.mark_point(filled=True, size=60, color=INK, opacity=1).encode(x=x),
        ],
        2,
        "What they write",
    )


def _panel(layers: list[Any], place: int, title: str) -> alt.LayerChart:
    height = alt.Step(_ROW)
    return alt.LayerChart(layer=layers, width=_WIDTHS[place], height=height, title=alt.Title(title, anchor="start"))
