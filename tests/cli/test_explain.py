from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import synthetic
from assay.cli.report import also_line
from assay.errors import UsageError
from assay.rules import Condition, Rule, RuleList


@dataclass(frozen=True)
class Request:
    model: str
    units: str
    explainers: tuple[str, ...]
    rules: int
    tokens: int
    corpus: str
    behaviour: bool
    seed: int
    out: str | None
    written: dict[str, Any]
    sample: int = 30
    also: str | None = None
    judge: str | None = None
    max_judge_calls: int | None = None
    simulator: str | None = None
    calibration: str = "linear"
    detection: bool = False
    dtype: str | None = None
    device: str | None = None
    trust_remote_code: str | None = None
    joint: bool = False


@dataclass(frozen=True)
class Outcome:
    run_path: Path
    result: dict[str, Any]


@pytest.fixture
def asked(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """Stands in for the experiment: remembers what was asked, and answers with the synthetic run."""
    requests: list[Request] = []

    def explain(request: Request, progress: Callable[..., None]) -> Outcome:
        requests.append(request)
        progress("recording", 0.5)
        path = synthetic.write_run(Path(request.out or root))
        return Outcome(path, json.loads((path / "result.json").read_text()))

    module = ModuleType("assay.explain.experiment")
    module.ExplainRequest, module.explain = Request, explain  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "assay.explain.experiment", module)
    return requests


def test_the_defaults_are_the_ones_of_the_contract(assay, asked: list[Request]) -> None:
    assert assay("explain").code == 0
    assert asked == [
        Request("smollm2-135m", "spread3", ("rules", "self", "lookup"), 8, 120_000, "bundled", True, 0, None, {})
    ]


def test_every_option_reaches_the_experiment(assay, asked: list[Request], tmp_path: Path) -> None:
    out = str(tmp_path / "elsewhere")
    unit, rules = "L1.mlp_act:2", RuleList((Rule((Condition("form", named="comma"),), 1.0),))
    mine = tmp_path / "mine.json"
    mine.write_text(json.dumps({unit: rules.to_json()}))
    said = assay(
        *("explain", "--model", "m", "--units", "L1.mlp_act:0-3,spread4", "--explainer", "rules, lookup"),
        *(
            "--rules",
            "32",
            "--tokens",
            "5000",
            "--corpus",
            "c.txt",
            "--also",
            "d.txt",
            "--no-behaviour",
            "--seed",
            "7",
            "--out",
            out,
        ),
        *("--written", str(mine), "--sample", "4", "--joint"),
        *("--dtype", "fp32", "--device", "cpu", "--trust-remote-code", "m"),
    )
    models = {"dtype": "fp32", "device": "cpu", "trust_remote_code": "m"}
    assert asked == [
        Request(
            *("m", "L1.mlp_act:0-3,spread4", ("rules", "lookup"), 32, 5000, "c.txt", False, 7, out, {unit: rules}),
            sample=4,
            also="d.txt",
            joint=True,
            **models,
        )
    ]
    assert said.err.splitlines()[-1].startswith("next: assay view ")
    assert f"--out {out}" in said.err


def test_json_is_the_result_and_nothing_else(assay, asked: list[Request], root: Path) -> None:
    said = assay("explain", "--json")
    (run,) = root.iterdir()
    assert json.loads(said.out) == json.loads((run / "result.json").read_text())


def test_the_table_is_the_one_that_show_prints(assay, asked: list[Request]) -> None:
    assert assay("explain").out == assay("show").out


def test_progress_goes_to_stderr_as_lines(assay, asked: list[Request]) -> None:
    said = assay("explain")
    assert said.err.splitlines()[0].endswith("s] recording 50%")
    assert "recording" not in said.out


def test_an_error_of_the_experiment_is_one_line(assay, asked: list[Request], monkeypatch: pytest.MonkeyPatch) -> None:
    def explain(request: Request, progress: Callable[..., None]) -> Outcome:
        raise UsageError("spread0 names no unit")

    monkeypatch.setattr(sys.modules["assay.explain.experiment"], "explain", explain)
    assert assay("explain", "--units", "spread0") == (2, "", "assay: spread0 names no unit\n")


def test_the_drop_on_other_text_is_one_line() -> None:
    rules = {"units": 4, "mean_r": 0.25, "drop": 0.08, "drop_lo": 0.04, "drop_hi": 0.12}
    lookup = rules | {"mean_r": 0.2, "drop": -0.01, "drop_lo": None, "drop_hi": None}
    said = also_line("sea\x1b[31m.txt", {"tokens": 12_065, "explainers": {"rules": rules, "lookup": lookup}})
    assert said.plain == (
        "on sea[31m.txt: rules mean r .25, a drop of .08 [.04 .12]; lookup mean r .20, a drop of -.01;"
        " 12,065 tokens, of which nothing was learnt"
    )
