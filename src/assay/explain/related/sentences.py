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


def sentences(
    units: Sequence[str], subject: str, run: str | None, root: Path, out: str | None
) -> dict[str, dict[str, Any]]:
    """By unit, its explanation: of this run, or of the newest run of the same weights that explained it.

    Of a run's explainers it is the first that was asked for. Units that no run explained are left out.

    Args:
        subject: the fingerprint of the weights.

    Raises:
        UsageError: ``run`` is of another model, or explained nothing.
        UnknownName, RunError: no such run, or it can't be read.
    """
    if run is not None:
        named = open_run(run, out)
        if not named.has("claims.parquet"):
            raise UsageError(f"run {named.id} explained nothing: it was made by 'assay {named.spec['verb']}'")
        if named.spec["subject"]["fingerprint"] != subject:
            raise UsageError(f"run {named.id} explained {named.spec['subject']['name']}, which has other weights")
        return _of_run(named, units)
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
