from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

import pytest

import synthetic
from assay.cli.app import run


class Said(NamedTuple):
    """What one command line answered."""

    code: int
    out: str
    err: str


class Assay(Protocol):
    def __call__(self, *arguments: str) -> Said: ...


@pytest.fixture
def assay(capsys: pytest.CaptureFixture[str]) -> Assay:
    """Carry out one command line in this process."""

    def call(*arguments: str) -> Said:
        capsys.readouterr()
        code = run(arguments)
        return Said(code, *capsys.readouterr())

    return call


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place for runs, empty, and set for the commands."""
    monkeypatch.setenv("ASSAY_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.fixture
def stored(root: Path) -> Path:
    """One whole run there."""
    return synthetic.write_run(root)
