"""Figures and pages in the house's dress. Names are imported when they are first used: pages need no altair."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.core.doors import lazy_door

if TYPE_CHECKING:
    from assay.draw.agreement import AgreementRow as AgreementRow
    from assay.draw.agreement import agreement_plot as agreement_plot
    from assay.draw.embedding import inline as inline
    from assay.draw.embedding import standalone as standalone
    from assay.draw.figures import BLUE as BLUE
    from assay.draw.figures import GREEN as GREEN
    from assay.draw.figures import GRID as GRID
    from assay.draw.figures import INK as INK
    from assay.draw.figures import NOISE as NOISE
    from assay.draw.figures import NULL as NULL
    from assay.draw.figures import PAPER as PAPER
    from assay.draw.figures import PURPLE as PURPLE
    from assay.draw.figures import SKY as SKY
    from assay.draw.figures import VERMILION as VERMILION
    from assay.draw.figures import Figure as Figure
    from assay.draw.figures import dressed as dressed
    from assay.draw.figures import figure as figure
    from assay.draw.figures import svg as svg
    from assay.draw.forest import forest_plot as forest_plot
    from assay.draw.forest_rows import ForestRow as ForestRow
    from assay.draw.histogram import activation_histogram as activation_histogram
    from assay.draw.histogram import quantile_histogram as quantile_histogram
    from assay.draw.layers import layer_map as layer_map
    from assay.draw.pages import templates as templates
    from assay.draw.scatter import scatter_plot as scatter_plot

_FIGURES = "BLUE GREEN GRID INK NOISE NULL PAPER PURPLE SKY VERMILION Figure dressed figure svg".split()
_PLACES = dict.fromkeys(_FIGURES, "figures") | {
    "AgreementRow": "agreement",
    "ForestRow": "forest_rows",
    "agreement_plot": "agreement",
    "forest_plot": "forest",
    "activation_histogram": "histogram",
    "quantile_histogram": "histogram",
    "inline": "embedding",
    "layer_map": "layers",
    "scatter_plot": "scatter",
    "standalone": "embedding",
    "templates": "pages",
}

__all__ = [
    "BLUE",
    "GREEN",
    "GRID",
    "INK",
    "NOISE",
    "NULL",
    "PAPER",
    "PURPLE",
    "SKY",
    "VERMILION",
    "AgreementRow",
    "Figure",
    "ForestRow",
    "activation_histogram",
    "agreement_plot",
    "dressed",
    "figure",
    "forest_plot",
    "inline",
    "layer_map",
    "quantile_histogram",
    "scatter_plot",
    "standalone",
    "svg",
    "templates",
]
__getattr__ = lazy_door(__name__, _PLACES)
