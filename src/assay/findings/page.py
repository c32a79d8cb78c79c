"""The page of a run of the lab: one HTML file that needs nothing beside itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from assay.draw import templates
from assay.findings.figure import figure_svg


def build_page(spec: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """The page as HTML: findings with what was published beside them, the figure, and the tables."""
    figure = Markup(figure_svg(result)) if result["panels"] else None  # made here, from numbers and names
    return templates("assay.findings").get_template("concept.html").render(spec=spec, figure=figure, **result)
