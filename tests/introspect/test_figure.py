"""What is drawn of a run, from its numbers."""

from __future__ import annotations

from typing import Any

from assay.introspect.figure import amounts, build_figure, figure_svg

BASELINES = ("text", "other_model", "blind", "shuffled", "probe_before", "probe_after")


def cell(model: str, layer: int, bits: float, **other: Any) -> dict[str, Any]:
    return {
        **{"model": model, "layer": layer, "layers_left": 2 - layer, "topology": "Q", "regime": "nat"},
        **{"trainable": "above", "bits": bits, "baselines": dict.fromkeys(BASELINES, 0.1), "drift": 0.0},
        **{"relative_slope": 0.5, "relative_slope_lo": 0.4, "relative_slope_hi": 0.6, "verdict": "undecided"},
        **{"dose": {"int": [float(digit) for digit in range(1, 11)]}},
        "sizes": {"100": {"bits": bits - 0.1}, "200": {"bits": bits}},
    } | other


def rows(chart: Any) -> list[dict[str, Any]]:
    return chart.to_dict()["data"]["values"]


def test_layers_of_one_model_are_not_averaged_with_those_of_another() -> None:
    cells = [cell("a", 0, 1.0), cell("a", 0, 2.0), cell("b", 0, 0.0)]
    found = {(row["row"], row["sentences"]): row["bits"] for row in rows(amounts(cells))}
    assert found[("a layer 0, Q, natural", "200")] == 1.5
    assert found[("b layer 0, Q, natural", "200")] == 0.0
    assert {name for name, _ in found} == {"a layer 0, Q, natural", "b layer 0, Q, natural"}
    assert {row["row"] for row in rows(amounts(cells[:2]))} == {"layer 0, Q, natural"}


def test_each_model_has_panels_of_its_own() -> None:
    result = {"cells": [cell("a", 0, 1.0), cell("b", 1, 0.5)], "k_star": {"a Q nat above": None, "b Q nat above": 1}}
    titles = [panel.to_dict()["title"]["text"] for panel in build_figure(result).vconcat]
    assert "What reports are worth, a: Q, natural: mean over neurons" in titles
    assert "b: does the answer follow the neuron? Half of the optimum, dashed, counts as reading" in titles
    assert titles[-1].startswith("Layers left from which the median neuron is read")
    assert "<svg" in figure_svg({**result, "cells": result["cells"][:1]})
