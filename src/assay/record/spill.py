"""The residual at a layer's border, on disk: batch after batch as the subject computed it, padding included.

A border is a file of raw bytes in the subject's own dtype (bf16 as its 16 bits: nothing is rounded) and a small JSON
file, written last, that says what it belongs to. Without the JSON file it does not count.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import StorageError, UsageError
from assay.store.atomic import FULL, make_directory, storage_error, write_json

Bytes = NDArray[np.uint8]


class Spill:
    """The borders in one directory, ``sizes`` the bytes of each batch's residual.

    ``identity`` is what two borders must agree in to belong together: weights, tokens, dtype and so on.
    """

    def __init__(self, directory: Path, identity: Mapping[str, Any], sizes: Sequence[int]) -> None:
        make_directory(directory)
        self.directory, self.identity, self.sizes = directory, dict(identity), tuple(sizes)

    @property
    def size(self) -> int:
        """Bytes of a border."""
        return sum(self.sizes)

    def layers(self) -> list[int]:
        """Layers whose border is whole, ascending.

        Raises:
            UsageError: the borders in the directory are of another subject, text or shape.
        """
        found: list[int] = []
        for path in sorted(self.directory.glob("border-*.json")):
            try:
                note = json.loads(path.read_text(encoding="utf-8"))
                layer = int(note.pop("layer"))
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                raise UsageError(f"{path} is damaged; remove {self.directory} and start again") from None
            differs = [name for name in {**self.identity, **note} if note.get(name) != self.identity.get(name)]
            if differs:
                name = differs[0]
                raise UsageError(
                    f"{self.directory} holds a residual of another pass: {name} is {note.get(name)!r} there and "
                    f"{self.identity.get(name)!r} now; give the same command as then, or another directory"
                )
            data = self._data(layer)
            if data.is_file() and data.stat().st_size == self.size:
                found.append(layer)
        return sorted(found)

    def read(self, layer: int, skip: int = 0) -> Iterator[Bytes]:
        """The batches of a whole border, from batch ``skip`` on."""
        with self._data(layer).open("rb") as file:
            file.seek(sum(self.sizes[:skip]))
            for size in self.sizes[skip:]:
                yield np.fromfile(file, np.uint8, size)

    def write(self, layer: int, done: int = 0) -> BorderWriter:
        """A border in the making, of which ``done`` batches were written and synced by an earlier process."""
        part, data = self._part(layer), self._data(layer)
        if done and data.is_file():  # it was finished, but nobody came to say so
            self._note(layer).unlink(missing_ok=True)
            data.replace(part)
        return BorderWriter(self, layer, done)

    def drop(self, layer: int) -> None:
        """Remove a border, whole or in the making."""
        for path in (self._note(layer), self._data(layer), self._part(layer)):
            path.unlink(missing_ok=True)

    def drop_outside(self, kept: Sequence[int]) -> None:
        """Remove every border, whole or in the making, but those of the layers ``kept``."""
        for path in [*self.directory.glob("border-*.*"), *self.directory.glob(".border-*.tmp")]:
            layer = int(path.name.lstrip(".").split(".")[0].removeprefix("border-"))
            if layer not in kept:
                self.drop(layer)
            if path.suffix == ".tmp":
                path.unlink()

    def _data(self, layer: int) -> Path:
        return self.directory / f"border-{layer:03d}.bin"

    def _part(self, layer: int) -> Path:
        return self.directory / f"border-{layer:03d}.part"

    def _note(self, layer: int) -> Path:
        return self.directory / f"border-{layer:03d}.json"


class BorderWriter:
    """Writes one border, which counts only after :meth:`finish`. To be used as a context manager."""

    def __init__(self, spill: Spill, layer: int, done: int) -> None:
        self._spill, self._layer = spill, layer
        self._path = spill._part(layer)
        try:
            self._file = self._path.open("r+b" if done else "wb")
            self._file.truncate(sum(spill.sizes[:done]))
            self._file.seek(0, os.SEEK_END)
        except OSError as error:
            raise self._failed(error) from error

    def __enter__(self) -> BorderWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._file.close()
        except OSError as error:  # what was still buffered
            if kind is None:
                raise self._failed(error) from error

    def append(self, residual: Bytes) -> None:
        """Add a batch. Raises StorageError."""
        try:
            self._file.write(residual.data)
        except OSError as error:
            raise self._failed(error) from error

    def sync(self) -> None:
        """Bring what was added to the disk. Raises StorageError."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._failed(error) from error

    def finish(self) -> None:
        """Make the border whole. Raises StorageError."""
        self.sync()
        spill = self._spill
        self._path.replace(spill._data(self._layer))
        write_json(spill._note(self._layer), {"layer": self._layer, **spill.identity})

    def _failed(self, error: OSError) -> StorageError:
        if error.errno not in FULL:
            return storage_error(self._path, error)
        size = self._spill.size / 1e6
        return StorageError(
            f"can't spill the residual to {self._path}: {error.strerror}; a layer's border takes {size:,.1f} MB and "
            "two are there at a time: free some space, and the same command goes on from here"
        )
