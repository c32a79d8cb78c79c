"""A dot a unit, with a name and a link: what figures of few units are made of. And cells, for many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import altair as alt
import numpy as np
from numpy.typing import NDArray

from assay.draw.figures import BLUE, DataSets

FAINTEST, FULLEST = 0.1, 0.92


def filled(template: str, **parts: str | int | float) -> str:
    """A link: the template with its fields filled in, escaped for an address; numbers as short as they can be.

    Raises:
        KeyError: the template has a field that the figure does not know.
    """
    texts = {name: quote(part if isinstance(part, str) else f"{part:.10g}", safe="") for name, part in parts.items()}
    return template.format_map(texts)


def dots(data: DataSets, rows: Sequence[dict[str, Any]], x: alt.X, y: alt.Y, size: int = 34) -> alt.Chart:
    """Rows with ``said`` and, all or none, ``href``."""
    base = data.chart("units", rows).mark_circle(color=BLUE, opacity=0.75, size=size, aria=True)
    return linked(base.encode(x=x, y=y, description=alt.Description("said:N")), rows)


def cells(data: DataSets, rows: Sequence[dict[str, Any]], x: alt.X, y: alt.Y) -> alt.Chart:
    """Rows with ``x2``, ``y2``, ``count`` and ``said`` as rectangles, the more opaque the more units they hold.

    One hue of growing opacity can be read by the colour-blind, and on paper of either kind.
    """
    most = max((row["count"] for row in rows), default=1)
    opacity = alt.FillOpacity("count:Q", legend=None).scale(
        type="pow", exponent=0.5, domain=[0, most], range=[FAINTEST, FULLEST]
    )
    base = data.chart("cells", rows).mark_rect(fill=BLUE, aria=True)
    return linked(
        base.encode(
            x=x, y=y, x2=alt.X2("x2"), y2=alt.Y2("y2"), fillOpacity=opacity, description=alt.Description("said:N")
        ),
        rows,
    )


def linked(chart: alt.Chart, rows: Sequence[dict[str, Any]]) -> alt.Chart:
    """The chart with its links, where the rows have them."""
    return chart.encode(href=alt.Href("href:N")) if rows and all("href" in row for row in rows) else chart


def beside(place: NDArray[np.floating], order: NDArray[np.floating], spread: float = 0.7) -> NDArray[np.floating]:
    """(n,) places moved apart where many share one: side by side, in the order of ``order``, over ``spread``."""
    moved = place.astype(np.float64)
    for here in np.unique(place):
        rows = np.flatnonzero(place == here)
        ranked = rows[np.argsort(order[rows], kind="stable")]
        moved[ranked] = here + spread * ((np.arange(rows.size) + 0.5) / rows.size - 0.5)
    return moved
