"""Files that appear whole or not at all.

Each is written to a temporary name beside its target, flushed to the disk, and renamed. What stands under
the target's name is therefore always the old content or the new, also after a power cut.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError
from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType]

from assay.errors import StorageError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{8}\.tmp|\.tmp[0-9A-Za-z]{6}")


def storage_error(path: Path, error: OSError | SafetensorError) -> StorageError:
    """The one-line error for a write to ``path`` that failed, with what to do about it."""
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    number = error.errno if isinstance(error, OSError) else None
    if number in FULL or "No space left" in reason or "File too large" in reason:
        advice = "free some space, or choose another disk with --out"
    elif number in FORBIDDEN or "Permission denied" in reason:
        advice = "choose a place you may write to with --out or ASSAY_RUNS"
    else:
        advice = "check the path, or choose another with --out"
    return StorageError(f"can't write {path}: {' '.join(reason.split())}; {advice}")


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """A temporary path beside ``path``, which takes its place when the block ends without an exception.

    Raises:
        StorageError: the disk is full, or the place may not be written. Nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)
    except (OSError, SafetensorError) as error:
        raise storage_error(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove_unfinished(directory: Path) -> None:
    """Remove, at any depth, what a process that was killed while it wrote left behind, and nothing else.

    Ours end in eight digits and ``.tmp``; ``.tmp`` and six letters is safetensors', which renames a file of its own
    into place.

    Raises:
        StorageError: one of them can't be removed.
    """
    for path in directory.rglob(".*"):
        if _UNFINISHED.fullmatch(path.name) and path.is_file():
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise storage_error(path, error) from error


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path, *, new: bool = False) -> None:
    """Make a directory and its parents; with ``new`` it must not exist yet.

    Raises:
        StorageError: it can't be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=not new)
    except OSError as error:
        raise storage_error(path, error) from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes. Raises StorageError."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write UTF-8 text with the newlines as given. Raises StorageError."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write JSON: UTF-8, keys in the order given, one space of indent.

    Raises:
        StorageError: the file can't be written.
        ValueError: a NaN or an infinity, for which JSON has no name.
    """
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a table as Parquet, compressed with zstd. Raises StorageError."""
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def write_tensors(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays as safetensors, with ``metadata`` in the header. Raises StorageError."""
    with replacing(path) as temporary:
        save_file(
            {name: np.ascontiguousarray(array) for name, array in arrays.items()},
            temporary,
            metadata=dict(metadata) if metadata else None,
        )
