"""Data on stdout, everything else on stderr."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Protocol

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from assay.cli.plain import plain

WIDTH = 100  # where the output is no terminal and COLUMNS is not set
EVERY = 60.0  # seconds between two lines of progress where stderr is no terminal


class Screen(Console):
    """A console that leaves a broken pipe to whoever runs the command."""

    def on_broken_pipe(self) -> None:
        """Pass it on; rich would end the process with code 1."""
        raise BrokenPipeError


def screen(*, err: bool = False) -> Console:
    """A console on stdout, or stderr, that takes text as it is: no markup, no guessed highlighting."""
    stream = sys.stderr if err else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else WIDTH
    return Screen(file=stream, width=width, markup=False, highlight=False, emoji=False)


def print_json(value: Any) -> None:
    """Print JSON on stdout."""
    click.echo(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False))


def print_next(command: str, what: str) -> None:
    """Say on stderr, in one line, what to run next."""
    screen(err=True).print(Text.assemble("next: ", (plain(command), "bold"), (f"   {what}", "dim")), soft_wrap=True)


class Teller(Protocol):
    """Progress as a callable: a message, and how much of that stage is done, from 0 to 1, where it is known."""

    def __call__(self, message: str, share: float | None = None) -> None:
        """Tell it."""


class LineTeller:
    """Progress where nobody watches: the first message at once, then the latest, at most one a minute."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.told: float | None = None

    def __call__(self, message: str, share: float | None = None) -> None:
        """Print the message, if it is time for one."""
        now = time.monotonic()
        if self.told is not None and now - self.told < EVERY:
            return
        self.told = now
        percent = "" if share is None else f" {share:.0%}"
        click.echo(f"[{now - self.started:4.0f} s] {plain(message)}{percent}", err=True)


class BarTeller:
    """Progress on a terminal: one moving line."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.task = progress.add_task("", total=None)

    def __call__(self, message: str, share: float | None = None) -> None:
        """Redraw the line."""
        self.progress.update(
            self.task, description=plain(message), total=None if share is None else 1.0, completed=share or 0.0
        )


@contextmanager
def telling() -> Generator[Teller]:
    """Progress on stderr for the length of the block."""
    console = screen(err=True)
    if not console.is_terminal:
        yield LineTeller()
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(24), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        yield BarTeller(progress)
