"""The page of a run of reports: one HTML file that needs nothing beside itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from assay.draw import templates
from assay.introspect.figure import figure_svg

_BASELINES = ("text", "other_model", "blind", "shuffled", "probe_before", "probe_after")


def build_page(spec: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """The page as HTML: verdicts, the figure, and every cell beside its baselines and controls."""
    return (
        templates("assay.introspect")
        .get_template("reports.html")
        .render(
            spec=spec,
            summary=result["summary"],
            k_star=result["k_star"],
            cells=result["cells"],
            thresholds=spec["resolved"]["thresholds"],
            baselines=_BASELINES,
            figure=Markup(figure_svg(result)),  # made here, from numbers and names of models
        )
    )
