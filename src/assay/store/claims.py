"""Claims from a run's index: one with its evidence, a page of an explainer's, and the scores of all of them.

Three measures are columns of the index and can be sorted by at any size. Of another the index holds what each claim's
page shows; all values of it are taken from the run's own table.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.errors import UsageError
from assay.store.run import Run

COLUMNS: Mapping[str, str] = {"r": "c.r", "effect_r": "c.r", "r_context": "c.r_context", "behaviour": "c.behaviour"}
"""The measures that are columns of the index."""

SORTS: Mapping[str, str] = {"place": "c.claim", "verdict": "c.verdict", **COLUMNS}
"""What claims can be sorted by."""

_AT_ONCE = 500
_CLAIM = "c.claim, u.unit, u.layer, c.explainer, c.text, c.bits, c.verdict, c.reason, c.detail"
_OF_UNITS = "FROM claims c JOIN units u ON u.n = c.unit WHERE c.explainer = ?"


class Scores(NamedTuple):
    """One measure of all claims of an explainer; NaN where it has no value."""

    units: list[str]
    layers: NDArray[np.int64]
    values: NDArray[np.float64]
    verdicts: list[str]


def claim_row(path: Path, number: int) -> dict[str, Any] | None:
    """The claim of this number with ``detail``: rules, lines and all evidence; None where the index has none."""
    rows = _ask(path, f"SELECT {_CLAIM} FROM said c JOIN units u ON u.n = c.unit WHERE c.claim = ?", [number])
    return _read(rows[0]) if rows else None


def claim_rows(
    path: Path, explainer: str, sort: str, descending: bool, start: int, most: int
) -> tuple[list[dict[str, Any]], int]:
    """A page of an explainer's claims as :func:`claim_row` gives them, and how many claims there are.

    Raises:
        UsageError: an unknown sort.
    """
    if sort not in SORTS:
        raise UsageError(f"no sort {sort!r}; there are {', '.join(SORTS)}")
    column, order = SORTS[sort], "DESC" if descending else "ASC"
    by = "c.claim" if sort == "place" else f"{column} IS NULL, {column}"
    total: int = _ask(path, "SELECT count(*) FROM claims WHERE explainer = ?", [explainer])[0][0]
    query = f"SELECT c.claim FROM claims c WHERE c.explainer = ? ORDER BY {by} {order}, c.claim LIMIT ? OFFSET ?"
    numbers = [row[0] for row in _ask(path, query, [explainer, most, start])]
    found: dict[int, dict[str, Any]] = {}
    for first in range(0, len(numbers), _AT_ONCE):
        some = numbers[first : first + _AT_ONCE]
        marks = ",".join("?" * len(some))
        query = f"SELECT {_CLAIM} FROM said c JOIN units u ON u.n = c.unit WHERE c.claim IN ({marks})"
        found |= {row["claim"]: _read(row) for row in _ask(path, query, some)}
    return [found[number] for number in numbers], total


def measures(path: Path, explainer: str) -> list[str]:
    """The measures that the evidence of an explainer's first claims has, the correlation that decides first."""
    rows, _ = claim_rows(path, explainer, "place", False, 0, 20)
    names = (test["measure"] for row in rows for test in row["detail"]["evidence"] if test["check"] != "claim")
    return sorted(dict.fromkeys(names), key=lambda name: name not in ("r", "effect_r"))


def scores(run: Run, path: Path, explainer: str, measure: str) -> Scores:
    """One measure of all claims of an explainer, in the order of the units.

    Raises:
        RunError: a table is missing or damaged.
    """
    column = COLUMNS.get(measure, "c.claim")
    rows = _ask(path, f"SELECT u.unit, u.layer, {column}, c.verdict {_OF_UNITS} ORDER BY u.n, c.claim", [explainer])
    units: list[str] = [row[0] for row in rows]
    layers = np.array([row[1] for row in rows], np.int64)
    values = np.array([np.nan if row[2] is None else row[2] for row in rows], np.float64)
    if measure not in COLUMNS:
        values = _of_table(run, measure, values)
    return Scores(units, layers, values, [row[3] for row in rows])


def texts(path: Path, explainer: str, units: Sequence[str]) -> dict[str, str]:
    """What an explainer says of these units."""
    marks = ",".join("?" * len(units))
    query = f"SELECT u.unit, c.text {_OF_UNITS.replace('claims c', 'said c')} AND u.unit IN ({marks})"
    return {row[0]: row[1] for row in _ask(path, query, [explainer, *units])}


def _of_table(run: Run, measure: str, claims: NDArray[np.float64]) -> NDArray[np.float64]:
    """The measure of the claims of these numbers, from the evidence table."""
    from assay.store.query import answer  # DuckDB is slow to load, and most pages don't need it

    named = measure.replace("'", "''")
    table = answer(f"SELECT claim, value FROM evidence WHERE measure = '{named}' AND value IS NOT NULL", [run]).table
    numbers, values = (np.asarray(table[name].to_numpy(), np.float64) for name in ("claim", "value"))
    order = np.argsort(numbers)
    numbers, values = numbers[order], values[order]
    at = np.minimum(np.searchsorted(numbers, claims), max(len(numbers) - 1, 0))
    if not len(numbers):
        return np.full(len(claims), np.nan)
    return np.where(numbers[at] == claims, values[at], np.nan)


def _read(row: sqlite3.Row) -> dict[str, Any]:
    return {**dict(row), "detail": json.loads(zlib.decompress(row["detail"]))}


def _ask(path: Path, query: str, values: Sequence[Any]) -> list[sqlite3.Row]:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        return connection.execute(query, values).fetchall()
