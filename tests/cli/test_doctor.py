from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from assay.cli import doctor
from assay.cli.doctor import FAIL, OK, WARN, Finding


def test_a_healthy_machine(assay, root: Path) -> None:
    said = assay("doctor", "--json")
    found = {row["name"]: row for row in json.loads(said.out)}
    assert list(found) == ["python", "torch", "bfloat16", "cache", "runs", "default model", "chromium"]
    assert said.code == 0
    assert found["python"]["state"] == OK
    assert "1 threads" in found["torch"]["text"]
    assert str(root) in found["runs"]["text"]
    assert not root.exists()
    assert said.err == "next: assay explain   the main job\n"


def test_a_failure_is_shown_and_exit_1(assay, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = (lambda: Finding("a", OK, "fine"), lambda: Finding("b", FAIL, "bro\x1bken"))
    monkeypatch.setattr(doctor, "LOOKS", looks)
    said = assay("doctor")
    assert said.code == 1
    assert said.out == "ok   a             fine\nfail b             broken\n"
    assert said.err.startswith("next: assay doctor")


def test_a_place_that_cannot_be_written_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "file"))
    found = doctor.look_at_cache()
    assert found.state == FAIL
    assert found.text == f"{tmp_path}/file can't be written: Not a directory; point ASSAY_CACHE elsewhere"


def test_little_room_is_a_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ASSAY_RUNS", str(tmp_path / "not" / "yet"))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=300_000_000))
    found = doctor.look_at_runs()
    assert found.state == WARN
    assert "0.3 GB free" in found.text
    assert not (tmp_path / "not").exists()


def test_the_default_model_converted_installed_or_absent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert doctor.look_at_default_model().state == WARN
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert doctor.look_at_default_model().text.startswith("installed")
    made = tmp_path / "models" / "smollm2-135m-abc-1"
    made.mkdir(parents=True)
    assert doctor.look_at_default_model() == Finding("default model", OK, f"converted, at {made}")


def test_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert doctor.look_at_torch().state == FAIL
    assert doctor.look_at_bfloat16().state == WARN


def test_chromium_by_any_of_its_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor.look_at_chromium().state == WARN
    browser = tmp_path / "google-chrome"
    browser.write_text("#!/bin/sh\n")
    browser.chmod(0o755)
    assert doctor.find_chromium() == str(browser)


def test_a_real_browser_renders_a_page(chromium) -> None:
    page = chromium.new_page()
    page.set_content("<p>seen</p><script>document.title = 1 + 1</script>")
    assert (page.inner_text("p"), page.title()) == ("seen", "2")
    page.close()
