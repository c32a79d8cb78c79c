"""A whole selftest: its contract, what it stores, and how it is shown."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from assay.cli.app import run as run_command
from assay.errors import UnknownName, UsageError
from assay.judge.remote import NOT_RECORDED
from assay.selftest.claims import EFFECTS
from assay.selftest.experiment import SelftestOutcome, SelftestRequest, _one_thread
from assay.selftest.request import EFFORTS
from assay.selftest.scores import SCORES
from assay.store import open_run
from selftest.conftest import FEW

OURS = ("r", "r_context", "f1", "auprc", "behaviour")


def test_the_result_keeps_the_contract(outcome: SelftestOutcome, stored: dict[str, Any]) -> None:
    assert stored == json.loads(json.dumps(outcome.result, allow_nan=False))
    assert list(stored["scores"]) == list(SCORES)
    for row in stored["scores"].values():
        assert isinstance(row["truth_beats_decoys"], bool)
        assert isinstance(row["passes"], bool)
        assert isinstance(row["missing_drop"], float)
        assert isinstance(row["extra_drop"], float)
    assert [row["effect"] for row in stored["verdict"]["power"]] == list(EFFECTS)
    assert all(0 <= row["power"] <= 1 for row in stored["verdict"]["power"])
    assert 0 <= stored["verdict"]["false_support"] <= 1
    assert {row["unit"] for row in stored["verdict"]["best_rules"]} <= {unit["name"] for unit in stored["units"]}
    assert {"swap_auc", "hide_auc"} <= set(stored["dishonest"])
    assert stored["summary"]["needs"] == {"share": 0.25, "fall": 0.1}
    assert len(stored["units"]) == stored["summary"]["units"] == len(FEW)


def test_the_scores_that_the_project_stands_by_are_named(stored: dict[str, Any]) -> None:
    assert tuple(name for name, row in stored["scores"].items() if row["primary"]) == OURS


def test_units_say_what_they_are_and_what_their_truth_scores(stored: dict[str, Any]) -> None:
    units = {unit["name"]: unit for unit in stored["units"]}
    assert units["weekdays"]["family"] == "rules"
    assert units["weekdays"]["r"] > 0.99
    assert "r_context" not in units["weekdays"]
    assert units["thing in brackets"]["r_context"] > 0.9
    assert "behaviour" not in units["colours, silent"]
    parity = units["past tense, odd number of things before"]
    assert parity["r"] > 0.99 > 0.9 > parity["best_rules_r"] > 0.4
    assert all(("best_rules_r" in unit) == (unit["family"] == "beyond") for unit in stored["units"])


def test_what_was_said_is_stored_with_its_sentences_and_scores(outcome: SelftestOutcome) -> None:
    run = open_run(outcome.run_path)
    claims, evidence = run.rows("claims"), run.rows("evidence")
    assert {row["explainer"] for row in claims if row["unit"] == "L2.mlp_act:7"} == {
        *("truth", "too broad", "too narrow", "related", "opposite", "another unit's", "nonsense"),
        *("labels missing", "labels too many"),
    }
    [truth] = [row for row in claims if row["unit"] == "L2.mlp_act:7" and row["explainer"] == "truth"]
    assert truth["text"] == "It fires on words for things inside brackets."
    assert json.loads(truth["rules"])["kind"] == "rules"
    scored = {row["measure"]: row for row in evidence if row["claim"] == truth["claim"]}
    assert set(scored) == set(SCORES)
    assert scored["r"]["lo"] < scored["r"]["value"] < scored["r"]["hi"]
    assert scored["recall"]["lo"] is None
    assert len(run.rows("units")) == len(FEW)
    assert run.spec["resolved"]["threads"] == 1
    assert run.file("figure.svg").read_text(encoding="utf-8").startswith("<svg")


def test_what_a_judge_was_asked_is_counted_and_recorded(outcome: SelftestOutcome, stored: dict[str, Any]) -> None:
    found = stored["judge"]
    assert found["judge"] == "mute"
    assert found["simulator"]["units"] == found["simulator"]["units_unscored"] == 2
    assert set(found["simulator"]["unscored"]) == {NOT_RECORDED}
    assert found["account"]["calls"] == 0
    assert found["account"]["unscored"][NOT_RECORDED] > 100
    assert "judge.jsonl" in open_run(outcome.run_path).files


def test_a_stored_selftest_is_shown_without_torch(outcome: SelftestOutcome) -> None:
    code = f"""
import sys
from assay.cli.app import run
assert run(["show", {str(outcome.run_path)!r}]) == 0
assert run(["show", {str(outcome.run_path)!r}, "--json"]) == 0
assert run(["runs", "--out", {str(outcome.run_path.parent)!r}]) == 0
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for words in (
        "r, natural frequency",
        "top-and-random r, tokens",
        "Beyond the grammar the truth is a function that no list of rules says",
        "False support",
        "Explainers that hide a meaning",
        "The judge: mute",
        "no unit could be scored",
    ):
        assert words in done.stdout


def test_a_unit_of_a_selftest_can_not_be_shown_as_one_of_a_run_and_says_so(
    outcome: SelftestOutcome, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["show", "L2.mlp_act:7", "--run", str(outcome.run_path)]) == 2
    assert "made by 'assay selftest'" in capsys.readouterr().err
    assert run_command(["show", str(outcome.run_path), "--recompute"]) == 2
    assert "made by 'assay selftest'" in capsys.readouterr().err


def test_the_tables_answer_queries(outcome: SelftestOutcome, capsys: pytest.CaptureFixture[str]) -> None:
    question = (
        "select explainer, avg(value) as r from claims join evidence using (run, claim) "
        "where measure = 'r' group by explainer order by r desc limit 1"
    )
    assert run_command(["query", question, "--run", str(outcome.run_path), "--json"]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert row["explainer"] == "truth"


@pytest.mark.parametrize("failing", [False, True])
def test_the_command_answers_3_when_a_score_of_ours_fails(
    outcome: SelftestOutcome, failing: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = {
        name: row | ({"passes": not failing} if row["primary"] else {})
        for name, row in outcome.result["scores"].items()
    }
    given = replace(outcome, result=outcome.result | {"scores": scores})
    asked: list[SelftestRequest] = []

    def answer(request: SelftestRequest, progress: object) -> SelftestOutcome:
        asked.append(request)
        return given

    monkeypatch.setattr("assay.selftest.experiment.selftest", answer)
    code = run_command(["selftest", "--effort", "full", "--seed", "5", "--out", "there", "--json"])
    assert code == (3 if failing else 0)
    assert asked == [SelftestRequest("full", 5, "there")]
    said = capsys.readouterr()
    assert json.loads(said.out)["scores"]["r"]["passes"] is not failing
    assert "next: assay query" in said.err


def test_what_fails_is_named_in_plain_words(
    outcome: SelftestOutcome, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from assay.cli import selftest_report
    from assay.cli.screen import screen

    row = outcome.result["scores"]["f1"]
    failure = {"unit": "months", "decoy": "too narrow", "truth": 0.5, "decoy_score": 0.625}
    bad = row | {"passes": False, "truth_beats_decoys": False, "failures": [failure]}
    text = selftest_report._failing(outcome.result["scores"] | {"f1": bad}, {"share": 0.25, "fall": 0.1})
    assert "F1 of firing fails. months: the truth .50, too narrow .62." in text.plain
    screen().print(text)
    assert "fails" in capsys.readouterr().out


def test_what_is_lost_stands_beside_its_interval() -> None:
    from assay.cli.selftest_report import _loss

    row = {"missing_share": 0.291, "missing_share_lo": 0.284, "missing_share_hi": 0.301}
    assert _loss(row, "missing").plain == "−29 % [−30 −28]"
    assert _loss(row | {"missing_share_lo": None, "missing_share_hi": None}, "missing").plain == "−29 %"
    assert _loss({"missing_share": -0.001, "missing_share_lo": -0.02, "missing_share_hi": 0.0}, "missing").plain == (
        "0 % [0 2]"
    )
    assert _loss(dict.fromkeys(row), "missing").plain == "–"


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        (SelftestRequest("smok"), UnknownName, "did you mean 'smoke'"),
        (SelftestRequest("smoke", -1), UsageError, "--seed must be 0 or more, got -1"),
    ],
)
def test_what_can_not_be_done_is_refused(request_: SelftestRequest, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        request_.check()


def test_a_mistyped_effort_is_one_line_and_code_2(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run_command(["selftest", "--effort", "fast", "--out", str(tmp_path)]) == 2
    assert "unknown effort 'fast'; known: smoke, standard, full" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_threads_are_as_before_afterwards() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    seen: list[int] = []

    def fail() -> None:
        with _one_thread():
            seen.append(torch.get_num_threads())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert seen == [1]
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


def test_efforts_grow() -> None:
    documents = [effort.documents for effort in EFFORTS.values()]
    assert list(EFFORTS) == ["smoke", "standard", "full"]
    assert documents == sorted(documents)
    assert all(math.isfinite(value) for value in documents)
