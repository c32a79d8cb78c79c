"""How far a recording has come, on disk: what a process that was killed leaves to the next.

``progress.json`` is replaced as a whole, after everything it speaks of has reached the disk. What it does not speak
of is left over from a process that did not get to say so, and is removed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import load_file

from assay.core.ids import SiteId
from assay.errors import RunError, StorageError
from assay.record.packing import pack, unpack
from assay.record.recording import SiteSketches
from assay.store.atomic import make_directory, write_json, write_tensors

PROGRESS = "progress.json"


@dataclass(frozen=True)
class Mark:
    """``block``: the block at work; the ones before it are done. ``batches``: how many of its batches are in.

    ``checkpoint``: number of the folder with its sketches, 0 before the first. ``seconds``, ``forward_seconds``,
    ``peak_rss_mb``: of all processes so far. ``files``: SHA-256 of the files that are final, by relative name.
    """

    block: int = 0
    batches: int = 0
    checkpoint: int = 0
    seconds: float = 0.0
    forward_seconds: float = 0.0
    peak_rss_mb: float = 0.0
    files: Mapping[str, str] = field(default_factory=dict)


class Work:
    """The folder in which a recording is worked on."""

    def __init__(self, directory: Path) -> None:
        make_directory(directory)
        self.directory = directory

    def read(self) -> Mark:
        """The last mark, or the first one. Leftovers are removed.

        Raises:
            RunError: it is damaged.
        """
        path = self.directory / PROGRESS
        mark = Mark()
        if path.is_file():
            try:
                mark = Mark(**json.loads(path.read_text(encoding="utf-8")))
            except (ValueError, TypeError) as error:
                raise RunError(f"{path} is damaged; remove {self.directory.parent} and record again") from error
        self._tidy(mark)
        return mark

    def save(self, mark: Mark, sketches: Mapping[SiteId, SiteSketches]) -> Mark:
        """Store sketches in the middle of a block and make ``mark`` the last one; its new number is given back.

        Raises:
            StorageError: the disk is full. The mark before stands.
        """
        mark = replace(mark, checkpoint=mark.checkpoint + 1)
        folder = self._folder(mark)
        make_directory(folder)
        for site, held in sketches.items():
            write_tensors(folder / f"{site}.safetensors", pack(held))
        return self.note(mark)

    def note(self, mark: Mark) -> Mark:
        """Make ``mark`` the last one. Raises StorageError."""
        write_json(self.directory / PROGRESS, asdict(mark))
        self._tidy(mark)
        return mark

    def load(self, mark: Mark, sites: Sequence[SiteId]) -> dict[SiteId, SiteSketches]:
        """The sketches as they were at ``mark``.

        Raises:
            RunError: they are damaged.
        """
        sketches: dict[SiteId, SiteSketches] = {}
        for site in sites:
            path = self._folder(mark) / f"{site}.safetensors"
            try:
                sketches[site] = unpack(site, load_file(path))
            except (OSError, SafetensorError) as error:
                raise RunError(f"{path} is damaged; remove {self.directory.parent} and record again") from error
        return sketches

    def _folder(self, mark: Mark) -> Path:
        return self.directory / f"sketches-{mark.checkpoint:06d}"

    def _tidy(self, mark: Mark) -> None:
        for folder in self.directory.glob("sketches-*"):
            if folder != self._folder(mark) or not mark.batches:
                shutil.rmtree(folder)


@contextmanager
def resumable(megabytes: float) -> Generator[None]:
    """Say in the error for a full disk how much a recording takes and that it is not lost."""
    try:
        yield
    except StorageError as error:
        raise StorageError(
            f"{error}; the recording takes up to {megabytes:,.0f} MB, and the same command goes on from its last "
            "checkpoint"
        ) from error
