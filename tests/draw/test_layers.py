"""The map of a run: counts, links, medians and nulls."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from assay.draw import layer_map
from draw.reading import elements, links, rows, titles

CELL = "units?layer={layer}&from={low}&to={high}"


@pytest.fixture(scope="module")
def many() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Layers, scores and nulls of 1,200 units in 4 layers."""
    rng = np.random.default_rng(3)
    return np.repeat(np.arange(4), 300), rng.uniform(-0.4, 1, 1200), rng.uniform(0, 0.1, 1200)


def test_cells_count_every_unit_once(many):
    layers, scores, _ = many
    cells = rows(layer_map(layers, scores), "cells")
    assert sum(cell["count"] for cell in cells) == 1200
    for cell in cells:
        low = -9 if cell["y"] == -0.2 else cell["y"]
        inside = (layers == cell["layer"]) & (scores >= low) & (scores < cell["y2"] + (cell["y2"] == 1))
        assert cell["count"] == inside.sum()


def test_a_score_on_an_edge_is_in_the_cell_above():
    values = [0.4, 0.45, 0.05 * 3, 1.0, -0.2]
    cells = rows(layer_map([10] * 5, values), "cells")
    assert [(cell["y"], cell["count"]) for cell in cells] == [(-0.2, 1), (0.15, 1), (0.4, 1), (0.45, 1), (0.95, 1)]


def test_each_cell_is_a_link_that_says_what_it_holds(many):
    layers, scores, nulls = many
    figure = layer_map(layers, scores, nulls, cell_link=CELL)
    found = links(figure)
    assert len(found) == len(rows(figure, "cells"))
    for address, name in found.items():
        asked = {key: float(value) for key, (value,) in parse_qs(urlsplit(address).query).items()}
        inside = (layers == asked["layer"]) & (scores >= asked["from"])
        inside &= scores < asked["to"] if asked["to"] < 1 else scores <= 1
        assert name.endswith(f": {inside.sum():,} unit{'' if inside.sum() == 1 else 's'}")
        assert name.startswith(f"layer {asked['layer']:.0f}, r ")
    assert set(found.values()) <= set(titles(figure))
    for link in elements(figure, "a"):
        assert link.attrib["{http://www.w3.org/1999/xlink}href"] == link.attrib["href"]


def test_the_name_of_a_cell_is_as_promised():
    figure = layer_map([10] * 132, [0.42] * 132, cell_link=CELL)
    assert links(figure) == {"units?layer=10&from=0.4&to=0.45": "layer 10, r 0.40 to 0.45: 132 units"}


def test_lines_are_medians_and_mean_nulls(many):
    layers, scores, nulls = many
    lines = {(row["series"].split()[0], row["x"]): row["y"] for row in rows(layer_map(layers, scores, nulls), "lines")}
    for layer in range(4):
        assert lines["median", layer] == np.median(scores[layers == layer])
        assert lines["mean", layer] == pytest.approx(nulls[layers == layer].mean())


def test_few_units_are_dots_with_links_to_them():
    names = ["L0.mlp_act:7", "L1.mlp_act:8", 'L1.<"x">/?&#:9']
    figure = layer_map([0, 1, 1], [0.3, 0.5, -0.5], [0.0, 0.1, np.nan], names=names, unit_link="unit/{unit}?tab=rules")
    assert links(figure) == {
        "unit/L0.mlp_act%3A7?tab=rules": "L0.mlp_act:7: r 0.30, best null 0.00",
        "unit/L1.mlp_act%3A8?tab=rules": "L1.mlp_act:8: r 0.50, best null 0.10",
        "unit/L1.%3C%22x%22%3E%2F%3F%26%23%3A9?tab=rules": 'L1.<"x">/?&#:9: r −0.50, best null –',
    }
    places = [(round(row["x"], 3), row["y"]) for row in rows(figure, "units")]
    assert places == [(0.0, 0.3), (0.825, 0.5), (1.175, -0.5)]  # side by side, the better one first


def test_units_without_a_score_are_counted_and_not_drawn():
    figure = layer_map([0, 1, 1], [0.3, np.nan, 0.5], names=["a", "b", "c"])
    assert [row["unit"] for row in rows(figure, "units")] == ["a", "c"]
    assert "2 units in 2 layers, 1 more without a score" in figure.alternative
    assert not links(figure)
    with pytest.raises(ValueError, match="at least one unit"):
        layer_map([0], [np.nan])
    with pytest.raises(ValueError, match="one length"):
        layer_map([0, 1], [0.1, 0.2], [0.1])


def test_alternative_says_where_scores_are_high(many):
    layers, scores, nulls = many
    best = max(range(4), key=lambda layer: np.median(scores[layers == layer]))
    said = layer_map(layers, scores, nulls).alternative
    assert f"highest in layer {best} ({np.median(scores[layers == best]):.2f})" in said
    assert f"mean of the best nulls is {nulls.mean():.2f}" in said
