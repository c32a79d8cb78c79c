"""The figure of a run of reports: bits and slopes against the layers left, answers to doses, and what more data
bring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from assay.draw import BLUE, GREEN, INK, NOISE, NULL, PURPLE, SKY, VERMILION, dressed, svg

Cells = Sequence[Mapping[str, Any]]

_WIDTH = 640
_HEIGHT = 200
_LOWEST_BITS = -1.0  # below it points are drawn at the lower edge
_SERIES = {
    "the model’s report": BLUE,
    "text alone, the best": VERMILION,
    "other model’s report": PURPLE,
    "blind to the full stop": GREEN,
    "taught shuffled numbers": NULL,
    "probe before the neuron": SKY,
    "probe after, the best": NOISE,
}
_KEYS = ("bits", "text", "other_model", "blind", "shuffled", "probe_before", "probe_after")
_DRIFTS = [0, 1, 3, 10, 30, 100, 300, 1000]
_WAYS = [BLUE, VERMILION, GREEN, PURPLE, SKY, NOISE]
_SHAPES = ["circle", "square", "diamond", "triangle-up", "cross", "triangle-down", "stroke"]


def figure_json(result: Mapping[str, Any]) -> str:
    """The figure as Vega-Lite JSON."""
    return build_figure(result).to_json(indent=1)


def figure_svg(result: Mapping[str, Any]) -> str:
    """The figure as one ``<svg>`` element."""
    return svg(build_figure(result))


def build_figure(result: Mapping[str, Any]) -> alt.VConcatChart:
    """The figure of a result (the JSON of ``assay report``) as an Altair chart: a panel a question, where there are
    data."""
    cells: Cells = result["cells"]
    models = list(dict.fromkeys(cell["model"] for cell in cells))
    panels: list[alt.LayerChart] = []
    for model in models:  # layers of one are not those of another
        own = [cell for cell in cells if cell["model"] == model]
        whose = f"{model}: " if len(models) > 1 else ""
        for way in dict.fromkeys(map(_way, own)):
            panels.append(_bits([cell for cell in own if _way(cell) == way], f"{whose}{way}"))
        panels.append(_slopes(own, whose))
    panels += [doses(cells), amounts(cells)]
    if any(cell["drift"] for cell in cells):
        panels.append(drift(cells))
    if len(models) > 1:
        panels.append(sizes(result))
    resolved = alt.vconcat(*panels, spacing=26).resolve_scale(
        color="independent", shape="independent", strokeDash="independent"
    )
    return dressed(resolved)


def _bits(own: Cells, what: str) -> alt.LayerChart:
    """Bits by layers left: the report of each neuron, and the mean over neurons of every baseline."""
    names = dict(zip(_KEYS, _SERIES, strict=True))
    points: list[dict[str, Any]] = []
    for left in sorted({cell["layers_left"] for cell in own}):
        here = [cell for cell in own if cell["layers_left"] == left]
        for key, name in names.items():
            values = [cell["bits"] if key == "bits" else cell["baselines"][key] for cell in here]
            known = [value for value in values if value is not None]
            if known:
                points.append({"left": left, "series": name, "bits": max(sum(known) / len(known), _LOWEST_BITS)})
    told = [cell for cell in own if cell["bits"] is not None]
    single = [{"left": cell["layers_left"], "bits": max(cell["bits"], _LOWEST_BITS)} for cell in told]
    used = [name for name in _SERIES if any(point["series"] == name for point in points)]
    colour, shape = _keys(used)
    x = _lefts(own)
    y = alt.Y("bits:Q", axis=alt.Axis(title="bits about the decile (3.32 is all)"))
    base = alt.Chart(alt.Data(values=points)).encode(x=x, y=y, color=colour)
    layers: list[Any] = [
        alt.Chart(alt.Data(values=[{"zero": 0}])).mark_rule(color=NULL).encode(y=alt.Y("zero:Q")),
        alt.Chart(alt.Data(values=single)).mark_circle(color=BLUE, opacity=0.35, size=18).encode(x=x, y=y),
        base.mark_line(strokeWidth=1.2, opacity=0.6),
        base.mark_point(filled=True, size=46, opacity=1).encode(shape=shape),
    ]
    title = alt.Title(f"What reports are worth, {what}: mean over neurons", anchor="start")
    return alt.LayerChart(layer=layers).properties(width=_WIDTH, height=_HEIGHT, title=title)


def _slopes(cells: Cells, whose: str = "") -> alt.LayerChart:
    """Relative slope by layers left, a mark a neuron with its interval."""
    ways = list(dict.fromkeys(_way(cell) for cell in cells))
    rows = [
        {
            "left": cell["layers_left"] + 0.12 * ways.index(_way(cell)),
            "taught": _way(cell),
            "value": _within(cell["relative_slope"]),
            "lo": _within(cell["relative_slope_lo"]),
            "hi": _within(cell["relative_slope_hi"]),
        }
        for cell in cells
        if cell["relative_slope"] is not None and cell["verdict"] != "unreadable"
    ]
    taught = list(dict.fromkeys(row["taught"] for row in rows))
    colour = alt.Color("taught:N", scale=alt.Scale(domain=taught, range=_WAYS[: len(taught)]))
    colour = colour.legend(title=None)
    x = _lefts(cells)
    y = alt.Y("value:Q", axis=alt.Axis(title="slope on patches / linear optimum"))
    base = alt.Chart(alt.Data(values=rows)).encode(x=x, color=colour)
    lines = alt.Chart(alt.Data(values=[{"at": 0.0}, {"at": 0.5}]))
    layers: list[Any] = [
        lines.mark_rule(color=NULL, strokeDash=[3, 3]).encode(y=alt.Y("at:Q")),
        base.mark_rule(strokeWidth=1.2).encode(y=alt.Y("lo:Q"), y2="hi:Q"),
        base.mark_point(filled=True, size=40, opacity=1).encode(y=y),
    ]
    asked = f"{whose}does the answer follow the neuron?" if whose else "Does the answer follow the neuron?"
    title = alt.Title(f"{asked} Half of the optimum, dashed, counts as reading", anchor="start")
    return alt.LayerChart(layer=layers).properties(width=_WIDTH, height=_HEIGHT, title=title)


def doses(cells: Cells) -> alt.LayerChart:
    """The mean answer at each number that was put in, by how far patches go; mean over neurons that could be read."""
    points: list[dict[str, Any]] = []
    for way in dict.fromkeys(_way(cell) for cell in cells):
        own = [cell for cell in cells if _way(cell) == way and cell["verdict"] != "unreadable"]
        for patched in dict.fromkeys(name for cell in own for name in cell["dose"]):
            for digit in range(10):
                said = [cell["dose"][patched][digit] for cell in own if cell["dose"][patched][digit] is not None]
                if said:
                    mean = sum(said) / len(said)
                    points.append({"put": digit + 1, "said": mean, "taught": way, "dose": _reach(patched)})
    base = alt.Chart(alt.Data(values=points)).encode(
        x=alt.X("put:Q", axis=alt.Axis(title="the number that the patch stands for", tickMinStep=1)),
        y=alt.Y("said:Q", axis=alt.Axis(title="mean answer")).scale(domain=[1, 10]),
        color=alt.Color("taught:N", scale=alt.Scale(range=_WAYS), legend=alt.Legend(title=None, columns=3)),
        strokeDash=alt.StrokeDash("dose:N", legend=alt.Legend(title="dose", orient="right")),
    )
    even = alt.Chart(alt.Data(values=[{"put": 1, "said": 1}, {"put": 10, "said": 10}]))
    layers: list[Any] = [
        even.mark_line(color=NULL, strokeDash=[3, 3]).encode(x="put:Q", y="said:Q"),
        base.mark_line(strokeWidth=1.4),
    ]
    title = alt.Title("Answers to doses: dashed is a perfect report", anchor="start")
    return alt.LayerChart(layer=layers).properties(width=_WIDTH, height=_HEIGHT, title=title)


def amounts(cells: Cells) -> alt.LayerChart:
    """Heat-map of bits by layer and number of sentences taught, mean over neurons; models and regimes apart."""
    several = len({cell["model"] for cell in cells}) > 1
    rows: dict[tuple[str, int], list[float]] = {}
    for cell in cells:
        row = f"{cell['model']} " * several + f"layer {cell['layer']}, {_way(cell)}"
        for size, found in cell["sizes"].items():
            rows.setdefault((row, int(size)), []).append(found["bits"])
    values = [
        {"row": row, "sentences": f"{size:,}", "bits": sum(found) / len(found)} for (row, size), found in rows.items()
    ]
    order = [f"{size:,}" for size in sorted({size for _, size in rows})]
    base = alt.Chart(alt.Data(values=values)).encode(
        x=alt.X("sentences:N", sort=order, axis=alt.Axis(title="sentences taught", labelAngle=0)),
        y=alt.Y("row:N", sort=[value["row"] for value in values], axis=alt.Axis(title=None, labelLimit=400)),
    )
    scale = alt.Scale(domain=[-1, 0, 2], range=[VERMILION, "#f4f4f6", BLUE], clamp=True)
    layers: list[Any] = [
        base.mark_rect().encode(color=alt.Color("bits:Q", scale=scale, legend=None)),
        base.mark_text(fontSize=10).encode(
            text=alt.Text("bits:Q", format=".2f"),
            color=alt.condition("abs(datum.bits) > 1.5", alt.value("#ffffff"), alt.value(INK)),
        ),
    ]
    title = alt.Title("Bits by layer and number of sentences", anchor="start")
    height = 18 * len({value["row"] for value in values})
    return alt.LayerChart(layer=layers).properties(width=90 * len(order), height=height, title=title)


def drift(cells: Cells) -> alt.LayerChart:
    """How far training moved the neuron, against what its reports are worth."""
    rows = [
        {"drift": cell["drift"], "bits": max(cell["bits"], _LOWEST_BITS), "trainable": cell["trainable"]}
        for cell in cells
        if cell["bits"] is not None
    ]
    base = alt.Chart(alt.Data(values=rows)).mark_point(filled=True, size=46, opacity=1)
    chart = base.encode(
        x=alt.X(
            "drift:Q",
            scale=alt.Scale(type="symlog", domainMin=0),
            axis=alt.Axis(title="drift: RMS change of the neuron’s value / its standard deviation", values=_DRIFTS),
        ),
        y=alt.Y("bits:Q", axis=alt.Axis(title="bits")),
        color=alt.Color("trainable:N", scale=alt.Scale(range=_WAYS), legend=alt.Legend(title=None)),
    )
    title = alt.Title("Did training move the neuron?", anchor="start")
    return alt.LayerChart(layer=[chart]).properties(width=_WIDTH, height=_HEIGHT, title=title)


def sizes(result: Mapping[str, Any]) -> alt.LayerChart:
    """k* by model; at the bottom where no number of layers left was enough."""
    found = [(*way.split(" ", 1), k) for way, k in result["k_star"].items()]
    models, ways = (list(dict.fromkeys(row[place] for row in found)) for place in (0, 1))
    rows = [{"model": model, "way": way, "k": -1 if k is None else k} for model, way, k in found]
    y = alt.Y("k:Q", axis=alt.Axis(title="k* (-1: none is enough)", tickMinStep=1))
    y = y.scale(domain=[-1, max(2, *(row["k"] for row in rows)) + 1])
    layers = [
        alt.Chart(alt.Data(values=[row for row in rows if row["way"] == way]))
        .mark_point(filled=True, size=60, opacity=1, xOffset=14 * (number - (len(ways) - 1) / 2))
        .encode(
            x=alt.X("model:N", sort=models, axis=alt.Axis(title=None, labelAngle=0)),
            y=y,
            color=alt.Color("way:N", scale=alt.Scale(domain=ways, range=_WAYS), legend=alt.Legend(title=None)),
            shape=alt.Shape("way:N", scale=alt.Scale(domain=ways, range=_SHAPES[: len(ways)])),
        )
        for number, way in enumerate(ways)
    ]
    title = alt.Title("Layers left from which the median neuron is read, by model", anchor="start")
    return alt.LayerChart(layer=layers).properties(width=_WIDTH, height=_HEIGHT, title=title)


def _lefts(cells: Cells) -> alt.X:
    most = max((cell["layers_left"] for cell in cells), default=0)
    ticks = list(range(0, most + 1, 1 + most // 20))
    return alt.X("left:Q", axis=alt.Axis(title="layers left above the neuron", values=ticks, format="d"))


def _keys(used: Sequence[str]) -> tuple[alt.Color, alt.Shape]:
    legend = alt.Legend(title=None, columns=4)
    shapes = [_SHAPES[list(_SERIES).index(name)] for name in used]
    colour = alt.Scale(domain=list(used), range=[_SERIES[name] for name in used])
    return alt.Color("series:N", scale=colour, legend=legend), alt.Shape(
        "series:N", scale=alt.Scale(domain=list(used), range=shapes), legend=legend
    )


def _way(cell: Mapping[str, Any]) -> str:
    """How a cell was asked and taught, in short."""
    regime = cell["regime"]
    taught = {"nat": "natural", "swap": "swapped"}.get(regime, f"patches {_reach(regime)}")
    return f"{cell['topology']}, {taught}" + ("" if cell["trainable"] == "above" else f", {cell['trainable']}")


def _reach(regime: str) -> str:
    return f"×{regime.removeprefix('int') or 1}"


def _within(value: float | None, low: float = -0.5, high: float = 1.6) -> float | None:
    return None if value is None else min(max(value, low), high)
