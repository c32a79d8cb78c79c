from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from assay.cli import screen
from assay.cli.screen import LineTeller, telling


def test_lines_come_at_most_once_a_minute(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    tell = LineTeller()
    for now in (101.0, 130.0, 160.9, 161.0, 200.0, 221.5):
        tell(f"at\x1b {now}", 0.25)
    assert capsys.readouterr().err.splitlines() == [
        "[   1 s] at 101.0 25%",
        "[  61 s] at 161.0 25%",
        "[ 122 s] at 221.5 25%",
    ]


def test_a_terminal_gets_one_moving_line_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    terminal = Console(file=stream, force_terminal=True, width=80, markup=False, emoji=False)
    monkeypatch.setattr(screen, "screen", lambda *, err=False: terminal)
    with telling() as tell:
        tell("recording \x1b]0;x", 0.5)
        tell("fitting [bold]rules")
    drawn = stream.getvalue()
    assert "fitting [bold]rules" in drawn
    assert "\x1b]0" not in drawn
    assert drawn.endswith("\x1b[2K")  # the line is erased
