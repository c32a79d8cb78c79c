"""The claims of a run as the JSON that ``assay explain`` prints, read from its tables: for runs of very many units."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from assay.store.run import Run

MEASURES = ("r", "r_pos", "r_neg", "r_context", "f1", "auprc")
REFERENCES = ("lookup", "bigram", "lookup_full", "bigram_full")
NULLS = ("constant", "shuffled", "other_unit")
ARMS = ("other_unit", "shuffled", "noise_equal_r")
_BOUNDS = {"": "value", "_lo": "lo", "_hi": "hi"}
_AT_ONCE = 4096
_NOT_RUN = "not run: behaviour is tested on a random sample"


def entries(run: Run, units: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """One entry a claim, controls left out, in the order of the claims; of these ``units`` only, where given.

    Raises:
        RunError: a table is missing or damaged.
    """
    claims, evidence = run.table("claims"), run.table("evidence")
    claims = claims.filter(pc.equal(claims["role"], "claim"))
    if units is not None:
        claims = claims.filter(pc.is_in(claims["unit"], value_set=pa.array(list(units), pa.string())))
        evidence = evidence.filter(pc.is_in(evidence["claim"], value_set=claims["claim"].combine_chunks()))
    width = _widths(run)
    tests = _by_claim(evidence.sort_by("claim"))
    waiting = next(tests, None)
    for row in _rows(claims.sort_by("claim")):
        while waiting is not None and waiting[0] < row["claim"]:
            waiting = next(tests, None)
        own = waiting[1] if waiting is not None and waiting[0] == row["claim"] else []
        yield _entry(row, {item["measure"]: item for item in own}, width)


def _widths(run: Run) -> dict[str, int]:
    """How many units each site of the run has."""
    table = run.table("units").group_by(["layer", "kind"]).aggregate([("unit", "count")]).to_pylist()
    return {f"L{row['layer']}.{row['kind']}": int(row["unit_count"]) for row in table}


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches(max_chunksize=_AT_ONCE):
        yield from batch.to_pylist()


def _by_claim(evidence: pa.Table) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """The rows of each claim, of a table that is sorted by claim."""
    number, rows = -1, list[dict[str, Any]]()
    for row in _rows(evidence):
        if row["claim"] != number:
            if rows:
                yield number, rows
            number, rows = row["claim"], []
        rows.append(row)
    if rows:
        yield number, rows


def _entry(row: Mapping[str, Any], tests: Mapping[str, Mapping[str, Any]], width: Mapping[str, int]) -> dict[str, Any]:
    r, behaviour, verdict = tests.get("r"), tests.get("behaviour"), tests.get("verdict")
    unscored = {name: test["unscored"] for name, test in tests.items() if test["unscored"] and name != "verdict"}
    found: dict[str, Any] = {}
    if behaviour is not None:
        found = json.loads(behaviour["nulls"]) | json.loads(behaviour["references"])
    return {
        "unit": row["unit"],
        "explainer": row["explainer"],
        "explanation": row["text"],
        "rules": json.loads(row["lines"]),
        "bits": round(row["bits"], 1),
        "r": _part(r, "value"),
        "r_lo": _part(r, "lo"),
        "r_hi": _part(r, "hi"),
        **{measure: _part(tests.get(measure), "value") for measure in MEASURES[1:]},
        "nulls": dict.fromkeys(NULLS) | (json.loads(r["nulls"]) if r else {}),
        "references": dict.fromkeys(REFERENCES) | (json.loads(r["references"]) if r else {}),
        "rank": None if (rank := _part(tests.get("rank"), "value")) is None else int(rank),
        "rank_of": width.get(row["unit"].partition(":")[0]),
        "also": _also(tests),
        "behaviour": _part(behaviour, "value"),
        "behaviour_lo": _part(behaviour, "lo"),
        "behaviour_hi": _part(behaviour, "hi"),
        "behaviour_nulls": {name: found.get(name) for name in ARMS},
        "unscored": unscored if behaviour else unscored | {"behaviour": _NOT_RUN},
        "verdict": verdict["verdict"] if verdict else None,
        "reason": verdict["reason"] if verdict else "",
    }


def _also(tests: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """The scores on other text; None where there is none."""
    r, drop = tests.get("also_r"), tests.get("also_drop")
    if r is None or drop is None:
        return None
    return {
        **{f"r{name}": r[part] for name, part in _BOUNDS.items()},
        **{measure: _part(tests.get(f"also_{measure}"), "value") for measure in MEASURES[1:]},
        "nulls": json.loads(r["nulls"]),
        "references": json.loads(r["references"]),
        **{f"drop{name}": drop[part] for name, part in _BOUNDS.items()},
        "documents": r["n"],
    }


def _part(test: Mapping[str, Any] | None, name: str) -> Any:
    return None if test is None else test[name]
