"""The figure of joint replacement: how much of the loss predictions keep as more units are replaced, by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from assay.draw import NOISE, NULL, dressed
from assay.explain.figure import EXPLAINERS, OTHER_EXPLAINERS

MEASURES = {
    "loss": "Loss recovered, by the share of the units that are replaced",
    "kl": "Divergence from the unedited model avoided",
}
_NULLS, _BENCHMARK = "its best null", "truth plus noise, at equal r"
_COLUMNS, _WIDTH = 5, 800
_FLOOR = -0.5  # scores below are drawn at the lower edge


def joint_figure(entries: Sequence[Mapping[str, Any]]) -> alt.VConcatChart:
    """A block a measure, a small panel a site: a line an explainer over the share, its best null, the benchmark."""
    sites = list(dict.fromkeys(entry["site"] for entry in entries))
    explainers = list(dict.fromkeys(entry["explainer"] for entry in entries))
    blocks = [_block(entries, measure, sites, explainers) for measure in MEASURES]
    chart = alt.vconcat(*blocks, spacing=22).resolve_scale(color="shared", strokeDash="shared")
    return dressed(chart).configure_legend(orient="bottom", titleFontSize=0)


def joint_points(entries: Sequence[Mapping[str, Any]], measure: str) -> list[dict[str, Any]]:
    """What is drawn: by site, series and share the score and its interval; unscored ones are left out."""
    points: list[dict[str, Any]] = []
    for entry in entries:
        own = entry if measure == "loss" else entry["kl"]
        value = own["loss_recovered" if measure == "loss" else "recovered"]
        if value is None:
            continue
        nulls = [null for null in own["nulls"].values() if null is not None]
        lines = {"prediction": (value, own["lo"], own["hi"]), _NULLS: (max(nulls), None, None)}
        lines[_BENCHMARK] = (own["noise_equal_r"], None, None)
        points += [
            {"site": entry["site"], "explainer": entry["explainer"], "line": line, "share": entry["share"]}
            | {"score": score, "lo": lo, "hi": hi}
            for line, (score, lo, hi) in lines.items()
            if score is not None
        ]
    return points


def _block(
    entries: Sequence[Mapping[str, Any]], measure: str, sites: Sequence[str], explainers: Sequence[str]
) -> alt.ConcatChart:
    points = joint_points(entries, measure)
    columns = min(_COLUMNS, len(sites))
    width = (_WIDTH - 42 * columns) // columns if columns > 1 else 560
    panels = [
        _panel([point for point in points if point["site"] == site], site, explainers, width, i % columns == 0)
        for i, site in enumerate(sites)
    ]
    title = alt.Title(MEASURES[measure], anchor="start")
    return alt.concat(*panels, columns=columns, spacing=10).properties(title=title)


def _panel(points: Sequence[Mapping[str, Any]], site: str, explainers: Sequence[str], width: int, first: bool) -> Any:
    others = iter(OTHER_EXPLAINERS)
    colours = {name: (EXPLAINERS.get(name) or next(others))[0] for name in explainers}
    x = alt.X(
        "share:Q",
        scale=alt.Scale(domain=[0, 1], nice=False),
        axis=alt.Axis(title=None, format="%", tickCount=3),
    )
    y_axis = alt.Axis(title="recovered" if first else None, tickCount=4)
    y = alt.Y("score:Q", scale=alt.Scale(domain=[_FLOOR, 1], nice=False, clamp=True), axis=y_axis)
    low, high = y.copy(), alt.Y2("hi:Q")
    low.shorthand = "lo:Q"
    colour = alt.Color(
        "explainer:N",
        scale=alt.Scale(domain=explainers, range=[colours[name] for name in explainers]),
        legend=alt.Legend(title=None),
    )
    dash = alt.StrokeDash(
        "line:N",
        scale=alt.Scale(domain=["prediction", _BENCHMARK, _NULLS], range=[[1, 0], [5, 3], [1, 3]]),
        legend=alt.Legend(title=None, symbolStrokeColor=NOISE),
    )
    base = alt.Chart(alt.Data(values=list(points))).encode(x=x)
    own = base.transform_filter(alt.datum.line == "prediction")
    tip = ["explainer:N", "line:N", "share:Q", "score:Q", "lo:Q", "hi:Q"]
    zero = alt.Chart(alt.Data(values=[{"zero": 0}])).mark_rule(color=NULL).encode(y="zero:Q")
    layers: list[alt.Chart] = [
        zero,
        *(
            own.transform_filter(alt.datum.explainer == name)
            .mark_area(opacity=0.16, color=own_colour)
            .encode(y=low, y2=high)
            for name, own_colour in colours.items()
        ),
        base.mark_line(strokeWidth=1.6).encode(y=y, color=colour, strokeDash=dash),
        own.mark_point(filled=True, size=18, opacity=1).encode(y=y, color=colour, tooltip=tip),
    ]
    return alt.layer(*layers).properties(width=width, height=120, title=alt.Title(site, fontSize=11, fontWeight=400))
