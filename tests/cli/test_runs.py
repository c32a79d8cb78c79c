from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import synthetic


def test_no_runs_says_so_and_how_to_make_one(assay, root: Path) -> None:
    said = assay("runs")
    assert (said.code, said.out) == (0, f"no runs in {root}\n")
    assert said.err == "next: assay explain   make one\n"
    assert json.loads(assay("runs", "--json").out) == []
    assert not root.exists()


def test_every_run_is_listed_with_its_state(assay, stored: Path) -> None:
    states = {"a-incomplete": "done.json", "b-damaged": "units.parquet"}
    for name, lost in states.items():
        (Path(shutil.copytree(stored, stored.with_name(name))) / lost).unlink()
    newer = Path(shutil.copytree(stored, stored.with_name("c-newer"))) / "spec.json"
    newer.write_text(json.dumps({**json.loads(newer.read_text()), "schema": 99}))
    (stored.parent / "notes").mkdir()

    rows = json.loads(assay("runs", "--json").out)
    assert {row["id"]: row["state"] for row in rows} == {
        stored.name: "whole",
        "a-incomplete": "incomplete",
        "b-damaged": "damaged",
        "c-newer": "newer",
    }
    whole = next(row for row in rows if row["state"] == "whole")
    assert (whole["subject"], whole["units"], whole["verb"]) == ("synthetic", 2, "explain")
    summary = json.loads((stored / "result.json").read_text())["summary"]
    assert whole["mean_r"] == pytest.approx(summary["mean_r"])

    said = assay("runs")
    assert said.code == 0
    assert [line.split()[:2] for line in said.out.splitlines()[2:]] == [[row["id"], row["state"]] for row in rows]
    assert said.err.startswith(f"next: assay show {stored.name} ")


def test_a_result_that_was_changed_makes_a_run_damaged(assay, stored: Path) -> None:
    (stored / "result.json").write_text("{}")
    (row,) = json.loads(assay("runs", "--json").out)
    assert (row["state"], row["units"]) == ("damaged", None)


def test_out_names_another_place_also_in_the_next_line(assay, root: Path, tmp_path: Path) -> None:
    other = tmp_path / "else where"
    run = synthetic.write_run(other)
    said = assay("runs", "--out", str(other))
    assert run.name in said.out
    assert said.err.startswith(f"next: assay show {run.name} --out '{other}' ")


def test_a_corpus_name_does_not_steer_the_terminal(assay, stored: Path) -> None:
    spec = json.loads((stored / "spec.json").read_text())
    spec["corpus"]["name"] = "\x1b]0;title\x07"
    (stored / "spec.json").write_text(json.dumps(spec))
    assert "\x1b" not in assay("runs").out
