"""The figure of a selftest: what each score sees, what the verdict finds, and what gives a liar away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from assay.draw import NULL, dressed, svg
from assay.selftest.sanity import LEAST_SHARE

_WIDTH = 640
_BLUE, _VERMILION, _GREEN = "#0072b2", "#d55e00", "#009e73"
_CHANGES = {"missing": "half of the firings left out", "extra": "as many again at random"}
_LOWEST, _HIGHEST = -0.1, 1.0


def figure_json(result: Mapping[str, Any]) -> str:
    """The figure as Vega-Lite JSON."""
    return build_figure(result).to_json(indent=1)


def figure_svg(result: Mapping[str, Any]) -> str:
    """The figure as one ``<svg>`` element. Rendered in the process, without a network; equal input, equal bytes."""
    return svg(build_figure(result))


def build_figure(result: Mapping[str, Any]) -> alt.VConcatChart:
    """The figure of a result (the JSON of ``assay selftest``) as an Altair chart."""
    panels = [_scores(result["scores"]), _power(result["verdict"]), _liars(result["dishonest"])]
    return dressed(alt.vconcat(*panels, spacing=26).resolve_scale(color="independent", shape="independent"))


def _scores(scores: Mapping[str, Mapping[str, Any]]) -> alt.LayerChart:
    rows = [
        {
            "score": name,
            "change": label,
            "share": _clipped(row[f"{change}_share"]),
            "lo": _clipped(row[f"{change}_share_lo"]),
            "hi": _clipped(row[f"{change}_share_hi"]),
        }
        for name, row in scores.items()
        for change, label in _CHANGES.items()
        if row[f"{change}_share"] is not None
    ]
    colour, shape = _keys("change", list(_CHANGES.values()), [_BLUE, _VERMILION], ["circle", "diamond"])
    y = alt.Y("score:N", sort=list(scores), axis=alt.Axis(title=None))
    x = alt.X("share:Q", axis=alt.Axis(title="share of the truth’s score that is lost", format="%", tickCount=6)).scale(
        domain=[_LOWEST, _HIGHEST], nice=False
    )
    base = alt.Chart(alt.Data(values=rows)).encode(y=y, color=colour)
    least = alt.Chart(alt.Data(values=[{"least": LEAST_SHARE}])).mark_rule(color=NULL, strokeWidth=1)
    layers: list[alt.Chart] = [
        least.encode(x=alt.X("least:Q")),
        base.mark_rule(strokeWidth=1.6).encode(x=alt.X("lo:Q"), x2="hi:Q"),
        base.mark_point(filled=True, size=42, opacity=1).encode(x=x, shape=shape),
    ]
    title = alt.Title("Half of the labels are wrong: what is lost must be more than the line", anchor="start")
    return alt.LayerChart(layer=layers).properties(width=_WIDTH, height=17 * len(scores), title=title)


def _clipped(value: float | None) -> float | None:
    return None if value is None else min(max(value, _LOWEST), _HIGHEST)


def _power(verdict: Mapping[str, Any]) -> alt.LayerChart:
    labels = {"power": "prediction check passed", "both": "supported, by behaviour as well"}
    rows = [
        {
            "effect": f"{row['effect']:g}",
            "check": label,
            "share": row[key],
            "lo": row[f"{key}_lo"],
            "hi": row[f"{key}_hi"],
        }
        for row in verdict["power"]
        for key, label in labels.items()
        if row[key] is not None
    ]
    colour, shape = _keys("check", list(labels.values()), [_BLUE, _GREEN], ["circle", "diamond"])
    order = [f"{row['effect']:g}" for row in verdict["power"]]
    title = f"planted d: r above the best null (margin {verdict['margin']:g})"
    x = alt.X("effect:N", sort=order, axis=alt.Axis(title=title, labelAngle=0))
    y = alt.Y("share:Q", axis=alt.Axis(title="share of the claims", format="%", tickCount=5)).scale(domain=[0, 1])
    base = alt.Chart(alt.Data(values=rows)).encode(x=x, color=colour)
    layers: list[alt.Chart] = [
        base.mark_line(strokeWidth=1, opacity=0.5).encode(y=y),
        base.mark_rule(strokeWidth=1.6).encode(y=alt.Y("lo:Q"), y2="hi:Q"),
        base.mark_point(filled=True, size=48, opacity=1).encode(y=y, shape=shape),
    ]
    what = alt.Title("Power: how often the verdict finds what was planted", anchor="start")
    return alt.LayerChart(layer=layers).properties(width=_WIDTH, height=180, title=what)


def _liars(dishonest: Mapping[str, Any]) -> alt.LayerChart:
    rows = [
        {"case": f"{lie}: {case}", "statistic": statistic, **found}
        for lie, cases in (("swaps", dishonest["swap"]), ("hides", dishonest["hide"]))
        for case, statistics in cases.items()
        for statistic, found in statistics.items()
        if found["auc"] is not None
    ]
    cases = list(dict.fromkeys(row["case"] for row in rows))
    y = alt.Y("case:N", sort=cases, axis=alt.Axis(title=None, labelLimit=300))
    scale, name = (
        alt.Scale(domain=[0.3, 1], nice=False, clamp=True),
        "AUC: .5 is chance, 1 tells every lie from every truth",
    )
    x, low = (alt.X(field, type="quantitative", axis=alt.Axis(title=name), scale=scale) for field in ("auc", "lo"))
    base = alt.Chart(alt.Data(values=rows)).encode(y=y, color=alt.Color("statistic:N", legend=alt.Legend(title=None)))
    layers: list[alt.Chart] = [
        base.mark_rule(strokeWidth=1.2, opacity=0.6).encode(x=low, x2="hi:Q"),
        base.mark_point(filled=True, size=42, opacity=1).encode(x=x),
    ]
    title = alt.Title("Dishonest explainers: what gives them away", anchor="start")
    return alt.LayerChart(layer=layers).properties(width=_WIDTH, height=24 * len(cases), title=title)


def _keys(
    field: str, names: Sequence[str], colours: Sequence[str], shapes: Sequence[str]
) -> tuple[alt.Color, alt.Shape]:
    """One legend for colour and shape together."""
    legend = alt.Legend(title=None)
    colour, shape = (alt.Scale(domain=list(names), range=list(values)) for values in (colours, shapes))
    return alt.Color(f"{field}:N", scale=colour, legend=legend), alt.Shape(f"{field}:N", scale=shape, legend=legend)
