"""Colours, type and rendering of figures. Series are in colours of the Okabe-Ito set."""

from __future__ import annotations

import altair as alt
import vl_convert

INK, GRID, NULL, NOISE = "#26262b", "#e3e3e8", "#a2a2a9", "#5c5c64"
BLUE, VERMILION, GREEN, PURPLE, SKY = "#0072b2", "#d55e00", "#009e73", "#a8638f", "#56b4e9"
_FONT = "system-ui, 'Helvetica Neue', Arial, sans-serif"


def svg(chart: alt.VConcatChart) -> str:
    """The chart as one ``<svg>`` element. Rendered in the process, without a network; equal input, equal bytes."""
    return vl_convert.vegalite_to_svg(chart.to_dict())


def dressed(chart: alt.VConcatChart) -> alt.VConcatChart:
    """The chart in the house's colours and type."""
    return (
        chart.configure(background="transparent", font=_FONT, padding=4, aria=False)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=INK, titleColor=INK, gridColor=GRID, domainColor=GRID, tickColor=GRID, labelFontSize=11,
            titleFontSize=11, titleFontWeight="normal", titlePadding=8,
        )
        .configure_axisX(grid=False)
        .configure_title(color=INK, fontSize=13, fontWeight=600, offset=10, frame="group")
        .configure_legend(
            labelColor=INK, labelFontSize=11, symbolStrokeWidth=1.5, orient="top", direction="horizontal",
            columnPadding=18, offset=2, symbolOpacity=1,
        )
    )  # fmt: skip
