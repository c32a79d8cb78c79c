from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import synthetic
from assay.errors import RunError, StorageError, UnknownName
from assay.store import RunWriter, list_runs, open_run, runs_root
from assay.store.schema import SCHEMA


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.write_run(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """A copy of the whole run that a test may damage."""
    return Path(shutil.copytree(whole, tmp_path / whole.name))


def empty_writer(root: Path) -> RunWriter:
    return RunWriter(root, "explain", asked={}, resolved={}, subject={}, corpus={})


def test_spec_says_what_was_asked_and_where_it_comes_from(whole: Path) -> None:
    spec = json.loads((whole / "spec.json").read_text())
    assert list(spec)[:5] == ["schema", "id", "verb", "asked", "resolved"]
    assert set(spec) >= {"argv", "git", "packages", "python", "subject", "corpus", "started"}
    assert spec["schema"] == SCHEMA
    assert spec["id"] == whole.name
    assert re.fullmatch(r"\d{8}-\d{6}-explain-[0-9a-f]{4}", whole.name)
    assert spec["packages"]["numpy"] == np.__version__
    assert spec["subject"]["dtype"] == "float32"


def test_done_lists_every_other_file_with_its_hash(whole: Path) -> None:
    done = json.loads((whole / "done.json").read_text())
    there = {str(path.relative_to(whole)) for path in whole.rglob("*") if path.is_file()}
    assert set(done["files"]) == there - {"done.json"}
    for name, digest in done["files"].items():
        assert hashlib.sha256((whole / name).read_bytes()).hexdigest() == digest


def test_arrays_and_tables_come_back(whole: Path) -> None:
    run = open_run(whole)
    assert [row["unit"] for row in run.rows("units") if row["role"] == "target"] == list(synthetic.TARGETS)
    everything = run.tensors("test")
    assert everything["activations"].shape == (2, synthetic.N_TOKENS)
    assert everything["activations"].dtype == np.float32
    np.testing.assert_array_equal(run.tensor("test", "predictions"), everything["predictions"])
    assert json.loads(run.tensor_metadata("behaviour")["arms"]) == list(synthetic.ARMS)
    assert run.tensor_metadata("test") == {}
    assert run.result()["units"][0]["r"] == pytest.approx(synthetic.r_of(everything, 0), abs=1e-12)
    with pytest.raises(RunError, match="has no array 'nope'; it has activations, documents"):
        run.tensor("test", "nope")
    with pytest.raises(RunError, match=r"has no tensors/nope\.safetensors"):
        run.tensors("nope")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_a_run_that_is_not_whole(tmp_path: Path, error: type[BaseException]) -> None:
    run = empty_writer(tmp_path)

    def write_half() -> None:
        with run:
            run.table("tokens", [{"id": 1, "text": "a"}])
            raise error

    with pytest.raises(error):
        write_half()
    assert sorted(path.name for path in run.path.iterdir()) == ["spec.json", "tokens.parquet"]
    with pytest.raises(RunError, match=rf"is incomplete: .*run it again, and remove this one with 'rm -r {run.path}'"):
        open_run(run.path)
    assert [(info.id, info.state) for info in list_runs(tmp_path)] == [(run.id, "incomplete")]


def test_kill_9_in_the_middle_leaves_no_whole_run_and_no_half_file(tmp_path: Path) -> None:
    code = f"""
import os, signal, sys
from assay.store import RunWriter
import assay.store.atomic as atomic
with RunWriter({str(tmp_path)!r}, "explain", asked={{}}, resolved={{}}, subject={{}}, corpus={{}}) as run:
    run.table("tokens", [{{"id": 1, "text": "a"}}])
    atomic._flush = lambda path: os.kill(os.getpid(), signal.SIGKILL)
    run.table("units", [])
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    (info,) = list_runs(tmp_path)
    assert info.state == "incomplete"
    assert not (info.path / "units.parquet").exists()
    with pytest.raises(RunError, match=r"no run in .* is whole"):
        open_run("last", tmp_path)


def test_a_file_is_written_once(tmp_path: Path) -> None:
    with empty_writer(tmp_path) as run:
        run.file("page.html", "<p>")
        with pytest.raises(ValueError, match=r"page\.html is written once"):
            run.file("page.html", "<p>")
        with pytest.raises(ValueError, match=r"done\.json is written once"):
            run.file("done.json", "{}")


def test_a_run_where_nothing_may_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(StorageError, match="Not a directory"), empty_writer(tmp_path / "runs"):
        pass


def test_a_newer_schema_is_refused(copy: Path) -> None:
    spec = json.loads((copy / "spec.json").read_text())
    (copy / "spec.json").write_text(json.dumps({**spec, "schema": SCHEMA + 1}))
    with pytest.raises(RunError, match=f"has schema {SCHEMA + 1} and this assay reads up to {SCHEMA}"):
        open_run(copy)
    assert list_runs(copy.parent)[0].state == "newer"


@pytest.mark.parametrize("content", ["{", "[]", '{"schema": "1"}', '{"schema": 1}', '{"schema": 1, "id": "a"}'])
def test_a_damaged_spec_is_refused(copy: Path, content: str) -> None:
    (copy / "spec.json").write_text(content)
    with pytest.raises(RunError, match=r"spec\.json is damaged"):
        open_run(copy)
    assert list_runs(copy.parent)[0].state == "damaged"


@pytest.mark.parametrize("content", ["", "{}", '{"finished": "now", "files": []}'])
def test_a_damaged_done_is_refused(copy: Path, content: str) -> None:
    (copy / "done.json").write_text(content)
    with pytest.raises(RunError, match=r"done\.json is damaged"):
        open_run(copy)


def test_a_missing_file_is_seen_at_once(copy: Path) -> None:
    (copy / "tensors/test.safetensors").unlink()
    with pytest.raises(RunError, match=r"lacks tensors/test\.safetensors, which done\.json lists"):
        open_run(copy)
    assert list_runs(copy.parent)[0].state == "damaged"


@pytest.mark.parametrize("name", ["units.parquet", "tensors/test.safetensors", "result.json"])
def test_one_changed_byte_is_seen_when_the_file_is_read(copy: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    run = open_run(copy)
    with pytest.raises(RunError, match=rf"{re.escape(name)} is damaged"):
        {"u": lambda: run.table("units"), "t": lambda: run.tensors("test"), "r": run.result}[name[0]]()


def test_runs_are_found_by_path_id_part_and_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "runs"
    first, second = synthetic.write_run(root), synthetic.write_run(root)
    old = root / "20200101-000000-explain-abcd"
    first.rename(old)
    assert open_run(old).path == old
    assert open_run(old.name, root).path == old
    assert open_run("abcd", root).path == old
    assert open_run("last", root).path == second
    monkeypatch.chdir(tmp_path)
    assert open_run().path == Path("runs") / second.name
    with pytest.raises(UnknownName, match=r"unknown run 'explain'; .*20200101"):
        open_run("explain", root)
    with pytest.raises(UnknownName, match="did you mean '20200101-000000-explain-abcd'"):
        open_run("20200101-000000-explain-abce", root)


def test_last_passes_over_a_run_that_is_not_whole(tmp_path: Path) -> None:
    whole = synthetic.write_run(tmp_path)
    later = tmp_path / "29991231-235959-explain-ffff"
    shutil.copytree(whole, later)
    (later / "done.json").unlink()
    assert open_run("last", tmp_path).path == whole


def test_last_passes_over_recordings(tmp_path: Path) -> None:
    """Their name is what their maker called them, and may come after every date."""
    whole = synthetic.write_run(tmp_path)
    recording = tmp_path / "recording"
    shutil.copytree(whole, recording)
    spec = json.loads((recording / "spec.json").read_text())
    (recording / "spec.json").write_text(json.dumps(spec | {"id": "recording", "verb": "record"}))
    assert open_run("last", tmp_path).path == whole
    shutil.rmtree(whole)
    with pytest.raises(RunError, match="holds claims; make one"):
        open_run("last", tmp_path)


def test_no_run_at_all_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=rf"there is no run in {tmp_path}/none; make one with 'assay explain'"):
        open_run("last", tmp_path / "none")


def test_runs_root_is_out_then_the_environment_then_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert runs_root() == Path("runs")
    monkeypatch.setenv("ASSAY_RUNS", "~/kept")
    assert runs_root() == Path(os.path.expanduser("~/kept"))
    assert runs_root("here") == Path("here")
