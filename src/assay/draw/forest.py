"""Evidence as a forest: a row a score, with its interval beside what a meaningless and a simpler claim get."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import altair as alt

from assay.draw.figures import BLUE, GREEN, GRID, INK, NOISE, NULL, PURPLE, VERMILION, DataSets, Figure, figure
from assay.draw.forest_rows import NULLS, REFERENCES, VERDICTS, ForestRow, Line, described, finite, has_interval, placed
from assay.draw.points import linked
from assay.draw.words import plain, score_text

_ROW = 20  # pixels
_LETTER = 6.1  # pixels of a letter of a label, on the average
_NUMBERS = 112  # pixels of the column of numbers, which needs _WIDE in all
_WIDE = 480
_ENTRY = 88  # pixels of an entry of the legend
_RING = "M1,0A1,1,0,1,1,-1,0A1,1,0,1,1,1,0Z"
_HOLE = "M.6,0A.6,.6,0,1,0,-.6,0A.6,.6,0,1,0,.6,0Z"
_CROSS = "M-1,-.65L-.65,-1L0,-.35L.65,-1L1,-.65L.35,0L1,.65L.65,1L0,.35L-.65,1L-1,.65L-.35,0Z"
_SHAPES = ("circle", f"{_RING}M0,-.6L0,.6A.6,.6,0,0,0,0,-.6Z", _RING + _HOLE, _CROSS,
           f"{_RING}{_HOLE}M-.7,.45L-.45,.7L.7,-.45L.45,-.7Z")  # fmt: skip
_LOOKS = dict(zip(VERDICTS, zip((GREEN, BLUE, NOISE, VERMILION, PURPLE), _SHAPES, strict=True), strict=True))
_SCORE = "score, 95 % interval"
_TICKS = {
    NULLS: (NULL, "M-.15,-1L.15,-1L.15,1L-.15,1Z"),
    REFERENCES: (VERMILION, "M-.15,-1L.15,-1L.15,.1L-.15,.1Z"),
}


class _Frame(NamedTuple):
    """The axes and the code of colours and shapes that all marks share."""

    x: alt.X
    y: alt.Y
    colour: alt.Color
    shape: alt.Shape


def forest_plot(
    rows: Sequence[ForestRow],
    *,
    score: str = "score",
    zero: float = 0.0,
    zero_name: str = "",
    domain: tuple[float, float] | None = None,
    width: int = 720,
) -> Figure:
    """A row each, in the order given, from the top: a dot with its interval, nulls as grey ticks, references as orange.

    Verdicts have the shapes that pages write before the word, ● ◐ ○ ✕ ⊘, and their colours.

    Args:
        rows: what is shown; see :class:`ForestRow`.
        score: what the axis is called.
        zero: where the line of no effect stands, and ``zero_name`` what it is called.
        domain: of the axis; from the values by default. What lies outside is drawn at its edge.
        width: of the whole, in pixels; under 480 the column of numbers is left out.

    Raises:
        ValueError: no row.
    """
    if not rows:
        raise ValueError("a forest needs at least one row. Got none.")
    lines = placed(rows)
    labels = min(int(_LETTER * max(len(line.label) for line in lines)) + 14, int(0.42 * width))
    inner = max(120, width - labels - (_NUMBERS if width >= _WIDE else 0) - 20)
    x = alt.X("value:Q", axis=alt.Axis(title=plain(score), tickCount=5))
    y = alt.Y("at:Q", axis=None).scale(domain=[len(lines) - 0.5, -0.5], nice=False, zero=False)
    x = x.scale(domain=list(domain or _domain(rows, zero)), nice=False, zero=False, clamp=True)
    frame = _Frame(x, y, *_code(rows, inner // _ENTRY, bool(zero_name)))
    data = DataSets()
    layers = [*_ground(data, lines, zero, zero_name, frame), *_ticks(data, lines, frame), *_scores(data, lines, frame)]
    layers += _labels(data, lines, y, labels)
    if width >= _WIDE:
        layers.append(_numbers(data, lines, y, inner))
    chart = alt.LayerChart(layer=layers, width=inner, height=_ROW * len(lines))
    return figure(chart, data, described(rows, plain(score), zero, plain(zero_name)))


def _domain(rows: Sequence[ForestRow], zero: float) -> tuple[float, float]:
    known = [zero]
    for row in rows:
        known += finite([row.value, row.lo, row.hi, *row.nulls.values(), *row.references.values()])
    margin = 0.04 * (max(known) - min(known) or 1.0)
    return min(known) - margin, max(known) + margin


def _code(rows: Sequence[ForestRow], columns: int, named: bool) -> tuple[alt.Color, alt.Shape]:
    """Colour and shape, with a legend where there is something to tell apart, above the name of the line."""
    used = {name: look for name, look in _LOOKS.items() if any(row.verdict == name for row in rows)}
    if any(row.verdict not in _LOOKS and finite([row.value]) for row in rows):
        used[_SCORE] = (BLUE, "circle")
    sides = {NULLS: any(row.nulls for row in rows), REFERENCES: any(row.references for row in rows)}
    used |= {name: look for name, look in _TICKS.items() if sides[name]}
    colours, shapes = (alt.Scale(domain=list(used), range=[look[i] for look in used.values()]) for i in (0, 1))
    legend = None
    if len(used) > 1:
        legend = alt.Legend(
            title=None, columns=max(2, columns), symbolStrokeWidth=0, symbolSize=90, offset=16 if named else 2
        )
    return alt.Color("series:N", scale=colours, legend=legend), alt.Shape("series:N", scale=shapes, legend=legend)


def _ground(data: DataSets, lines: list[Line], zero: float, zero_name: str, frame: _Frame) -> list[alt.Chart]:
    rails = data.chart("rails", [{"at": line.at} for line in lines if line.row is not None])
    zeros = data.chart("zero", [{"value": zero, "says": plain(zero_name)}])
    ground = [
        rails.mark_rule(color=GRID, strokeWidth=1).encode(y=frame.y),
        zeros.mark_rule(color=NULL, strokeWidth=1).encode(x=frame.x),
    ]
    if zero_name:
        text = zeros.mark_text(color=NOISE, fontSize=11, dy=-6)
        ground.append(text.encode(x=frame.x, y=alt.YValue(0), text=alt.Text("says:N")))
    return ground


def _ticks(data: DataSets, lines: list[Line], frame: _Frame) -> list[alt.Chart]:
    """Nulls as ticks across a row's line, references as short ones above it."""
    charts: list[alt.Chart] = []
    for series, size, lift in ((NULLS, 11, 0), (REFERENCES, 6, -5)):
        ticks = [
            {"at": line.at, "value": value, "series": series, "said": f"{plain(name)} {score_text(value)}"}
            for line in lines
            if line.row is not None
            for name, value in (line.row.nulls if series == NULLS else line.row.references).items()
            if finite([value])
        ]
        if ticks:
            tick = data.chart(series, ticks).mark_tick(
                orient="vertical", size=size, thickness=2, yOffset=lift, aria=True
            )
            said = alt.Description("said:N")
            charts.append(tick.encode(x=frame.x, y=frame.y, color=frame.colour, description=said))
    return charts


def _scores(data: DataSets, lines: list[Line], frame: _Frame) -> list[alt.Chart]:
    marks = [
        {
            "at": line.at,
            "value": line.row.value,
            "series": line.row.verdict if line.row.verdict in _LOOKS else _SCORE,
            "said": line.said,
            **({"lo": line.row.lo, "hi": line.row.hi} if has_interval(line.row) else {}),
        }
        for line in lines
        if line.row is not None and finite([line.row.value])
    ]
    spans = data.chart("intervals", [mark for mark in marks if "lo" in mark]).mark_rule(strokeWidth=3, opacity=0.45)
    dots = data.chart("scores", marks).mark_point(filled=True, size=84, strokeWidth=0, opacity=1, aria=True)
    said = alt.Description("said:N")
    return [
        spans.encode(x=alt.X("lo:Q"), x2=alt.X2("hi"), y=frame.y, color=frame.colour),
        dots.encode(x=frame.x, y=frame.y, color=frame.colour, shape=frame.shape, description=said),
    ]


def _labels(data: DataSets, lines: list[Line], y: alt.Y, room: int) -> list[alt.Chart]:
    """The labels to the left: groups' names in bold, and links where a row has one."""
    kinds = {
        "groups": [line for line in lines if line.row is None],
        "labels": [line for line in lines if line.row is not None and not line.row.link],
        "links": [line for line in lines if line.row is not None and line.row.link],
    }
    charts: list[alt.Chart] = []
    for kind, own in kinds.items():
        rows = [{"at": line.at, "label": line.label, "said": line.said} for line in own]
        if kind == "links":
            rows = [row | {"href": line.row.link} for row, line in zip(rows, own, strict=True) if line.row is not None]
        if rows:
            weight = 600 if kind == "groups" else 400
            text = data.chart(kind, rows).mark_text(
                align="right", color=INK, fontSize=11.5, fontWeight=weight, limit=room, aria=kind == "links"
            )
            text = text.encode(x=alt.XValue(-10), y=y, text=alt.Text("label:N"), description=alt.Description("said:N"))
            charts.append(linked(text, rows))
    return charts


def _numbers(data: DataSets, lines: list[Line], y: alt.Y, right: int) -> alt.Chart:
    """The scores to the right, as text."""
    rows = [{"at": line.at, "numbers": line.numbers} for line in lines if line.row is not None]
    text = data.chart("numbers", rows).mark_text(align="left", color=INK, fontSize=11)
    return text.encode(x=alt.XValue(right + 10), y=y, text=alt.Text("numbers:N"))
