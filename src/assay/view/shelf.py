"""The runs that are shown, each opened when it is first asked for, with its index."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from assay.errors import RunError, UnknownName
from assay.store.index import Index, index_path
from assay.store.indexing import build_index
from assay.store.run import Run, RunInfo, list_runs, open_path, open_run
from assay.store.writer import DONE, runs_root
from assay.view.opened import Opened

_LOOKED = 1.0  # seconds for which the list of runs is taken as it was
_WITHOUT_CLAIMS = ("record", "related", "report", "selftest")
_AT_ONCE = 2_000  # units up to which the index is made while the page waits


class Reading(Exception):
    """The index of a large run is being made. ``share``: how much of it, 0 to 1."""

    def __init__(self, run: str, share: float) -> None:
        super().__init__(f"the index of {run} is being made")
        self.run, self.share = run, share


class Shelf:
    """The runs under a root, or those that were named, and what is made while they are shown.

    Args:
        names: runs by path, id, part of an id or "last"; all under the root if there are none.
        root: where ids are looked for; see :func:`assay.store.runs_root`.

    Raises:
        RunError, UnknownName: one of the names is no whole run.
    """

    def __init__(self, names: Sequence[str] = (), root: str | Path | None = None) -> None:
        self.root = runs_root(root)
        self.named = [open_run(name, root).path for name in names]
        self._open: dict[str, Opened] = {}
        self._builders: dict[str, _Builder] = {}
        self._listed: tuple[float, list[RunInfo]] = (-_LOOKED, [])
        self._lock = threading.Lock()

    def add(self, path: Path) -> None:
        """Show one more run, which was made meanwhile."""
        if self.named and path not in self.named:
            self.named.append(path)

    def close(self) -> None:
        """End what is being made; what is not whole does not stay."""
        for builder in self._builders.values():
            builder.stop()
        self._builders.clear()

    def runs(self) -> list[RunInfo]:
        """The runs shown, the newest first, those that are not whole among them; looked for again every second."""
        when, listed = self._listed
        if time.monotonic() - when > _LOOKED:
            listed = self._look()
            self._listed = time.monotonic(), listed
        return listed

    def _look(self) -> list[RunInfo]:
        places = dict.fromkeys(path.parent for path in self.named) or [self.root]
        found = [info for place in places for info in list_runs(place)]
        if self.named:
            found = [info for info in found if info.path in self.named]
        return sorted(found, key=lambda info: info.id, reverse=True)

    def others(self, opened: Opened) -> list[Opened]:
        """Other whole runs of the same weights with claims, the newest first; large ones if they were read before."""
        mine, found = opened.run.spec["subject"]["fingerprint"], list[Opened]()
        for info in self.runs():
            same = info.spec.get("subject", {}).get("fingerprint") == mine
            if not same or info.state != "whole" or info.id == opened.run.id or info.spec["verb"] in _WITHOUT_CLAIMS:
                continue
            with suppress(Reading, RunError):
                found.append(self.open(info.id, wait=False))
        return found

    def open(self, name: str, wait: bool = True) -> Opened:
        """The run of this id; without ``wait`` the index of a large one is not made for it.

        Raises:
            UnknownName: no run of this id is shown.
            RunError: it is not whole, damaged, or was removed while it was shown.
            Reading: its index is being made.
        """
        with self._lock:
            known = self._open.get(name)
            if known is not None:
                if not (known.run.path / DONE).is_file():
                    del self._open[name]
                    raise RunError(f"{known.run.path} was removed while it was shown; restore it, or look at another")
                return known
            run = open_path(self._path(name))
            path = index_path(run)
            if not path.is_file():
                self._index(run, wait)
            if (builder := self._builders.pop(run.id, None)) is not None:
                builder.stop()
            self._open[name] = Opened(run, Index(path))
            return self._open[name]

    def _path(self, name: str) -> Path:
        """Only what is listed can be opened: no path is made from what was asked for."""
        paths = self.named or [info.path for info in self._look()]
        for path in paths:
            if path.name == name:
                return path
        raise UnknownName("run", name, [path.name for path in paths])

    def _index(self, run: Run, wait: bool) -> None:
        """Make the index at once, or, of a large run, in a process of its own."""
        if run.table_length("units") <= _AT_ONCE:
            build_index(run)
            return
        if not wait and run.id not in self._builders:
            raise Reading(run.id, 0.0)
        builder = self._builders.get(run.id)
        if builder is None:
            builder = self._builders[run.id] = _Builder(run.path)
        try:
            share = builder.share()
        except RunError:
            del self._builders[run.id]  # to be tried again
            raise
        if share is not None:
            raise Reading(run.id, share)


class _Builder:
    """A process that makes an index, so that the tables of a large run are never in the server's memory."""

    def __init__(self, path: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "assay.store.indexing", str(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._share, self._said = 0.0, ""
        self._threads = [threading.Thread(target=read, daemon=True) for read in (self._follow, self._hear)]
        for thread in self._threads:
            thread.start()

    def _follow(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._share = int(line) / 100

    def _hear(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._said = line.strip() or self._said

    def stop(self) -> None:
        """End the process, whatever it has done; an index appears whole or not at all."""
        self.process.kill()
        self._end()

    def _end(self) -> int:
        code = self.process.wait()
        for thread in self._threads:
            thread.join()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        return code

    def share(self) -> float | None:
        """How much is done; None when all is.

        Raises:
            RunError: the process failed.
        """
        if self.process.poll() is None:
            return self._share
        if code := self._end():
            raise RunError(f"the index could not be made: {self._said or f'exit {code}'}")
        return None
