"""``assay probe`` on a small model: its contract, its tables, and what it refuses."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.core.direction import Direction
from assay.store import open_run
from assay.text.concepts import load_concept

SMALL = ("--model", "ladder-2-0", "--dtype", "fp32", "--effort", "smoke", "--items", "100")
CONTRACT = {"method", "layer", "train", "test", "auroc", "lo", "hi", "null_hi", "baselines", "verdict"}
HOSTILE = "<script>alert(1) & 'x'\x1b[31m.csv"


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def rows(n: int = 120) -> list[dict[str, Any]]:
    return [{"text": item.text, "label": item.label, "group": item.group} for item in load_concept("smaller").items[:n]]


def test_the_contract_holds(assay, root: Path) -> None:
    asked = ("--data", "cities", "--transfer", "neg_cities,translations", "--methods", "mean_diff,logistic,lat,ccs")
    said = assay("probe", *asked, "--layers", "0,1", *SMALL, "--json")
    assert said.code == 0, said.err
    result = json.loads(said.out)
    assert [(row["layer"], row["method"], row["test"]) for row in result["results"]] == [
        (layer, method, test)
        for layer in (0, 1)
        for method in ("mean_diff", "logistic", "lat", "ccs")
        for test in ("cities", "neg_cities", "translations")
    ]
    for row in result["results"]:
        assert set(row) >= CONTRACT
        assert row["train"] == "cities"
        assert 0 <= row["lo"] <= row["auroc"] <= row["hi"] <= 1
        assert 0.5 <= row["null_hi"] <= 1
        assert set(row["baselines"]) == {"bag_of_words", "length", "layer_0", "answer", "shuffled", "random"}
        assert (row["baselines"]["layer_0"] is None) == (row["layer"] == 0)
        assert row["verdict"] in ("supported", "undecided", "refuted", "void")
    summary = result["summary"]
    assert sum(summary["verdicts"].values()) == len(result["results"])
    assert summary["passes"] == {"cities": 1, "neg_cities": 1, "translations": 1}
    assert summary["items"] == dict.fromkeys(("cities", "neg_cities", "translations"), 100)
    run = open_run("last", root)
    assert (run.id, run.result()) == (result["run"], result)
    assert said.err.splitlines()[-1].startswith(f"next: assay view {run.id} ")
    direction = Direction.load(run.file("directions/L1.cities.lat.safetensors"))
    assert str(direction.site) == "L1.resid_post"


def test_a_run_is_shown_as_it_was_printed(assay, root: Path) -> None:
    printed = assay("probe", "--transfer", "neg_cities", "--methods", "mean_diff,lat", "--layers", "1", *SMALL)
    assert printed.code == 0, printed.err
    assert assay("show").out == printed.out
    stored = open_run("last", root).result()
    assert json.loads(assay("show", "--json").out) == stored
    lines = printed.out.splitlines()
    assert lines[0] == stored["title"]
    assert lines[1] == f"ladder-2-0, run {stored['run']}"
    head = next(place for place, line in enumerate(lines) if line.startswith("test "))
    assert lines[head].split() == "test layer method AUROC null words layer 0 answer verdict".split()
    for line, row in zip(lines[head + 1 :], stored["results"][::2] + stored["results"][1::2], strict=False):
        shown = [f"{row[name]:.2f}".lstrip("0") for name in ("auroc", "lo", "hi", "null_hi")]
        assert [part.strip("[]") for part in line.split()[-8:-4]] == shown
        assert line.split()[-1] == row["verdict"]
        assert row["method"] in line
    assert "; of " in lines[-2] or "undecided" in lines[-2]
    assert max(map(len, lines[head : head + 5])) <= 100
    listed = json.loads(assay("runs", "--json").out)
    assert [(row["verb"], row["state"], row["subject"]) for row in listed] == [("probe", "whole", "ladder-2-0")]


def test_an_experiment_prints_its_findings_and_tables(assay, root: Path) -> None:
    said = assay("probe", "--experiment", "torn-pairs", "--methods", "mean_diff", "--layers", "1", *SMALL)
    assert said.code == 0, said.err
    stored = open_run("last", root).result()
    for part in (stored["title"], stored["tables"][0]["title"], *stored["notes"]):
        assert part in said.out
    lines = [line.strip() for line in said.out.splitlines()]
    for one in stored["findings"]:
        below = lines[lines.index(f"{one['claim']} ({one['measure']})") + 1]
        shown = [f"{one[name]:.2f}".lstrip("0") for name in ("value", "lo", "hi")]
        assert below.startswith(f"{one['verdict']}   {shown[0]} [{shown[1]} {shown[2]}]  null: ")
    for way in ("row, pairs torn", "group"):
        assert sum(line.startswith(f"1 mean_diff, by {way} ") for line in lines) == 1
    assert assay("show").out == said.out


def test_a_file_is_data_and_its_name_does_not_steer_the_terminal(assay, root: Path, tmp_path: Path) -> None:
    path = write(tmp_path / HOSTILE, rows())
    said = assay("probe", "--data", path, "--methods", "mean_diff", "--layers", "1", *SMALL)
    assert said.code == 0, said.err
    assert "\x1b" not in said.out + said.err
    run = open_run("last", root)
    assert {row["train"] for row in run.result()["results"]} == {"_script_alert_1_x_31m"}
    assert Path(path).name in run.result()["title"]
    assert [name for name in run.files if name.startswith("directions/")] == [
        "directions/L1._script_alert_1_x_31m.mean_diff.safetensors"
    ]
    assert run.spec["asked"]["data"] == path
    html = run.file("page.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)" in html
    assert "<script>alert" not in html


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--methods", "svm"),
            "unknown method 'svm'; known: mean_diff, lda, logistic, lat, ccs, ccs_recursive, random",
        ),
        (("--methods", ""), "--methods must name one or more, each once. Got none."),
        (("--experiment", "ccss"), "unknown experiment of assay probe 'ccss'; did you mean 'ccs'?"),
        (("--experiment", "rare"), "unknown experiment of assay probe 'rare'"),
        (("--data", "city"), "unknown concept data 'city'"),
        (("--data", "nothing.csv"), "unknown concept data 'nothing.csv'"),
        (("--transfer", "neg_citties"), "unknown concept data 'neg_citties'; did you mean 'neg_cities'?"),
        (("--position", "first"), "unknown position 'first'; known: last, mean"),
        (("--effort", "huge"), "unknown effort 'huge'; known: smoke, quick, standard, full"),
        (("--split", "rows"), "unknown split 'rows'; did you mean 'row'?"),
        (("--layers", "1,x"), "--layers must be numbers from 0, such as 5,20,29. Got '1,x' instead."),
        (("--layers", "²"), "--layers must be numbers from 0, such as 5,20,29. Got '²' instead."),
        (("--layers", "1,7"), "ladder-2-0 has layers 0 to 1, and --layers names 7"),
        (("--items", "3"), "--items must be 20 or more, got 3"),
        (("--seeds", "0"), "--seeds must be 1 or more, got 0"),
        (("--split", "row"), "groups on both sides, so that a probe is tested on what it has seen"),
        (("--data", "requests_benign"), "requests_benign has texts of one label only"),
        (("--transfer", "requests_benign"), "requests_benign has texts of one label only"),
        (
            ("--data", "gender_written", "--methods", "ccs"),
            "gender_written has no contrast pairs, which ccs needs; give rows a 'pair'",
        ),
        (("--experiment", "ccs", "--data", "gender_written"), "gender_written has no contrast pairs"),
        (("--experiment", "ood", "--data", "sentiment"), "needs --transfer"),
    ],
)
def test_what_can_not_be_done_is_one_line(assay, root: Path, arguments: tuple[str, ...], message: str) -> None:
    effort = SMALL[:4] if "--effort" in arguments else SMALL[:6]
    said = assay("probe", *effort, *arguments)
    assert (said.code, said.out) == (2, "")
    last = said.err.splitlines()[-1]
    assert last.startswith("assay: ")
    assert message in last
    assert said.err.count("assay: ") == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": 1}, "all 120 texts have the label 1; a concept needs both 0 and 1"),
        ({"label": 2}, "line 2: the label must be 0 or 1. Got '2' instead"),
        ({"group": ""}, "line 2: an empty 'group'; name the row's group"),
        ({"group": None}, "line 2: no column 'group' with what may not be split between learning and testing"),
        ({"text": "dog " * 4000}, "the text 'dog dog dog dog dog dog dog dog dog dog dog dog dog dog dog ' has"),
    ],
)
def test_bad_files_are_one_line(assay, root: Path, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    changed = [row | change for row in rows()]
    if change == {"group": None}:
        changed = [{name: value for name, value in row.items() if name != "group"} for row in changed]
    if "text" in change:
        changed = [*rows(), rows()[0] | change | {"group": "long"}]
    said = assay("probe", "--data", write(tmp_path / "mine.csv", changed), *SMALL[:6], "--items", "500")
    assert (said.code, said.out) == (2, "")
    assert message in said.err.splitlines()[-1]


@pytest.mark.parametrize("experiment", [None, "l2-limit", "torn-pairs", "lat-layers", "ccs"])
def test_activations_that_do_not_vary_are_one_line(
    assay, root: Path, monkeypatch: pytest.MonkeyPatch, experiment: str | None
) -> None:
    def same(subject: Any, texts: Any, sites: Any, *more: Any) -> Any:
        return {site: np.ones((len(texts), 96), np.float32) for site in sites}

    monkeypatch.setattr("assay.probe.bench.read", same)
    asked = ("--experiment", experiment) if experiment else ()
    said = assay("probe", *SMALL, "--layers", "1", *asked)
    assert (said.code, said.out) == (2, "")
    assert "activations don't vary" in said.err.splitlines()[-1]


@pytest.mark.parametrize("module", ["assay.cli.concepts", "assay.cli.concept_tables", "assay.view.labs.concept"])
def test_commands_and_pages_need_no_torch(module: str) -> None:
    code = f"import sys, {module}\nassert not {{'torch', 'transformers', 'sklearn'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_names_every_experiment_and_method(assay) -> None:
    from assay.fit.probes import METHODS
    from assay.probe.studies import EXPERIMENTS

    said = assay("probe", "--help").out
    for name in (*METHODS, *(name for name, one in EXPERIMENTS.items() if one.verb == "probe")):
        assert name in said
