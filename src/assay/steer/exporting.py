"""Files of what steered: control vectors for llama.cpp and repeng, plain directions, or a model with it built in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from assay.core.direction import SUFFIXES, Direction
from assay.errors import StorageError, UsageError

if TYPE_CHECKING:
    from assay.model import Subject


def check_place(place: str) -> None:
    """Refuse a place that nothing can be written to, before anything is done.

    Raises:
        UsageError: a suffix that is none of ours, no such folder, or something that is there already.
    """
    try:
        path = Path(place).expanduser()
    except RuntimeError as error:  # ~ of nobody
        raise UsageError(f"--export can't be {place}: {error}") from error
    if path.suffix and path.suffix not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise UsageError(f"--export must end in {known}, or in nothing, for a model. Got {place!r}.")
    if not path.parent.is_dir():
        raise UsageError(f"--export names a folder that isn't there: {path.parent}")
    if path.exists():
        raise UsageError(f"{path} is there already; move it away, or export to another place")


def fits(direction: Direction, place: str) -> bool:
    """Whether that kind of file can hold it: a control vector has nothing of layer 0."""
    return Path(place).suffix != ".gguf" or direction.site.layer > 0


def export(subject: Subject, direction: Direction, place: str) -> None:
    """Write a direction, and read it back; with no suffix, the model with the direction in a bias.

    Raises:
        UsageError: the format can't hold it, or the architecture has no such bias.
        StorageError: the disk says no, or what was read back is not what was written.
    """
    path = Path(place).expanduser()
    if not path.suffix:
        from assay.model.bake import bake

        bake(subject, direction, path)
        return
    direction.save(path)
    back = Direction.load(path, direction.site)
    if not np.array_equal(back.scale * back.vector, direction.scale * direction.vector):
        raise StorageError(f"{path} does not hold what was written to it; see to the disk, and export once more")
