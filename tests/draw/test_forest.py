"""Forests: what stands on which row, in which shape, and what is said about it."""

from __future__ import annotations

import json
import math
import re

import pytest

from assay.draw import AgreementRow, ForestRow, agreement_plot, forest_plot
from draw.reading import elements, layer, links, rows, titles

ROWS = [
    ForestRow("r", 0.56, 0.42, 0.67, {"constant": 0.0, "shuffled": -0.02}, {"lookup": 0.41}, "prediction", "supported"),
    ForestRow("r, context", 0.1, math.nan, math.nan, {"constant": 0.0}, {}, "prediction", "undecided", "evidence/2"),
    ForestRow("behaviour", None, group="behaviour", verdict="void"),
    ForestRow("detection", -0.1, -0.2, 0.05, {"none": None}, {}, "behaviour", "refuted"),
]


def test_rows_stand_under_their_groups_in_order():
    figure = forest_plot(ROWS)
    groups = {row["label"]: row["at"] for row in rows(figure, "groups")}
    labels = {row["label"]: row["at"] for row in rows(figure, "labels") + rows(figure, "links")}
    assert groups == {"prediction": 0, "behaviour": 3}
    assert labels == {"r": 1, "r, context": 2, "behaviour": 4, "detection": 5}


def test_values_intervals_nulls_and_references_are_those_of_the_rows():
    figure = forest_plot(ROWS)
    assert [(m["at"], m["value"], m["series"]) for m in rows(figure, "scores")] == [
        (1, 0.56, "supported"), (2, 0.1, "undecided"), (5, -0.1, "refuted"),
    ]  # fmt: skip
    assert [(m["at"], m["lo"], m["hi"]) for m in rows(figure, "intervals")] == [(1, 0.42, 0.67), (5, -0.2, 0.05)]
    assert [(m["at"], m["value"]) for m in rows(figure, "nulls")] == [(1, 0.0), (1, -0.02), (2, 0.0)]
    assert [(m["at"], m["value"]) for m in rows(figure, "references")] == [(1, 0.41)]
    assert [m["numbers"] for m in rows(figure, "numbers")] == [
        "0.56 [0.42, 0.67]", "0.10", "unscored", "−0.10 [−0.20, 0.05]",
    ]  # fmt: skip


def test_dots_stand_at_their_values_in_the_picture():
    figure = forest_plot(ROWS, domain=(-0.5, 1.0), width=700)
    width, height = (json.loads(figure.json)[side] for side in ("width", "height"))
    circles = [path.attrib for path in elements(figure, "path") if path.attrib.get("fill") == "#009e73"]
    dot = next(attrs["transform"] for attrs in circles if attrs["d"].startswith("M4."))
    x, y = map(float, re.match(r"translate\(([\d.]+),([\d.]+)\)", dot).groups())
    assert (x, y) == pytest.approx((width * (0.56 + 0.5) / 1.5, 1.5 * height / 6), abs=0.1)


def test_every_verdict_has_a_shape_and_a_colour_of_its_own():
    verdicts = ["supported", "predicts", "undecided", "refuted", "void"]
    figure = forest_plot([ForestRow(name, 0.1, verdict=name) for name in verdicts])
    encoding = layer(figure, "scores", "point")["encoding"]
    for channel in ("color", "shape"):
        scale = encoding[channel]["scale"]
        assert scale["domain"] == verdicts
        assert len(set(scale["range"])) == 5
    texts = [text.text for text in elements(figure, "text")]
    assert set(verdicts) <= set(texts)  # and the legend has the words


def test_a_linked_row_leads_there_and_says_all_that_it_holds():
    assert links(forest_plot(ROWS)) == {"evidence/2": "r, context: 0.10; undecided; nulls constant 0.00"}
    assert "r: 0.56 [0.42, 0.67]; supported; nulls constant 0.00, shuffled −0.02; references lookup 0.41" in titles(
        forest_plot(ROWS)
    )


def test_alternative_counts_verdicts_and_what_is_unscored():
    assert forest_plot(ROWS, score="r").alternative == (
        "Forest plot of 4 rows of r, from −0.10 (detection) to 0.56 (r). 1 interval lies above 0.00. "
        "Verdicts: 1 supported, 1 undecided, 1 refuted, 1 void. 1 without a score."
    )


def test_sixty_rows_have_room_for_a_line_each():
    figure = forest_plot([ForestRow(f"L{i}.mlp_act:{i}", i / 60, i / 60 - 0.1, i / 60 + 0.1) for i in range(60)])
    assert json.loads(figure.json)["height"] >= 60 * 18
    with pytest.raises(ValueError, match="at least one row"):
        forest_plot([])


def test_agreement_stands_beside_chance():
    figure = agreement_plot([AgreementRow("r", 0.62, 0.55, 0.69, 120), AgreementRow("F1", None, None, None, 0)])
    assert rows(figure, "zero") == [{"value": 0.5, "says": "chance"}]
    assert layer(figure, "scores", "point")["encoding"]["x"]["scale"]["domain"] == [0.0, 1.0]
    assert [row["label"] for row in rows(figure, "labels")] == ["r (n = 120)", "F1 (n = 0)"]
    assert [row["numbers"] for row in rows(figure, "numbers")] == ["0.62 [0.55, 0.69]", "unscored"]
    assert "1 interval lies above chance (0.50)" in figure.alternative
