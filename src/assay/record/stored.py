"""Reading a recording that ``assay record`` made. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from assay.core.ids import SiteId
from assay.errors import RunError, UnknownName, UsageError
from assay.record.packing import unpack
from assay.record.recording import SiteSketches
from assay.store.run import Run, open_path
from assay.store.writer import SPEC
from assay.text import TokenTable

TABLE, DOCUMENTS = "tensors/table.safetensors", "documents.json"


def open_recording(directory: str | Path) -> StoredRecording:
    """Open a recording.

    Raises:
        RunError: there is none, or it is incomplete, damaged, of a newer schema, or another verb's.
    """
    path = Path(directory).expanduser()
    if not (path / SPEC).is_file():
        raise RunError(f"{path} holds no recording; make one with 'assay record --out {path}'")
    run = open_path(path)
    if run.spec["verb"] != "record":
        raise RunError(f"{path} was made by 'assay {run.spec['verb']}' and is no recording; use assay.open_run")
    return StoredRecording(run)


class StoredRecording(Mapping[SiteId, SiteSketches]):
    """The sketches of a recording by site, each read from its file when it is asked for, and not kept.

    Attributes:
        run: the directory as a run: its path, spec and files.
        sites: what was recorded, in the order of a pass.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.sites = tuple(SiteId.parse(site) for site in run.spec["resolved"]["sites"])

    @property
    def spec(self) -> dict[str, Any]:
        """What was asked, and what it came to."""
        return self.run.spec

    @property
    def n_tokens(self) -> int:
        """Tokens seen, the ones kept apart included."""
        return self.table.n_tokens

    @cached_property
    def table(self) -> TokenTable:
        """The tokens that were recorded. Raises RunError."""
        return TokenTable(**self.run.tensors("table"))

    @cached_property
    def document_ids(self) -> list[str]:
        """Names of the documents that the table numbers. Raises RunError."""
        return json.loads(self.run.file(DOCUMENTS).read_text(encoding="utf-8"))

    def result(self) -> dict[str, Any]:
        """What ``assay record --json`` printed. Raises RunError."""
        return self.run.result()

    def __getitem__(self, site: SiteId | str) -> SiteSketches:
        """The sketches of a site, of all its units.

        Raises:
            UnknownName: it was not recorded.
            RunError: its file is damaged.
        """
        wanted = SiteId.parse(site) if isinstance(site, str) else site
        if wanted not in self.sites:
            raise UnknownName("site", str(wanted), map(str, self.sites))
        return unpack(wanted, self.run.tensors(str(wanted)))

    def __iter__(self) -> Iterator[SiteId]:
        return iter(self.sites)

    def __len__(self) -> int:
        return len(self.sites)

    def __contains__(self, site: object) -> bool:
        return site in self.sites


def spec_at(directory: Path) -> dict[str, Any] | None:
    """The spec of a recording, whole or not; None where nothing has been recorded yet.

    Raises:
        UsageError: the directory holds something else.
        RunError: the spec is damaged.
    """
    path = directory / SPEC
    if not path.is_file():
        others = [entry.name for entry in directory.iterdir() if not entry.name.startswith(".")]
        if others:
            raise UsageError(f"{directory} holds {others[0]} and is no recording; give an empty or new directory")
        return None
    try:
        spec: Any = json.loads(path.read_text(encoding="utf-8"))
        verb = spec["verb"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged; remove {directory} and record again") from error
    if verb != "record":
        raise UsageError(f"{directory} holds a run of 'assay {verb}' and is no recording; give another directory")
    return spec


def check_same(directory: Path, now: Mapping[str, Any], then: Mapping[str, Any]) -> None:
    """Refuse to go on with what was begun differently; ``now`` may name less than ``then``.

    Raises:
        UsageError: the message names the first difference.
    """
    for name, value in _leaves(now):
        before = _leaf(then, name)
        if before != value:
            raise UsageError(
                f"{directory} was recorded with {'.'.join(name)} {before!r}, and now it is {value!r}; "
                "give the same as then, or another --out"
            )


def _leaves(tree: Mapping[str, Any], at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*at, name))
        else:
            yield (*at, name), value


def _leaf(tree: Mapping[str, Any], name: tuple[str, ...]) -> Any:
    value: Any = tree
    for part in name:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
