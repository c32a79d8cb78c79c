"""Two runs compared: where dots stand, where they lead to, and what many of them become."""

from __future__ import annotations

import numpy as np
import pytest

from assay.draw import scatter_plot
from draw.reading import layer, links, rows


def test_a_dot_a_unit_with_its_link():
    figure = scatter_plot([0.1, 0.5, np.nan], [0.3, 0.4, 0.2], names=["L0:1", "L0:2", "L0:3"], unit_link="u/{unit}")
    assert [(row["x"], row["y"], row["unit"]) for row in rows(figure, "units")] == [
        (0.1, 0.3, "L0:1"),
        (0.5, 0.4, "L0:2"),
    ]
    assert links(figure) == {
        "u/L0%3A1": "L0:1: 0.10 in run A, 0.30 in run B",
        "u/L0%3A2": "L0:2: 0.50 in run A, 0.40 in run B",
    }
    assert "1 unit without a score in one of them left out" in figure.alternative
    assert "In run B 1 score higher and 1 lower; the mean difference is 0.05" in figure.alternative


def test_the_diagonal_is_a_diagonal():
    figure = scatter_plot([0.1, 0.5], [0.3, 0.9])
    ends = rows(figure, "diagonal")
    assert all(end["x"] == end["y"] for end in ends)
    axes = layer(figure, "diagonal", "line")["encoding"]
    assert axes["x"]["scale"]["domain"] == axes["y"]["scale"]["domain"] == [end["x"] for end in ends]
    assert ends[0]["x"] < 0.1 < 0.9 < ends[1]["x"]


def test_many_units_are_counted_in_cells():
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, 5000)
    y = x + rng.normal(0, 0.1, 5000)
    figure = scatter_plot(x, y, names=["u"] * 5000, unit_link="u/{unit}")
    cells = rows(figure, "cells")
    assert sum(cell["count"] for cell in cells) == 5000
    cell = max(cells, key=lambda cell: cell["count"])
    inside = (x >= cell["x"]) & (x < cell["x2"]) & (y >= cell["y"]) & (y < cell["y2"])
    assert cell["count"] == inside.sum()
    assert not links(figure)
    assert f"the correlation {np.corrcoef(x, y)[0, 1]:.2f}" in figure.alternative


def test_arrays_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="one length"):
        scatter_plot([0.1], [0.2, 0.3])
    with pytest.raises(ValueError, match="at least one unit"):
        scatter_plot([np.nan], [0.2])
