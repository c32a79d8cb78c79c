from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from assay.store import provenance


def git(place: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    command = ["git", "-C", str(place), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package in a git repository, committed."""
    place = tmp_path / "src" / "package"
    place.mkdir(parents=True)
    (place / "__init__.py").write_text("")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    return place


def test_commit_and_dirt_of_a_checkout(package: Path) -> None:
    commit = git(package, "rev-parse", "HEAD")
    assert provenance.git_state(package) == {"commit": commit, "dirty": False}
    (package.parent.parent / "notes.txt").write_text("outside the package")
    assert provenance.git_state(package) == {"commit": commit, "dirty": False}
    (package / "__init__.py").write_text("changed = True")
    assert provenance.git_state(package) == {"commit": commit, "dirty": True}


def test_a_new_file_in_the_package_is_dirt(package: Path) -> None:
    (package / "new.py").write_text("")
    state = provenance.git_state(package)
    assert state is not None
    assert state["dirty"]


def test_a_package_installed_inside_a_strangers_repository_has_no_commit(package: Path) -> None:
    installed = package.parent / ".venv" / "site-packages" / "assay"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    assert provenance.git_state(installed) is None


def test_no_repository_and_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "__init__.py").write_text("")
    assert provenance.git_state(tmp_path) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.git_state(Path(__file__).parent) is None


def test_provenance_names_the_command_and_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["assay", "explain", "--seed", "3"])
    found = provenance.provenance()
    assert found["argv"] == ["assay", "explain", "--seed", "3"]
    assert {"torch", "transformers", "numpy", "tokenizers"} <= set(found["packages"])
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
