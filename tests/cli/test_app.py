from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from assay.cli import app
from assay.cli.app import VERBS
from assay.cli.lazy import load_object
from assay.errors import StorageError, UsageError

HEAVY = ("torch", "numpy", "pyarrow", "rich", "transformers", "scipy", "safetensors")


def command(*arguments: str, **settings) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "assay", *arguments], capture_output=True, text=True, check=False, **settings
    )


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["explain", "--help"], ["nonsense"]])
def test_nothing_heavy_is_imported_to_help_or_to_refuse(arguments: list[str]) -> None:
    code = f"""
import json, sys
from assay.cli.app import run
code = run({arguments!r})
print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_no_verb_that_reads_runs_imports_torch(stored: Path) -> None:
    code = f"""
import sys
from assay.cli.app import run
for arguments in (["runs"], ["show", {str(stored)!r}], ["show", "L1.mlp_act:7", "--run", {str(stored)!r}]):
    assert run(arguments) == 0
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", list(VERBS))
def test_the_listing_says_what_the_verb_says(name: str) -> None:
    verb = load_object(VERBS[name].place)
    assert isinstance(verb, click.Command)
    assert verb.name == name
    assert verb.short_help == VERBS[name].help


@pytest.mark.parametrize("name", ["", *VERBS])
def test_every_help_has_two_examples_that_parse(assay, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = assay(*([name] if name else []), "--help")
    assert said.code == 0
    lines = said.out.split("Examples:")[1].replace("\\\n", " ").splitlines()
    examples = [shlex.split(line.split("|")[0].split(">")[0]) for line in lines if line.startswith("    assay ")]
    assert len(examples) >= 2
    for example in examples:
        verb = load_object(VERBS[example[1]].place)
        with verb.make_context(example[1], example[2:]) as context:
            assert context.params


def test_the_exit_code_of_the_command_is_the_one_of_run() -> None:
    assert command("--version").returncode == 0
    assert command("explian").returncode == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["explian"], "assay: unknown verb 'explian'; did you mean 'explain'?"),
        (["zzz"], "assay: unknown verb 'zzz'; known: explain, "),
        (["explain", "--unit", "x"], "assay: no such option '--unit'; did you mean '--units'"),
        (["explain", "--rules", "0"], "assay: invalid value for '--rules': 0 is not in the range x>=1"),
        (["explain", "--tokens", "many"], "assay: invalid value for '--tokens': 'many' is not a valid integer"),
        (["explain", "extra"], "assay: got unexpected extra argument"),
        (["show", "last", "--run", "x"], "assay: 'last' is not a unit, and --run goes with one"),
    ],
)
def test_bad_usage_is_one_line_and_exit_2(assay, root: Path, arguments: list[str], message: str) -> None:
    said = assay(*arguments)
    assert said.code == 2
    assert said.out == ""
    assert said.err.startswith(message)
    assert said.err.count("\n") == 1
    assert not root.exists()


def test_no_verb_prints_the_help_and_exits_2(assay) -> None:
    said = assay()
    assert said.code == 2
    assert said.out == ""
    assert "Verbs:" in said.err


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UsageError("bad\x1b[2J\nrequest"), 2, "assay: bad[2J↵request\n"),
        (StorageError("disk full"), 1, "assay: disk full\n"),
        (KeyboardInterrupt(), 130, "assay: interrupted\n"),
        (OSError(28, "No space left on device"), 1, "assay: No space left on device\n"),
    ],
)
def test_what_is_raised_becomes_one_line_and_its_code(
    assay, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, line: str
) -> None:
    def fail(root: Path) -> None:
        raise error

    monkeypatch.setattr("assay.cli.runs.list_runs", fail)
    assert assay("runs") == (code, "", line)


def test_a_bug_is_not_dressed_up_as_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(root: Path) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("assay.cli.runs.list_runs", fail)
    with pytest.raises(ZeroDivisionError):
        app.run(["runs"])


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_leaves_early_is_no_error(stored: Path, unbuffered: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "assay", "show", str(stored)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process.stderr:
        err = process.stderr.read().decode()
    assert process.wait() == app.BROKEN_PIPE
    assert "Traceback" not in err
    assert "Exception" not in err


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full, which Linux has")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_behind_stdout_is_one_line(stored: Path, unbuffered: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "assay", "show", str(stored), "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )
    assert (done.returncode, done.stderr) == (1, "assay: No space left on device\n")


def test_an_ascii_terminal_gets_what_it_can_show(stored: Path) -> None:
    done = command("show", str(stored), env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
    assert "L1.mlp_act:7" in done.stdout


def test_idle_threads_of_matrix_products_sleep_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["assay", "--version"])
    for given, expected in ((None, "4"), ("20", "20")):
        monkeypatch.delenv("OPENBLAS_THREAD_TIMEOUT", raising=False)
        if given:
            monkeypatch.setenv("OPENBLAS_THREAD_TIMEOUT", given)
        with pytest.raises(SystemExit):
            app.main()
        assert os.environ["OPENBLAS_THREAD_TIMEOUT"] == expected
    monkeypatch.delenv("OPENBLAS_THREAD_TIMEOUT")
