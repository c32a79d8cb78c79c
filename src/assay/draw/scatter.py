"""Two runs compared: each unit's score in one against its score in the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import ArrayLike, NDArray

from assay.draw.figures import NULL, DataSets, Figure, figure
from assay.draw.points import cells, dots, filled
from assay.draw.words import counted, plain, score_text

MANY = 2000  # more units are drawn as their density
_BINS = 48

Vector = NDArray[np.floating]


def scatter_plot(
    x: ArrayLike,
    y: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    unit_link: str = "",
    x_name: str = "run A",
    y_name: str = "run B",
    score: str = "r",
    size: int = 420,
) -> Figure:
    """A dot a unit, linked and titled; above 2,000 units the density; the diagonal is where both runs agree.

    Args:
        x, y: (n,) each unit's score in both runs; a unit that has none in one of them is left out, and counted.
        names: (n,) the units' names.
        unit_link: template of a unit's address, with ``{unit}``.
        x_name, y_name: what the runs are called.
        score: what the score is called.
        size: width and height of the plot in pixels.

    Raises:
        ValueError: arrays of several lengths, or no unit with both scores.
    """
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if a.ndim != 1 or a.shape != b.shape or (names is not None and len(names) != a.size):
        raise ValueError(f"x, y and names must be of one length. Got {a.shape} and {b.shape}.")
    kept = np.isfinite(a) & np.isfinite(b)
    if not kept.any():
        raise ValueError("a scatter plot needs at least one unit with both scores. Got none.")
    called = [plain(name) for name in names] if names is not None else [""] * a.size
    known = [name for name, keep in zip(called, kept, strict=True) if keep]
    a, b = a[kept], b[kept]
    low, high = float(min(a.min(), b.min())), float(max(a.max(), b.max()))
    margin = 0.04 * (high - low or 1.0)
    domain = [low - margin, high + margin]
    scale = alt.Scale(domain=domain, nice=False, zero=False)
    across = alt.X("x:Q", axis=_axis(score, x_name), scale=scale)
    up = alt.Y("y:Q", axis=_axis(score, y_name), scale=scale)
    ends = [{"x": end, "y": end} for end in domain]
    data = DataSets()
    diagonal = data.chart("diagonal", ends).mark_line(color=NULL, strokeWidth=1, strokeDash=[4, 3])
    if a.size > MANY:
        marks = cells(data, _cells(a, b, domain, score), across, up)
    else:
        marks = dots(data, _dots(a, b, known, unit_link, (x_name, y_name)), across, up)
    chart = alt.LayerChart(layer=[diagonal.encode(x=across, y=up), marks])
    return figure(
        chart.properties(width=size, height=size), data, _alternative(a, b, int((~kept).sum()), (x_name, y_name), score)
    )


def _axis(score: str, run: str) -> alt.Axis:
    return alt.Axis(title=f"{plain(score)} in {plain(run, 60)}", tickCount=6)


def _dots(a: Vector, b: Vector, names: list[str], link: str, runs: tuple[str, str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for one, other, name in zip(a.tolist(), b.tolist(), names, strict=True):
        numbers = f"{score_text(one)} in {plain(runs[0], 60)}, {score_text(other)} in {plain(runs[1], 60)}"
        row = {"x": one, "y": other, "unit": name, "said": f"{name}: {numbers}" if name else numbers}
        rows.append(row | ({"href": filled(link, unit=name)} if link and name else {}))
    return rows


def _cells(a: Vector, b: Vector, domain: list[float], score: str) -> list[dict[str, Any]]:
    edges = np.linspace(domain[0], domain[1], _BINS + 1)
    counts, _, _ = np.histogram2d(a, b, (edges, edges))
    ends = edges.tolist()
    return [
        {
            "x": ends[i], "x2": ends[i + 1], "y": ends[j], "y2": ends[j + 1], "count": int(counts[i, j]),
            "said": f"{score} {score_text(ends[i])} to {score_text(ends[i + 1])} against {score_text(ends[j])} to "
            f"{score_text(ends[j + 1])}: {counted(int(counts[i, j]), 'unit')}",
        }
        for i, j in np.argwhere(counts > 0).tolist()
    ]  # fmt: skip


def _alternative(a: Vector, b: Vector, left_out: int, runs: tuple[str, str], score: str) -> str:
    said = f"Scatter plot of {score} of {counted(a.size, 'unit')} in {plain(runs[0], 60)} and in {plain(runs[1], 60)}"
    said += f"; {counted(left_out, 'unit')} without a score in one of them left out" if left_out else ""
    higher, lower = int((b > a).sum()), int((b < a).sum())
    said += f". In {plain(runs[1], 60)} {higher:,} score higher and {lower:,} lower"
    said += f"; the mean difference is {score_text(float(np.mean(b - a)))}"
    if a.size > 2 and a.std() > 0 and b.std() > 0:
        said += f", the correlation {score_text(float(np.corrcoef(a, b)[0, 1]))}"
    return f"{said}."
