"""Colours, type and rendering of figures. Series are in colours of the Okabe-Ito set."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeVar

import altair as alt
import vl_convert

from assay.draw.embedding import BASE, inline, standalone

INK, GRID, NULL, NOISE = "#26262b", "#e3e3e8", "#a2a2a9", "#5c5c64"
BLUE, VERMILION, GREEN, PURPLE, SKY = "#0072b2", "#d55e00", "#009e73", "#a8638f", "#56b4e9"
PAPER = "#fdfdfb"
_FONT = "system-ui, 'Helvetica Neue', Arial, sans-serif"

Chart = TypeVar("Chart", alt.LayerChart, alt.VConcatChart)


class Figure(NamedTuple):
    """A figure for a page, a notebook or a file.

    ``svg``: one ``<svg>`` element that may be put into a page under ``default-src 'self'``. ``json``: its Vega-Lite
    specification. ``alternative``: what it shows, in words and numbers; the ``<svg>`` is labelled with it.
    """

    svg: str
    json: str
    alternative: str

    def standalone(self) -> str:
        """The SVG as a file that turns dark with its reader's screen, for ``<img>``; links in it can't be followed."""
        return standalone(self.svg)

    def _repr_html_(self) -> str:
        """For notebooks."""
        return self.standalone()


def svg(chart: alt.LayerChart | alt.VConcatChart) -> str:
    """The chart as one ``<svg>`` element. Rendered in the process, without a network; equal input, equal bytes."""
    return vl_convert.vegalite_to_svg(chart.to_dict())


class DataSets(dict[str, list[dict[str, Any]]]):
    """The rows of a figure by name. Charts only name theirs: each of altair's verbs copies all that is in a chart."""

    def chart(self, name: str, rows: Sequence[dict[str, Any]]) -> alt.Chart:
        """A chart of these rows."""
        self[name] = list(rows)
        return alt.Chart(alt.NamedData(name))


def figure(chart: alt.LayerChart, data: DataSets, alternative: str) -> Figure:
    """A chart as a figure: dressed, rendered as by :func:`svg`, then made fit for pages (:func:`inline`).

    Links must stand in a field called ``href``.
    """
    specification = dressed(chart).to_dict(validate=False)  # its parts were checked when they were made
    specification["datasets"] = dict(data)
    rendered = vl_convert.vegalite_to_svg(_with_base(specification))
    return Figure(inline(rendered, alternative), json.dumps(specification, ensure_ascii=False), alternative)


def _with_base(value: Any) -> Any:
    """The specification with :data:`BASE` before every link: the renderer resolves relative ones against a site."""
    if isinstance(value, Mapping):
        return {
            key: BASE + part if key == "href" and isinstance(part, str) else _with_base(part)
            for key, part in value.items()
        }
    return [_with_base(part) for part in value] if isinstance(value, list) else value


def dressed(chart: Chart) -> Chart:
    """The chart in the house's colours and type."""
    copy = chart.copy(deep=False)
    copy.config = _dress()
    return copy


@cache
def _dress() -> alt.Config:
    axis = alt.AxisConfig(
        labelColor=INK, titleColor=INK, gridColor=GRID, domainColor=GRID, tickColor=GRID, labelFontSize=11,
        titleFontSize=11, titleFontWeight="normal", titlePadding=8,
    )  # fmt: skip
    legend = alt.LegendConfig(
        labelColor=INK, labelFontSize=11, symbolStrokeWidth=1.5, orient="top", direction="horizontal",
        columnPadding=18, offset=2, symbolOpacity=1,
    )  # fmt: skip
    title = alt.TitleConfig(color=INK, fontSize=13, fontWeight=600, offset=10, frame="group")
    return alt.Config(
        background="transparent", font=_FONT, padding=4, aria=False, view=alt.ViewConfig(stroke=None), axis=axis,
        axisX=alt.AxisConfig(grid=False), title=title, legend=legend,
    )  # fmt: skip
