"""How an experiment becomes a run: parts that are kept as they are made, the result, and what it took."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from assay.core.direction import Direction
from assay.core.memory import peak_rss_mb
from assay.errors import UsageError
from assay.findings.found import Found
from assay.findings.writing import write_run
from assay.store import RunWriter


@runtime_checkable
class Progress(Protocol):
    """Is told what takes time, and how much of it is done, from 0 to 1, where that is known."""

    def __call__(self, message: str, share: float | None = None) -> None:
        """Tell it."""


def quiet(message: str, share: float | None = None) -> None:
    """Progress that goes nowhere."""


@dataclass(frozen=True)
class ConceptOutcome:
    """Where the run was stored, and the JSON that the command prints."""

    run_path: Path
    result: dict[str, Any]


def carried(
    writer: RunWriter,
    experiment: str | None,
    find: Callable[[], Found],
    more: Callable[[], Mapping[str, Any]],
    progress: Progress,
) -> ConceptOutcome:
    """Carry an experiment out and store it; what can't be done as asked leaves no run behind.

    Args:
        find: the experiment.
        more: what the summary says besides, asked when it is done.
    """
    started = time.monotonic()
    if writer.taken_up:
        progress(f"taking up {writer.id}, which was broken off")
    with _refused_leaves_nothing(writer), writer:
        result = {"run": writer.id, "experiment": experiment, **find().as_json()}
        result["summary"] |= {
            **more(),
            "seconds": round(time.monotonic() - started, 1),
            "taken_up": writer.taken_up,
            "peak_rss_mb": round(peak_rss_mb(), 1),
        }
        write_run(writer, result)
    return ConceptOutcome(writer.path, result)


@contextmanager
def _refused_leaves_nothing(writer: RunWriter) -> Iterator[None]:
    """Unless it went on with a run that had been broken off."""
    try:
        yield
    except UsageError:
        if not writer.taken_up:
            shutil.rmtree(writer.path, ignore_errors=True)
        raise


def kept(writer: RunWriter | None, name: str, make: Callable[[], Any]) -> Any:
    """What ``make`` gives, fit for JSON; of a run that was broken off what it gave then."""
    if writer is None:
        return make()
    place = f"parts/{name}.json"
    path = writer.path / place
    if path.is_file():
        writer.adopt(place)
    else:
        writer.file(place, json.dumps(make(), allow_nan=False))
    return json.loads(path.read_text(encoding="utf-8"))


def keep_directions(writer: RunWriter | None, directions: Mapping[str, Direction]) -> None:
    """Store directions with the run, each as a file that any verb takes as ``L10.resid_post:@FILE``."""
    if writer is None:
        return
    (writer.path / "directions").mkdir(exist_ok=True)
    for name, direction in directions.items():
        place = f"directions/{name}.safetensors"
        direction.save(writer.path / place)
        writer.adopt(place)
