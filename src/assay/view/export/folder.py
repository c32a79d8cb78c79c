"""A folder of files that takes the place of an earlier one whole, or not at all."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from assay.errors import UsageError
from assay.store.atomic import make_directory, storage_error

MARKER = "assay-export.json"


class Folder:
    """The folder that is being written. ``bytes``: how many were."""

    def __init__(self, path: Path) -> None:
        self.path, self.bytes = path, 0
        self._names: list[str] = []
        self._made = {path}

    def write(self, name: str, text: str) -> None:
        """Write a file; ``name`` has / between its parts.

        Not flushed to the disk one by one, as the files of a run are: an export can be made again.

        Raises:
            StorageError: it can't be written.
        """
        path = self.path / name
        if path.parent not in self._made:
            make_directory(path.parent)
            self._made.add(path.parent)
        content = text.encode("utf-8", "replace")
        try:
            path.write_bytes(content)
        except OSError as error:
            raise storage_error(path, error) from error
        self._names.append(name)
        self.bytes += len(content)

    def finish(self, about: Mapping[str, Any]) -> None:
        """Write what tells this folder from one that a person filled: ``about`` and the names of all files."""
        names = sorted([*self._names, MARKER])
        self.write(MARKER, json.dumps({**about, "files": names}, indent=0, ensure_ascii=False) + "\n")


@contextmanager
def replacing_folder(directory: Path) -> Generator[Folder]:
    """A folder beside ``directory``, which takes its place when the block ends without an exception.

    Raises:
        UsageError: ``directory`` is there and is neither empty nor an earlier export with nothing added to it.
        StorageError: the place can't be written. Nothing is left behind.
    """
    target = directory.resolve()
    _check(target, directory)
    make_directory(target.parent)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    make_directory(temporary, new=True)
    try:
        yield Folder(temporary)
        _check(target, directory)
        _exchange(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _exchange(temporary: Path, target: Path) -> None:
    """Put ``temporary`` in the place of ``target``, and what was there in its own, to be removed."""
    old = temporary.with_suffix(".old")
    try:
        there = target.exists()
        if there:
            target.rename(old)
        try:
            temporary.rename(target)
        except OSError:
            if there:
                old.rename(target)
            raise
    except OSError as error:
        raise storage_error(target, error) from error
    shutil.rmtree(old, ignore_errors=True)


def _check(target: Path, shown: Path) -> None:
    if not target.exists():
        return
    advice = "choose a folder that is not there yet, or an earlier export"
    if not target.is_dir():
        raise UsageError(f"{shown} is no folder; {advice}")
    try:
        there = {path.relative_to(target).as_posix() for path in target.rglob("*") if not path.is_dir()}
    except OSError as error:
        raise storage_error(target, error) from error
    if there and MARKER not in there:
        raise UsageError(f"{shown} holds files that assay did not export; {advice}")
    if there and (added := sorted(there - _listed(target / MARKER))):
        raise UsageError(f"{shown} holds {added[0]}, which assay did not export; move it away, or {advice}")


def _listed(marker: Path) -> set[str]:
    with suppress(OSError, ValueError, KeyError, TypeError):
        return set(json.loads(marker.read_text(encoding="utf-8"))["files"])
    return set()
