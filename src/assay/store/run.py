"""Reading run directories.

A run is whole when ``done.json`` stands in it: that file is written last and lists every other with its SHA-256.
Opening checks that the run is whole and of a schema that can be read; each file's hash is checked when the file
is first read.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError, safe_open

from assay.errors import RunError, UnknownName
from assay.store.schema import SCHEMA
from assay.store.writer import DONE, RESULT, SPEC, runs_root, sha256

_WITHOUT_CLAIMS = ("record", "related")
_TAKEN_UP = ("probe", "erase", "report", "record")  # verbs that go on with a run that was broken off


class Run:
    """A whole run, read as far as it is asked for. Made by :func:`open_run`.

    Attributes:
        path, id: where it stands and what it is called, the name of its directory.
        spec: the content of ``spec.json``.
        files: SHA-256 of every file, by relative name.
        finished: when ``done.json`` was written, ISO 8601 in UTC.
    """

    def __init__(self, path: Path, spec: dict[str, Any], done: dict[str, Any]) -> None:
        self.path = path
        self.spec = spec
        self.id = path.resolve().name  # not what the spec says: anyone may have written that
        self.files: dict[str, str] = done["files"]
        self.finished: str = done["finished"]
        self._sound: set[str] = set()
        self._table = cache(self._read_table)

    def table(self, name: str) -> pa.Table:
        """The table ``<name>.parquet``.

        Raises:
            RunError: the run has none, or the file is damaged.
        """
        return self._table(name)

    def _read_table(self, name: str) -> pa.Table:
        path = self.file(f"{name}.parquet")
        try:
            return pq.read_table(path)
        except (OSError, pa.ArrowException) as error:
            raise _damaged(path) from error

    def table_length(self, name: str) -> int:
        """How many rows the table ``<name>.parquet`` has, from its footer; 0 if the run has no such table."""
        if not self.has(f"{name}.parquet"):
            return 0
        path = self.path / f"{name}.parquet"
        try:
            return pq.read_metadata(path).num_rows
        except (OSError, pa.ArrowException) as error:
            raise _damaged(path) from error

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The table ``<name>.parquet`` as a list of rows. Raises RunError."""
        return self.table(name).to_pylist()

    def tensor(self, name: str, key: str) -> np.ndarray:
        """The array ``key`` of ``tensors/<name>.safetensors``, read alone.

        Raises:
            RunError: the run has no such file or array, or the file is damaged.
        """
        with self._open_tensors(name) as file:
            if key not in file.keys():  # noqa: SIM118  safe_open is no mapping
                raise RunError(f"{self.path}: {name} has no array {key!r}; it has {', '.join(sorted(file.keys()))}")
            return file.get_tensor(key)

    def tensor_shape(self, name: str, key: str) -> tuple[int, ...]:
        """The shape of an array of ``tensors/<name>.safetensors``, from its header. Raises RunError."""
        with self._open_tensors(name) as file:
            return tuple(self._slice(file, name, key).get_shape())

    def has_tensor(self, name: str, key: str) -> bool:
        """Whether ``tensors/<name>.safetensors`` has that array. Raises RunError."""
        with self._open_tensors(name) as file:
            return key in file.keys()  # noqa: SIM118  safe_open is no mapping

    def tensor_row(self, name: str, key: str, row: int) -> np.ndarray:
        """One row of an array of ``tensors/<name>.safetensors``: only its bytes are read. Raises RunError."""
        with self._open_tensors(name) as file:
            return self._slice(file, name, key)[row]

    def _slice(self, file: Any, name: str, key: str) -> Any:
        if key not in file.keys():  # noqa: SIM118  safe_open is no mapping
            raise RunError(f"{self.path}: {name} has no array {key!r}; it has {', '.join(sorted(file.keys()))}")
        return file.get_slice(key)

    def tensors(self, name: str) -> dict[str, np.ndarray]:
        """All arrays of ``tensors/<name>.safetensors``. Raises RunError."""
        with self._open_tensors(name) as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118

    def tensor_metadata(self, name: str) -> dict[str, str]:
        """The header's metadata of ``tensors/<name>.safetensors``. Raises RunError."""
        with self._open_tensors(name) as file:
            return file.metadata() or {}

    @contextmanager
    def _open_tensors(self, name: str) -> Generator[Any]:
        path = self.file(f"tensors/{name}.safetensors")
        try:
            opened: Any = safe_open(path, framework="numpy")
            with opened as file:
                yield file
        except (OSError, SafetensorError) as error:
            raise _damaged(path) from error

    def result(self) -> dict[str, Any]:
        """The content of ``result.json``. Raises RunError."""
        return _read_json(self.file(RESULT))

    def has(self, name: str) -> bool:
        """Whether the run lists a file of this relative name."""
        return name in self.files

    def file(self, name: str) -> Path:
        """The path of a listed file, its hash checked once.

        Raises:
            RunError: the run lists no such file, or its bytes are not those that were written.
        """
        path = self.path / name
        if name not in self.files:
            raise RunError(f"{self.path} has no {name}; it was made by 'assay {self.spec['verb']}'")
        if name not in self._sound:
            try:
                sound = sha256(path) == self.files[name]
            except OSError as error:
                raise RunError(f"{path} can't be read: {error.strerror or error}; restore it") from error
            if not sound:
                raise _damaged(path)
            self._sound.add(name)
        return path

    def _repr_html_(self) -> str:
        """For notebooks."""
        from assay.store.notebook import run_html

        return run_html(self)


class RunInfo(NamedTuple):
    """One line of a listing. ``state`` is "whole", "incomplete", "newer" or "damaged"; ``spec`` is empty if damaged."""

    id: str
    path: Path
    state: str
    spec: dict[str, Any]


def list_runs(root: str | Path) -> list[RunInfo]:
    """The runs under ``root``, oldest first, the broken ones too. What has no ``spec.json`` is not a run."""
    base = Path(root)
    if not base.is_dir():
        return []
    return [_info(path) for path in sorted(base.iterdir()) if (path / SPEC).is_file()]


def _info(path: Path) -> RunInfo:
    try:
        spec = _read_spec(path)
    except RunError:
        return RunInfo(path.name, path, "damaged", {})
    if spec["schema"] > SCHEMA:
        return RunInfo(path.name, path, "newer", spec)
    if not (path / DONE).is_file():
        return RunInfo(path.name, path, "incomplete", spec)
    try:
        open_path(path)
    except RunError:
        return RunInfo(path.name, path, "damaged", spec)
    return RunInfo(path.name, path, "whole", spec)


def open_run(name: str | Path = "last", root: str | Path | None = None) -> Run:
    """Open a run by path, by id, by a part of its id that only one run has, or the ``last`` whole one.

    A recording, or what ``assay related`` stored, is never the last one: it holds no claims.

    ``root`` is where ids are looked for; see :func:`runs_root`.

    Raises:
        RunError: incomplete, damaged or of a newer schema, or there is no run at all.
        UnknownName: no run of that name.
    """
    if (Path(name) / SPEC).is_file():
        return open_path(Path(name))
    base = runs_root(root)
    if (base / name / SPEC).is_file():
        return open_path(base / name)
    runs = list_runs(base)
    if not runs:
        raise RunError(f"there is no run in {base}; make one with 'assay explain', or name another place with --out")
    if str(name) == "last":
        return _last(base, runs)
    matches = [info for info in runs if str(name) in info.id]
    if len(matches) == 1:
        return open_path(matches[0].path)
    raise UnknownName("run", str(name), [info.id for info in matches or runs])


def _last(base: Path, runs: Sequence[RunInfo]) -> Run:
    runs = [info for info in runs if info.spec.get("verb") not in _WITHOUT_CLAIMS]
    whole = [info for info in runs if info.state == "whole"]
    if not whole and not runs:
        raise RunError(f"there is no run in {base} that holds claims; make one with 'assay explain'")
    if not whole:
        states = ", ".join(f"{info.id} is {info.state}" for info in runs[-3:])
        raise RunError(f"no run in {base} is whole: {states}; make one with 'assay explain'")
    return open_path(whole[-1].path)


def _goes_on(spec: Mapping[str, Any]) -> bool:
    return spec["verb"] in _TAKEN_UP or bool(spec["resolved"].get("whole"))


def open_path(path: Path) -> Run:
    """Open the run directory ``path``. Raises RunError."""
    spec = _read_spec(path)
    if spec["schema"] > SCHEMA:
        raise RunError(
            f"{path} has schema {spec['schema']} and this assay reads up to {SCHEMA}; install a newer assay to open it"
        )
    if not (path / DONE).is_file():
        again = f"run it again, and remove this one with 'rm -r {path}'"
        again = "the same command goes on with it" if _goes_on(spec) else again
        raise RunError(f"{path} is incomplete: 'assay {spec['verb']}' ended before {DONE} was written; {again}")
    done = _read_json(path / DONE)
    if not isinstance(done.get("files"), dict) or not isinstance(done.get("finished"), str):
        raise _damaged(path / DONE)
    run = Run(path, spec, done)
    for name in run.files:
        if not (path / name).is_file():
            raise RunError(f"{path} lacks {name}, which {DONE} lists; restore it, or run it again")
    return run


def _read_spec(path: Path) -> dict[str, Any]:
    spec = _read_json(path / SPEC)
    if not isinstance(spec.get("schema"), int) or not {"id", "verb"} <= set(spec):
        raise _damaged(path / SPEC)
    return spec


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(f"{path} can't be read: {error.strerror or error}") from error
    except ValueError as error:
        raise _damaged(path) from error
    if not isinstance(value, dict):
        raise _damaged(path)
    return cast("dict[str, Any]", value)


def _damaged(path: Path) -> RunError:
    return RunError(f"{path} is damaged: not the bytes that were written; restore it, or run it again")
