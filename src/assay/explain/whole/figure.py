"""The figure of a whole run: how the scores of all units are distributed, by depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import altair as alt
import vl_convert

from assay.draw import dressed

_BLUE, _VERMILION, _GREEN, _PURPLE, _GREY = "#0072b2", "#d55e00", "#009e73", "#a8638f", "#a2a2a9"
_WIDTH = 800
_LINES = {
    "rules, mean": (_BLUE, "mean_r"),
    "lookup of equal length": (_VERMILION, "lookup"),
    "lookup, unlimited": (_GREEN, "lookup_full"),
    "bigram, unlimited": (_PURPLE, "bigram_full"),
    "best null": (_GREY, "mean_null"),
}


class Drawing(NamedTuple):
    """A figure as Vega-Lite JSON and as one ``<svg>`` element."""

    json: str
    svg: str


def depth_figure(layers: Sequence[Mapping[str, Any]]) -> Drawing:
    """The figure of a summary's ``per_layer``: quantiles of r, mean references and nulls, the share that predicts."""
    boxes = [
        {"layer": row["layer"], **dict(zip(("q05", "q25", "q50", "q75", "q95"), row["quantiles_r"], strict=True))}
        for row in layers
    ]
    lines = [
        {"layer": row["layer"], "series": name, "r": row[key] if key in row else row["references"][key]}
        for name, (_, key) in _LINES.items()
        for row in layers
    ]
    shares = [
        {"layer": row["layer"], "series": name, "share": row[key] / row["units"]}
        for name, key in (("predict or better", "predicts"), ("above the lookup of equal length", "above_lookup"))
        for row in layers
    ]
    ends = [min(row["layer"] for row in layers) - 0.5, max(row["layer"] for row in layers) + 0.5]
    x = alt.X(
        "layer:Q",
        axis=alt.Axis(title="layer", format="d", tickMinStep=1),
        scale=alt.Scale(domain=ends, nice=False),
    )
    y = alt.Y("q50:Q")
    colour = alt.Color(
        "series:N",
        scale=alt.Scale(domain=list(_LINES), range=[colour for colour, _ in _LINES.values()]),
        legend=alt.Legend(title=None),
    )
    base = alt.Chart(alt.Data(values=boxes)).encode(x=x)
    beside = alt.Chart(alt.Data(values=lines)).encode(x=x, y=alt.Y("r:Q"), color=colour)
    r_axis = alt.Y("q05:Q", axis=alt.Axis(title="r of the rules"), scale=alt.Scale(domain=[0, 1], clamp=True))
    top = alt.layer(
        base.mark_rule(color=_BLUE, opacity=0.35).encode(y=r_axis, y2="q95:Q"),
        base.mark_bar(color=_BLUE, opacity=0.3, size=12).encode(y=alt.Y("q25:Q"), y2="q75:Q"),
        base.mark_tick(color=_BLUE, orient="horizontal", size=12, thickness=2).encode(y=y),
        beside.mark_line(strokeWidth=1.4),
    ).properties(
        width=_WIDTH,
        height=260,
        title=alt.Title(
            "r on unseen documents: 5 to 95 % of the units, quartiles, median; means as lines", anchor="start"
        ),
    )
    share_colour = alt.Color(
        "series:N",
        scale=alt.Scale(domain=["predict or better", "above the lookup of equal length"], range=[_BLUE, _GREY]),
        legend=alt.Legend(title=None),
    )
    bottom = (
        alt.Chart(alt.Data(values=shares))
        .mark_line(point=True)
        .encode(
            x=x,
            y=alt.Y("share:Q", axis=alt.Axis(title="share of units", format="%"), scale=alt.Scale(domain=[0, 1])),
            color=share_colour,
        )
        .properties(width=_WIDTH, height=130, title=alt.Title("Verdicts by depth", anchor="start"))
    )
    chart = dressed(alt.vconcat(top, bottom, spacing=22).resolve_scale(color="independent"))
    return Drawing(chart.to_json(indent=1), vl_convert.vegalite_to_svg(chart.to_dict()))
