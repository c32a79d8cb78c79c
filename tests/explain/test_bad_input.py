"""What can't be done is refused in one line, with the right exit code, and leaves nothing half-written behind."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

import assay.model
from assay.cli.app import run
from assay.errors import UsageError
from assay.explain.experiment import ExplainRequest
from assay.testing import Planted, planted
from explain.bench import planted_text

UNITS = "L1.mlp_act:0,L1.mlp_act:3"


class Said(NamedTuple):
    """What one command line answered; ``error`` are the lines that ``assay:`` begins."""

    code: int
    out: str
    error: list[str]


Command = Callable[..., Said]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "planted.jsonl"
    rows = [json.dumps({"id": d.id, "text": d.text}) for d in planted_text(documents=400).documents]
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "scratch"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


@pytest.fixture
def command(
    model: Planted,
    corpus: Path,
    runs: Path,
    scratch: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """``assay explain`` with the planted subject in the place of whatever model is named."""
    monkeypatch.setattr(assay.model, "load", lambda name, *_, **__: model.subject)

    def call(*arguments: str) -> Said:
        given = {"--units": UNITS, "--corpus": str(corpus), "--tokens": "12000", "--out": str(runs)}
        given |= {"--explainer": "lookup"}  # the quick one
        given |= dict(zip(arguments[::2], arguments[1::2], strict=True))
        flat = [part for pair in given.items() for part in pair]
        capsys.readouterr()
        code = run(["explain", "--json", "--no-behaviour", *flat])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Said(code, captured.out, [line for line in captured.err.splitlines() if line.startswith("assay: ")])

    return call


def refused(said: Said, runs: Path, code: int, *parts: str) -> None:
    """One line with these parts, and no run that passes for whole."""
    assert (said.code, said.out, len(said.error)) == (code, "", 1), said
    for part in parts:
        assert part in said.error[0]
    assert not list(runs.rglob("done.json"))


def test_the_command_works_when_nothing_is_wrong(command: Command, runs: Path, scratch: Path) -> None:
    said = command()
    assert (said.code, said.error) == (0, [])
    assert json.loads(said.out)["units"][0]["unit"] == "L1.mlp_act:0"
    assert len(list(runs.rglob("done.json"))) == 1
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("--units", "L1.mlp_atc:0"), ("unknown site 'mlp_atc'", "did you mean 'mlp_act'?")),
        (("--units", "L1.mlp_act:48"), ("'L1.mlp_act:48' is out of range", "units 0 to 47")),
        (("--units", "L1.mlp_act:random49"), ("asks for 49 units", "has 48")),
        (("--units", "L3.mlp_act:0"), ("unknown site 'L3.mlp_act'", "layers of planted-0 run from 0 to 2")),
        (("--units", "L1.mlp_act"), ("'L1.mlp_act' is not a unit", "L10.mlp_act:345")),
        (("--explainer", "rulse"), ("unknown explainer 'rulse'", "did you mean 'rules'?")),
        (("--explainer", ""), ("unknown explainer ''",)),
        (("--explainer", "rules,rules"), ("names one twice",)),
        (("--rules", "65"), ("--rules must be 1 to 64, got 65",)),
        (("--tokens", "500"), ("--tokens must be 12,000 or more, got 500",)),
        (("--tokens", "999999"), ("the fit split of planted.jsonl", "needs 599,999 tokens, has")),
    ],
)
def test_bad_requests(command: Command, runs: Path, arguments: tuple[str, ...], parts: tuple[str, ...]) -> None:
    refused(command(*arguments), runs, 2, *parts)
    assert not runs.exists()


def test_unknown_model(corpus: Path, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["explain", "--model", "smolm2-135m", "--corpus", str(corpus), "--out", str(runs)])
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("assay: ")]
    assert code == 2
    assert len(lines) == 1
    assert "unknown model 'smolm2-135m'; did you mean 'smollm2-135m'?" in lines[0]
    assert not runs.exists()


# text


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("empty.txt", b"", ("no text in it",)),
        ("blank.jsonl", b'{"text": " "}\n\n', ("no text in it",)),
        ("latin.txt", b"good start \xe9 and on", ("invalid UTF-8 at byte 11 (0xe9)", "convert the file to UTF-8")),
        ("one.jsonl", b'{"text": "The dog waited."}', ("needs at least 3 independent documents",)),
        ("few.txt", b"\f".join(b"The old dog waited near river %d." % i for i in range(30)), ("needs 7,200 tokens, ",)),
        ("text.pdf", b"%PDF", ("can't read files ending in '.pdf'",)),
    ],
)
def test_text_that_will_not_do(
    command: Command, runs: Path, tmp_path: Path, name: str, content: bytes, parts: tuple[str, ...]
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    refused(command("--corpus", str(path)), runs, 2, name, *parts)
    assert not runs.exists()


def test_no_such_corpus(command: Command, runs: Path, corpus: Path) -> None:
    said = command("--corpus", str(corpus.with_name("planted.jsnl")))
    refused(said, runs, 2, "unknown corpus", "did you mean", "planted.jsonl")


def test_one_giant_line_is_text_like_any_other(command: Command, tmp_path: Path) -> None:
    """A .txt of one line becomes many documents; a .jsonl of one giant document can't be split, and says so."""
    line = " ".join(document.text.replace("\n", " ") for document in planted_text(documents=400).documents)
    assert len(line) > 100_000
    (tmp_path / "line.txt").write_text(line)
    said = command("--corpus", str(tmp_path / "line.txt"))
    assert (said.code, said.error) == (0, [])
    (tmp_path / "line.jsonl").write_text(json.dumps({"text": line}))
    refused(command("--corpus", str(tmp_path / "line.jsonl")), tmp_path / "none", 2, "at least 3 independent documents")


# the model and the machine


def test_nan_activations(command: Command, runs: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = planted(seed=0).subject
    with torch.no_grad():
        broken.model.model.layers[1].mlp.up_proj.weight[20] = float("nan")
    monkeypatch.setattr(assay.model, "load", lambda name, *_, **__: broken)
    refused(command(), runs, 2, "L1.mlp_act: NaN or infinite activation in document 'planted-0-")
    assert list(scratch.iterdir()) == []


def test_a_place_that_cannot_be_made(command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    refused(command("--out", str(tmp_path / "file")), tmp_path / "none", 1, "can't write", "--out")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_that_may_not_be_written(command: Command, runs: Path) -> None:
    runs.mkdir(mode=0o500)
    refused(command(), runs, 1, "can't write", "choose a place you may write to")


@pytest.mark.parametrize("where", ["assay.store.atomic.save_file", "assay.store.atomic.pq.write_table"])
def test_a_full_disk_while_the_run_is_written(
    command: Command, runs: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(where, full)
    refused(command(), runs, 1, "No space left on device; free some space, or choose another disk with --out")
    assert list(scratch.iterdir()) == []
    assert not list(runs.rglob("*.tmp"))


def test_a_full_disk_while_activations_are_recorded(
    command: Command, runs: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("numpy.lib.format.open_memmap", full)
    refused(command(), runs, 1, "No space left on device")
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("when", ["gather_material", "record_part", "run_test_pass", "figure_svg"])
def test_an_interrupt_leaves_a_run_that_is_known_to_be_incomplete(
    command: Command,
    runs: Path,
    scratch: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    when: str,
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    room = {"gather_material": "experiment", "figure_svg": "writing"}.get(when, "study")
    monkeypatch.setattr(f"assay.explain.{room}.{when}", interrupt)
    refused(command(), runs, 130, "interrupted")
    assert list(scratch.iterdir()) == []
    if when == "gather_material":
        assert not runs.exists()
        return
    [left] = runs.iterdir()
    assert (left / "spec.json").is_file()
    capsys.readouterr()
    assert run(["show", left.name, "--out", str(runs)]) == 2
    assert "is incomplete: 'assay explain' ended before done.json was written" in capsys.readouterr().err


# runs that can't be shown


@pytest.fixture(scope="module")
def whole(model: Planted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from assay.explain.experiment import explain

    request = ExplainRequest(
        units=UNITS, tokens=12_000, rules=1, behaviour=False, out=str(tmp_path_factory.mktemp("whole"))
    )
    return explain(request, subject=model.subject, corpus=planted_text(documents=400)).run_path


def test_show_and_recompute_take_what_explain_wrote(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["show", str(whole)]) == 0
    assert run(["show", "L1.mlp_act:3", "--run", whole.name, "--out", str(whole.parent)]) == 0
    capsys.readouterr()
    assert run(["show", str(whole), "--recompute"]) == 0
    assert capsys.readouterr().out.startswith("6 of 6 verdicts recomputed")


def _without_end(path: Path) -> None:
    (path / "done.json").unlink()


def _of_the_future(path: Path) -> None:
    spec = json.loads((path / "spec.json").read_text())
    (path / "spec.json").write_text(json.dumps(spec | {"schema": 99}))


def _without_tensors(path: Path) -> None:
    (path / "tensors" / "test.safetensors").unlink()


@pytest.mark.parametrize(
    ("harm", "part"),
    [
        (_without_end, "is incomplete"),
        (_of_the_future, "has schema 99 and this assay reads up to 1; install a newer assay"),
        (_without_tensors, "lacks tensors/test.safetensors"),
    ],
)
@pytest.mark.parametrize("options", [(), ("--recompute",)])
def test_a_harmed_run_is_refused(
    whole: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    harm: Callable[[Path], None],
    part: str,
    options: tuple[str, ...],
) -> None:
    copy = tmp_path / whole.name
    shutil.copytree(whole, copy)
    harm(copy)
    capsys.readouterr()
    assert run(["show", str(copy), *options]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("assay: ")
    assert captured.err.count("\n") == 1
    assert part in captured.err


def test_a_request_is_checked_before_anything_is_loaded() -> None:
    with pytest.raises(UsageError, match="--seed must be 0 or more, got -1"):
        ExplainRequest(seed=-1).check()
    with pytest.raises(UsageError, match="--explainer names none"):
        ExplainRequest(explainers=()).check()
