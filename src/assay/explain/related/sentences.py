"""What stored runs say of units: the sentence that was asserted of each, with its score and verdict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assay.errors import UsageError
from assay.store import Run, open_run
from assay.store.entries import entries
from assay.store.run import list_runs, open_path

_KEPT = ("explainer", "explanation", "r", "r_lo", "r_hi", "verdict")


def explained_run(name: str, subject: str, out: str | None) -> Run:
    """A stored run that can be asked for sentences.

    Args:
        subject: the fingerprint of the weights.

    Raises:
        UsageError: it is of another model, or explained nothing.
        UnknownName, RunError: no such run, or it can't be read.
    """
    run = open_run(name, out)
    if not run.has("claims.parquet"):
        raise UsageError(f"run {run.id} explained nothing: it was made by 'assay {run.spec['verb']}'")
    if run.spec["subject"]["fingerprint"] != subject:
        raise UsageError(f"run {run.id} explained {run.spec['subject']['name']}, which has other weights")
    return run


def sentences(units: Sequence[str], subject: str, run: Run | None, root: Path) -> dict[str, dict[str, Any]]:
    """By unit, its explanation: of this run, or of the newest run of the same weights that explained it.

    Of a run's explainers it is the first that was asked for. Units that no run explained are left out.

    Raises:
        RunError: a run is damaged.
    """
    if run is not None:
        return _of_run(run, units)
    found: dict[str, dict[str, Any]] = {}
    for info in reversed(list_runs(root)):
        missing = [unit for unit in units if unit not in found]
        if not missing:
            break
        same = info.spec.get("subject", {}).get("fingerprint") == subject
        if info.state == "whole" and same and info.spec["verb"] == "explain":
            found |= _of_run(open_path(info.path), missing)
    return found


def _of_run(run: Run, units: Sequence[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for entry in entries(run, units):
        if entry["unit"] not in found and entry["explanation"]:
            null = max((value for value in entry["nulls"].values() if value is not None), default=None)
            found[entry["unit"]] = {name: entry[name] for name in _KEPT} | {"null": null, "run": run.id}
    return found
