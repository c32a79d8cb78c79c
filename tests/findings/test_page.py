"""The page and the figure of a run: they say what the result says, and hostile text stays text."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

import pytest

from assay.findings.figure import build_figure, figure_json, figure_svg
from assay.findings.found import Finding, Found, Panel, Table, scored
from assay.findings.page import build_page
from assay.stats.bootstrap import Estimate
from findings.test_found import estimate

BAD = '<script>alert(1)</script>"onerror="x'
SPEC: dict[str, Any] = {
    "verb": "probe",
    "id": "20260101-000000-probe-abcd",
    "started": "2026-01-01T00:00:00+00:00",
    "git": {"commit": "0" * 40, "dirty": True},
    "subject": {"name": f"m {BAD}", "fingerprint": "f" * 64},
    "corpus": {"name": f"c {BAD}"},
}
LINES = [
    {"x": 0, "y": 0.6, "lo": 0.5, "hi": 0.7, "series": "lat"},
    {"x": 1, "y": 0.9, "lo": None, "hi": None, "series": "lat"},
    {"x": 0, "y": None, "series": "words"},
    {"x": 0, "y": 0.52, "series": "null"},
    {"x": 1, "y": 0.55, "series": "null"},
]
CELLS = [{"x": "a", "y": "detect", "value": 0.9}, {"x": "a", "y": "steer", "value": None}]


def result(**more: Any) -> dict[str, Any]:
    found = Found(
        f"Title {BAD}",
        f"Question {BAD}",
        findings=[
            scored(f"good {BAD}", "AUROC", estimate(0.9), 0.5, published=f"p {BAD}", references={"bag_of_words": 0.61}),
            Finding("only said", "share", -0.25, n=20),
            scored("not measured", "AUROC", Estimate(float("nan"), estimate(0.5).replicates), 0.5),
        ],
        tables=[Table("Counts", ("what", f"col {BAD}", "n"), [[f"row {BAD}", 0.128, 1234], ["none", None, 0]])],
        panels=[
            Panel("lines", f"Lines {BAD}", "layer", "AUROC", LINES, ("null",)),
            Panel("matrix", "M", "", "", CELLS),
        ],
        notes=[f"Note {BAD}"],
    ).as_json()
    found["summary"] |= {"arithmetic": "read in float32 (asked for)", "seconds": 1.0, "items": {}, "passes": {}}
    return {"run": SPEC["id"], "experiment": None, **found, **more}


def text_of(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


def test_the_page_says_what_was_found() -> None:
    html = build_page(SPEC, result())
    text = text_of(html)
    for said in (
        "supported 1, described 1, undecided 1 of 3 findings.",
        ".90 [",
        "null 0.50",
        "bag of words 0.61",
        "only said share −0.25",
        "read in float32 (asked for)",
        "Run 20260101-000000-probe-abcd",
        "commit 0000000000 with changes",
        "fingerprint ffffffffffff",
        "0.13 1,234",
        "none – 0",
    ):
        assert said in text, said
    assert html.count("<svg") == 1
    assert 'title="beats its best null (null) by more than 0.02"' in html


def test_hostile_text_stays_text_on_the_page() -> None:
    html = build_page(SPEC, result())
    assert "<script>alert" not in html
    assert not re.search(r"<[^>]*\"onerror=\"x", html)
    assert text_of(html).count("alert(1)") >= 9
    assert "<script" not in html.replace("&lt;script", "")


def test_a_page_without_figure_or_findings_stands() -> None:
    bare = result(panels=[], findings=[], tables=[], notes=[])
    html = build_page(SPEC | {"git": None}, bare)
    assert "<svg" not in html
    assert "commit" not in text_of(html)


def values(chart: Any) -> list[list[dict[str, Any]]]:
    """The rows that each layer of a panel draws."""
    return [layer["data"]["values"] for layer in chart["layer"] if "data" in layer]


def test_lines_are_drawn_from_what_was_measured() -> None:
    lines, _ = build_figure(result()).to_dict()["vconcat"]
    drawn = values(lines)
    null = [{"x": row["x"], "y": row["y"]} for rows in drawn for row in rows if row["series"] == "null"]
    assert null == [{"x": 0, "y": 0.52}, {"x": 1, "y": 0.55}]
    own = [rows for rows in drawn if {row["series"] for row in rows} == {"lat"}]
    assert [row["y"] for row in own[-1]] == [0.6, 0.9]
    assert [[row["lo"] for row in rows] for rows in own if len(rows) == 1] == [[0.5]]  # the one with an interval
    assert not any(row["series"] == "words" for rows in drawn for row in rows)  # it has no value
    assert lines["title"]["text"] == f"Lines {BAD}"


def test_a_matrix_writes_every_cell_and_colours_those_that_are_known() -> None:
    _, matrix = build_figure(result()).to_dict()["vconcat"]
    coloured, written = values(matrix)
    assert [(row["y"], row["text"]) for row in written] == [("detect", "0.90"), ("steer", "–")]
    assert [row["y"] for row in coloured] == ["detect"]


@pytest.mark.parametrize("x", ["layer", 3])
def test_series_at_words_stand_beside_each_other(x: str | int) -> None:
    rows = [{"x": x, "y": 0.1 * place, "lo": 0, "hi": 1, "series": name} for place, name in enumerate(("a", "b"))]
    [panel] = build_figure(result(panels=[Panel("lines", "t", "x", "y", rows)._asdict()])).to_dict()["vconcat"]
    assert any("xOffset" in layer["encoding"] for layer in panel["layer"]) is isinstance(x, str)


def test_hostile_text_stays_text_in_the_figure() -> None:
    rows = [{"x": 0, "y": 0.5, "series": BAD}, {"x": 1, "y": 0.5, "series": "</svg>"}]
    svg = figure_svg(result(panels=[Panel("lines", BAD, BAD, BAD, rows)._asdict()]))
    assert svg.startswith("<svg")
    assert "<script" not in svg
    assert svg.count("</svg>") == 1
    assert "&lt;script&gt;" in svg


def test_a_figure_needs_a_panel_and_is_json() -> None:
    with pytest.raises(ValueError, match="at least one panel"):
        build_figure(result(panels=[]))
    assert len(json.loads(figure_json(result()))["vconcat"]) == 2
