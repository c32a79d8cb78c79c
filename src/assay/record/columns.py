"""Activations on disk, one column a unit, written as they come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from assay.errors import StorageError

Columns = np.memmap[Any, np.dtype[np.float32]]

_ZEROS = bytes(1 << 20)


def create_columns(path: Path, tokens: int, units: int) -> Columns:
    """A writable memory map of a new .npy file of shape (tokens, units), all zero.

    The whole file is written at once: a map over a sparse file would crash the process when the disk fills up.

    Raises:
        StorageError: no room for it, or no permission. Nothing is left behind.
    """
    size = 4 * tokens * units
    try:
        with path.open("wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (tokens, units)}
            np.lib.format.write_array_header_1_0(file, header)
            for start in range(0, size, len(_ZEROS)):
                file.write(_ZEROS[: size - start])
    except OSError as error:
        if path.is_file():
            path.unlink()
        reason = error.strerror or str(error)
        raise StorageError(f"can't write {size / 1e6:,.1f} MB of activations to {path} ({reason})") from error
    return np.lib.format.open_memmap(path, "r+")


def open_columns(path: Path) -> Columns:
    """A read-only memory map of what :func:`create_columns` made."""
    return np.lib.format.open_memmap(path, "r")
