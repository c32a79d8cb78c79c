"""Writing a run directory: front to back, ``spec.json`` first and ``done.json`` last."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa

from assay.store.atomic import make_directory, write_bytes, write_json, write_parquet, write_tensors, write_text
from assay.store.provenance import provenance
from assay.store.schema import SCHEMA, build_table

SPEC, DONE, RESULT = "spec.json", "done.json", "result.json"


def runs_root(out: str | Path | None = None) -> Path:
    """Where runs live: ``out`` if given, else ``$ASSAY_RUNS``, else ``runs`` in the current directory."""
    return Path(out or os.environ.get("ASSAY_RUNS") or "runs").expanduser()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def sha256(path: Path) -> str:
    """Hex digest of a file. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class RunWriter:
    """A run in the making, as a context manager::

        with RunWriter(root, "explain", asked=..., resolved=..., subject=..., corpus=...) as run:
            run.table("units", rows)
            run.tensors("test", arrays)
            run.result(result)

    The directory and its ``spec.json`` are made on entering, ``done.json`` on leaving. An exception on the way,
    an interrupt included, leaves the directory as it is, without ``done.json``.

    Args:
        root: the directory that holds the runs; see :func:`runs_root`.
        verb: the command that makes it; part of its id.
        asked, resolved: parameters as given, and as they came out.
        subject, corpus: descriptions for the spec.

    Raises:
        StorageError: the directory can't be made, or a file can't be written.
    """

    def __init__(
        self,
        root: str | Path,
        verb: str,
        *,
        asked: Mapping[str, Any],
        resolved: Mapping[str, Any],
        subject: Mapping[str, Any],
        corpus: Mapping[str, Any],
    ) -> None:
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        self.id = f"{stamp}-{verb}-{secrets.token_hex(2)}"
        self.path = Path(root) / self.id
        self.spec: dict[str, Any] = {
            "schema": SCHEMA,
            "id": self.id,
            "verb": verb,
            "asked": dict(asked),
            "resolved": dict(resolved),
            **provenance(),
            "subject": dict(subject),
            "corpus": dict(corpus),
            "started": _now(),
        }
        self.taken_up = False
        self._files: dict[str, str] = {}

    @classmethod
    def take_up(cls, root: str | Path, verb: str, **described: Mapping[str, Any]) -> RunWriter:
        """The writer of the newest run of the same description that was broken off under ``root``, else of a new one.

        What is described must be equal, and so must the packages and Python: its files are then taken over one by one
        with :meth:`adopt`, or written again. The arguments are those of the class.
        """
        fresh = cls(root, verb, **described)
        for path in sorted(Path(root).glob(f"*-{verb}-*"), reverse=True):
            spec = _broken_off(path)
            if spec is not None and all(spec.get(name) == _plain(fresh.spec[name]) for name in _SAME):
                fresh.id, fresh.path, fresh.spec, fresh.taken_up = path.name, path, spec, True
                break
        return fresh

    def __enter__(self) -> RunWriter:
        if not self.taken_up:
            make_directory(self.path, new=True)
            write_json(self._place(SPEC), self.spec)
        self._enlist(SPEC)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            write_json(self.path / DONE, {"finished": _now(), "files": self._files})

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write ``<name>.parquet``, one of the tables of :mod:`assay.store.schema`.

        Raises:
            ValueError: rows that don't fit the schema.
        """
        self.arrow(name, build_table(name, rows))

    def arrow(self, name: str, table: pa.Table) -> None:
        """Write ``<name>.parquet`` from a table that was built and checked by :mod:`assay.store.schema`."""
        write_parquet(self._place(f"{name}.parquet"), table)
        self._enlist(f"{name}.parquet")

    def adopt(self, name: str) -> None:
        """List a file that was written under the run's directory on the way, atomically, by whoever."""
        self._enlist(name)

    def tensors(self, name: str, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
        """Write ``tensors/<name>.safetensors``."""
        relative = f"tensors/{name}.safetensors"
        write_tensors(self._place(relative), arrays, metadata)
        self._enlist(relative)

    def result(self, result: Mapping[str, Any]) -> None:
        """Write ``result.json``: what the command prints with ``--json``."""
        write_json(self._place(RESULT), result)
        self._enlist(RESULT)

    def file(self, name: str, content: str | bytes) -> None:
        """Write any other file, a page or a figure, under its relative name."""
        write = write_text if isinstance(content, str) else write_bytes
        write(self._place(name), content)  # type: ignore[arg-type]
        self._enlist(name)

    def _place(self, name: str) -> Path:
        path = self.path / name
        if name == DONE or name in self._files:
            raise ValueError(f"{name} is written once, by the run itself or before. Got it again.")
        make_directory(path.parent)
        return path

    def _enlist(self, name: str) -> None:
        self._files[name] = sha256(self.path / name)


_SAME = ("schema", "verb", "asked", "resolved", "subject", "corpus", "packages", "python")


def _plain(value: Any) -> Any:
    """As it comes back from JSON."""
    return json.loads(json.dumps(value))


def _broken_off(path: Path) -> dict[str, Any] | None:
    """The spec of a run that is not whole; None where there is no such run."""
    if (path / DONE).exists():
        return None
    try:
        return json.loads((path / SPEC).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
