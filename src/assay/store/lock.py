"""One process a directory."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from assay.errors import UsageError
from assay.store.atomic import storage_error

LOCK = ".lock"


@contextmanager
def locked(directory: Path) -> Generator[None]:
    """Hold the directory for the length of the block. The lock dies with its process, however that ends.

    Raises:
        UsageError: another process holds it; the message names its id.
        StorageError: the directory can't be written.
    """
    path = directory / LOCK
    try:
        file = path.open("a+", encoding="ascii")
    except OSError as error:
        raise storage_error(path, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "of unknown id"
            raise UsageError(
                f"{directory} is in use by process {holder}; wait until it has ended, or choose another directory"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)
