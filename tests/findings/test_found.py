"""From what was measured to a verdict, whichever way a score runs."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from assay.findings.found import Finding, Found, Panel, Table, absent, from_interval, number, scored, scored_below
from assay.referee import CheckInput
from assay.stats.bootstrap import Estimate


def estimate(value: float, sd: float = 0.01, seed: int = 0) -> Estimate:
    return Estimate(value, value + sd * np.random.default_rng(seed).standard_normal(500))


def judged(*findings: Finding, controls: tuple[CheckInput, ...] = ()) -> list[dict[str, Any]]:
    return Found("t", "q", findings=list(findings), controls=list(controls)).as_json()["findings"]


@pytest.mark.parametrize(
    ("value", "sd", "verdict"),
    [
        (0.80, 0.01, "supported"),
        (0.51, 0.001, "refuted"),  # above the null, by less than the margin
        (0.20, 0.01, "refuted"),
        (0.53, 0.02, "undecided"),
        (0.80, 0.20, "undecided"),
    ],
)
def test_a_score_must_be_surely_above_its_null(value: float, sd: float, verdict: str) -> None:
    [row] = judged(scored("it tells", "AUROC", estimate(value, sd), 0.5, null_name="chance", n=7, unit="L1.x:@a"))
    assert row["verdict"] == verdict
    assert row["lo"] < row["value"] == value < row["hi"]
    assert row["d"] == pytest.approx(value - 0.5)
    assert (row["nulls"], row["n"], row["unit"]) == ({"chance": 0.5}, 7, "L1.x:@a")


@pytest.mark.parametrize(
    ("value", "sd", "verdict"),
    [(0.20, 0.01, "supported"), (0.49, 0.001, "refuted"), (0.80, 0.01, "refuted"), (0.47, 0.02, "undecided")],
)
def test_below_is_judged_the_other_way_and_shown_as_it_is(value: float, sd: float, verdict: str) -> None:
    [row] = judged(scored_below("it turns over", "AUROC", estimate(value, sd), 0.5))
    assert row["verdict"] == verdict
    assert row["lo"] < row["value"] == value < row["hi"]
    assert row["nulls"] == {"null": 0.5}
    assert row["d"] == pytest.approx(0.5 - value)


def test_a_null_with_an_interval_is_subtracted_resample_by_resample() -> None:
    common = np.random.default_rng(3).standard_normal(500)
    score, null = Estimate(0.8, 0.8 + 0.2 * common), Estimate(0.5, 0.5 + 0.2 * common)
    [paired] = judged(scored("it tells", "AUROC", score, null))
    assert paired["verdict"] == "supported"
    assert (paired["d_lo"], paired["d_hi"]) == pytest.approx((0.3, 0.3))
    [below] = judged(scored_below("it tells less", "AUROC", null, score))
    assert below["verdict"] == "supported"


@pytest.mark.parametrize(
    ("value", "sd", "nulls", "verdict"),
    [
        (0.50, 0.002, {"shuffled": 0.5}, "supported"),
        (0.30, 0.01, {"shuffled": 0.5}, "supported"),
        (0.60, 0.01, {"shuffled": 0.5}, "refuted"),
        (0.55, 0.002, {"low": 0.5, "high": 0.6}, "refuted"),  # it must be nothing beside each of them
        (0.51, 0.02, {"shuffled": 0.5}, "undecided"),
    ],
)
def test_absent_is_no_more_than_the_margin_above_every_null(
    value: float, sd: float, nulls: dict[str, float], verdict: str
) -> None:
    finding = Finding("nothing is left", "AUC", value, nulls=nulls, check=absent(estimate(value, sd), nulls))
    [row] = judged(finding)
    assert row["verdict"] == verdict
    assert row["nulls"] == nulls


def test_reasons_keep_a_finding_open() -> None:
    rows = judged(
        scored("a", "AUROC", estimate(0.9), 0.5, reasons=("5 documents; 20 are needed",)),
        scored_below("b", "AUROC", estimate(0.1), 0.5, reasons=("too few",)),
        Finding("c", "AUC", 0.5, check=absent(estimate(0.2), {"null": 0.5}, ("nobody attacked",))),
    )
    assert [row["verdict"] for row in rows] == ["undecided"] * 3
    assert [row["reason"] for row in rows] == ["5 documents; 20 are needed", "too few", "nobody attacked"]


def test_an_interval_stands_for_a_normal_of_its_width() -> None:
    found = from_interval(0.7, 0.6, 0.8)
    assert found.interval() == pytest.approx((0.7, 0.6, 0.8), abs=1e-3)
    assert found.replicates.mean() == pytest.approx(0.7)
    assert found.replicates.std() == pytest.approx(0.1 / 1.96, rel=0.01)


def test_the_verdict_lands_in_the_row_that_it_is_about() -> None:
    results: list[dict[str, Any]] = [{"method": "first"}, {"method": "second"}, {"method": "third"}]
    findings = [
        scored("bad", "AUROC", estimate(0.4), 0.5, result=2),
        Finding("just said", "share", 0.3, n=20),
        scored("good", "AUROC", estimate(0.9), 0.5, result=0),
    ]
    found = Found("t", "q", results=results, findings=findings)
    for _ in range(2):
        made = found.as_json()
        assert [row.get("verdict") for row in made["results"]] == ["supported", None, "refuted"]
        assert made["results"][1] == {"method": "second"}
        assert made["results"][0]["reason"] == made["findings"][2]["reason"]
        assert made["summary"]["verdicts"] == {"refuted": 1, "described": 1, "supported": 1}
    said = made["findings"][1]
    assert (said["verdict"], said["reason"], said["d"]) == (None, "described, not judged", None)


def test_controls_that_pass_make_every_finding_void() -> None:
    good = scored("good", "AUROC", estimate(0.9), 0.5)
    assert good.check is not None
    nothing = scored("nothing", "AUROC", estimate(0.5), 0.5).check
    assert nothing is not None
    assert [row["verdict"] for row in judged(good, controls=(good.check,) * 2)] == ["void"]
    found = Found("t", "q", findings=[good], controls=[nothing] * 10).as_json()
    assert found["findings"][0]["verdict"] == "supported"
    assert found["summary"]["controls"] == {"n": 10, "passed": 0, "void": False}


def test_it_is_json_whatever_was_not_measured() -> None:
    nothing = Estimate(float("nan"), np.full(100, np.nan))
    findings = [scored("nan", "AUROC", nothing, 0.5, references={"words": None, "answer": float("inf")})]
    panel = Panel("lines", "p", "x", "y", [{"x": 1, "y": None, "series": "s"}])
    found = Found("t", "q", findings=findings, tables=[Table("t", ("a",), [["x"]])], panels=[panel])
    made = json.loads(json.dumps(found.as_json(), allow_nan=False))
    [row] = made["findings"]
    assert (row["value"], row["lo"], row["d"]) == (None, None, None)
    assert (row["verdict"], row["reason"]) == ("undecided", "unscored: the score or a null is not defined")
    assert row["references"] == {"words": None, "answer": None}
    assert made["tables"] == [{"title": "t", "columns": ["a"], "rows": [["x"]]}]
    assert made["panels"][0]["kind"] == "lines"


def test_numbers_of_json_are_finite() -> None:
    given = (None, float("nan"), float("-inf"), np.float64(0.5))
    assert [number(value) for value in given] == [None, None, None, 0.5]
