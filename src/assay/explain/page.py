"""The page of a run: one HTML file that needs nothing beside itself.

It shows every claim with its scores, its nulls and its verdict, and lays the prediction over the real activation on
test excerpts. No script, no request: the style is inline, the figure is inline SVG, and a content security policy
says so. Texts of models and corpora are escaped by the template engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from assay.draw import templates
from assay.draw.heat import LEVELS
from assay.explain.figure import figure_svg
from assay.explain.joint.view import joint_view
from assay.explain.page_views import ReadableRun, score_text, unit_views
from assay.explain.verdict_words import VERDICTS


@dataclass(frozen=True)
class RunContent:
    """A run in memory, of which a page can be built before it is written.

    ``tables`` and ``arrays`` are keyed as in the run directory: "units", "claims", ...; "test", "behaviour", ...
    """

    spec: dict[str, Any]
    tables: Mapping[str, list[dict[str, Any]]]
    arrays: Mapping[str, dict[str, NDArray[Any]]]
    contract: dict[str, Any]

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The table of that name, as rows."""
        return self.tables[name]

    def tensors(self, name: str) -> dict[str, NDArray[Any]]:
        """The arrays of that file."""
        return self.arrays[name]

    def has(self, name: str) -> bool:
        """Whether the run will have the file ``tensors/<name>.safetensors``."""
        return name.removeprefix("tensors/").removesuffix(".safetensors") in self.arrays

    def result(self) -> dict[str, Any]:
        """The contract's JSON."""
        return self.contract


def build_page(run: ReadableRun, joint_svg: str | None = None) -> str:
    """The whole page as HTML, under 3 MB for 64 units: with more units there are fewer and shorter excerpts.

    ``joint_svg`` is the figure of joint replacement, if there is one.
    """
    environment = templates("assay.explain")
    result = run.result()
    units = unit_views(run)
    return environment.get_template("page.html").render(
        spec=run.spec,
        summary=result["summary"],
        figure=Markup(figure_svg(result)),  # made here, from numbers and unit names
        by_explainer=_by_explainer(result["units"]),
        units=units,
        verdicts=VERDICTS,
        levels=LEVELS,
        score=score_text,
        joint=joint_view(result, joint_svg),
    )


def _by_explainer(units: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for explainer in dict.fromkeys(unit["explainer"] for unit in units):
        own = [unit for unit in units if unit["explainer"] == explainer]
        r = [unit["r"] for unit in own if unit["r"] is not None]
        counts = {verdict: sum(unit["verdict"] == verdict for unit in own) for verdict in VERDICTS}
        rows.append(
            {
                "explainer": explainer,
                "units": len(own),
                "mean_r": float(np.mean(r)) if r else None,
                "median_r": float(np.median(r)) if r else None,
                "verdicts": counts,
            }
        )
    return rows
