"""The figure of a run: what stands in its specification, and that it renders alone and alike."""

from __future__ import annotations

import copy
import json
import re

import pytest

import synthetic
from assay.explain.figure import build_figure, figure_json, figure_svg


@pytest.fixture
def result() -> dict:
    """Two units, of layers 1 and 3, with rules and lookup each."""
    return synthetic.result_of([0.9, 0.5, 0.4, 0.6])


def panels(result: dict) -> list[dict]:
    """The panels of the specification, with each layer's named data set put back where it is used."""
    chart = build_figure(result).to_dict()
    for panel in chart["vconcat"]:
        for layer in panel["layer"]:
            layer["data"] = {"values": chart["datasets"][layer["data"]["name"]]}
    return chart["vconcat"]


def layers(panel: dict, mark: str) -> list[dict]:
    return [layer for layer in panel["layer"] if layer["mark"]["type"] == mark]


def rows(layer: dict) -> list[dict]:
    return layer["data"]["values"]


def scores(panel: dict) -> list[dict]:
    return rows(layers(panel, "point")[-1])


def test_scores_and_intervals_are_those_of_the_result(result):
    prediction, behaviour = panels(result)
    found = {(row["unit"], row["series"]): (row["score"], row["low"], row["high"]) for row in scores(prediction)}
    assert found == {(u["unit"], u["explainer"]): (u["r"], u["r_lo"], u["r_hi"]) for u in result["units"]}
    assert [row["score"] for row in scores(behaviour)] == [0.31, 0.31]  # lookup was not run


def test_every_mark_has_its_interval(result):
    for panel in panels(result):
        interval = layers(panel, "rule")[-1]
        assert rows(interval) == scores(panel)
        assert interval["encoding"]["y"]["field"] == "low"
        assert interval["encoding"]["y2"]["field"] == "high"


def test_nulls_and_references_stand_beside_the_scores(result):
    prediction, behaviour = panels(result)
    names = {row["name"] for row in rows(layers(prediction, "tick")[0])}
    assert names == {"constant", "shuffled", "other_unit"}
    lines = [rows(layer) for layer in layers(prediction, "line")]
    assert {row["name"] for line in lines for row in line} == {"lookup_full"}  # bigram_full is null there
    assert len(lines[1]) == 2  # once a unit, though both explainers carry it
    sampled = copy.deepcopy(result)
    sampled["units"][0]["same_tokens"] = {"lookup": {"r": 0.1, "above": [0.1, 0.0, 0.2]}}
    sampled["units"][0]["references"]["lookup_full"] = 0.123  # of other tokens than the others': not drawn
    drawn = [row["score"] for line in layers(panels(sampled)[0], "line") for row in rows(line)]
    assert drawn
    assert 0.123 not in drawn
    series = {row["name"]: row["series"] for row in rows(layers(behaviour, "tick")[0])}
    assert series["noise_equal_r"] == "truth plus noise, at equal r"
    assert series["other_unit"] == series["shuffled"] == "nulls"


def test_x_is_the_layer_when_there_is_more_than_one(result):
    prediction = panels(result)[0]
    for row in scores(prediction):
        assert row["x"] == pytest.approx(int(row["unit"][1]), abs=0.1)
    assert panels(result)[-1]["layer"][-1]["encoding"]["x"]["axis"]["title"] == "layer"


def test_units_of_one_layer_stand_side_by_side(result):
    more = copy.deepcopy(result["units"])
    for unit in more:
        unit["unit"] = unit["unit"].replace(":", ":9")
    places = {row["unit"]: row["x"] for row in scores(panels({"units": result["units"] + more})[0])}
    assert len({round(x, 1) for x in places.values()}) == 4


def test_x_is_the_rank_by_r_of_the_first_explainer_within_one_layer(result):
    for i, unit in enumerate(result["units"]):
        unit["unit"] = f"L5.mlp_act:{i // 2}"
        unit["r"] = (0.2, 0.9, 0.6, 0.1)[i]
    prediction = panels(result)[0]
    assert {(row["unit"], round(row["x"])) for row in scores(prediction)} == {("L5.mlp_act:1", 1), ("L5.mlp_act:0", 2)}
    assert panels(result)[-1]["layer"][-1]["encoding"]["x"]["axis"]["title"] == "units of layer 5, by r"


def test_without_behaviour_there_is_one_panel(result):
    for unit in result["units"]:
        unit["behaviour"] = None
    assert len(panels(result)) == 1


def test_a_unit_without_a_score_is_left_out(result):
    result["units"][0]["r"] = None
    shown = [(row["unit"], row["series"]) for row in scores(panels(result)[0])]
    assert shown == [("L1.mlp_act:7", "lookup"), ("L3.mlp_act:40", "rules"), ("L3.mlp_act:40", "lookup")]


def test_scores_far_below_zero_are_clipped_and_the_axis_says_so(result):
    result["units"][0]["behaviour_nulls"]["shuffled"] = -7.5
    encoding = panels(result)[1]["layer"][-1]["encoding"]["y"]
    assert encoding["scale"] == {"domain": [-0.5, 1], "nice": False, "clamp": True}
    assert encoding["axis"]["title"] == "behaviour, clipped at −0.5"
    assert panels(result)[0]["layer"][-1]["encoding"]["y"]["axis"]["title"] == "r"


def test_an_explainer_keeps_its_colour_whoever_stands_beside_it(result):
    def colour_of(names: tuple[str, str], name: str) -> str:
        changed = copy.deepcopy(result)
        for i, unit in enumerate(changed["units"]):
            unit["explainer"] = names[i % 2]
        scale = layers(panels(changed)[0], "point")[-1]["encoding"]["color"]["scale"]
        return dict(zip(scale["domain"], scale["range"], strict=True))[name]

    assert colour_of(("rules", "lookup"), "lookup") == colour_of(("self", "lookup"), "lookup")
    assert colour_of(("rules", "self"), "rules") == colour_of(("rules", "lookup"), "rules")


def test_no_two_series_share_colour_and_shape(result):
    for panel in panels(result):
        encoding = panel["layer"][-1]["encoding"]
        colours, shapes = (encoding[channel]["scale"] for channel in ("color", "shape"))
        assert colours["domain"] == shapes["domain"]
        assert len(set(zip(colours["range"], shapes["range"], strict=True))) == len(colours["domain"])
        marks = [shape for shape in shapes["range"] if shape != "stroke"]
        assert len(set(marks)) == len(marks)  # told apart without colour


def test_json_is_vega_lite():
    text = figure_json(synthetic.result_of([0.9, 0.5, 0.4, 0.6]))
    assert re.match(r"https://vega.github.io/schema/vega-lite/v\d", json.loads(text)["$schema"])


def test_svg_is_the_same_every_time_and_asks_for_nothing(result):
    svg = figure_svg(result)
    assert svg == figure_svg(copy.deepcopy(result))
    assert svg.startswith("<svg")
    addresses = set(re.findall(r"https?://[^\"' ]+", svg))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "Prediction: r on the test split" in svg
    assert not re.search(r"<(image|style|script|foreignObject)", svg)
