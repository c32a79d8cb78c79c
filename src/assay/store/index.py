"""Reading the index of a run: units, claims with their evidence, and what can be searched for, a few rows at a time.

The index is made from the run by :mod:`assay.store.indexing` and lies in the cache: it can be removed at any time.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assay.core.cache import cache_dir
from assay.store.listing import KINDS, Among, Asked, Listed, known, listed
from assay.store.run import Run
from assay.store.writer import DONE

VERSION = 2  # of the index; another one is made anew


def index_path(run: Run) -> Path:
    """Where the index of a run lies: the name changes with the run's files and with the index's version."""
    digest = hashlib.sha256((run.path / DONE).read_bytes()).hexdigest()[:16]
    return cache_dir() / "index" / f"{run.id}-{digest}.{VERSION}.sqlite"


class Index:
    """The index of one run, open for reading from any thread.

    Attributes:
        among: the units beyond which lists don't go; None for no such limit.

    Raises:
        UsageError: (of the methods) an unknown sort or kind.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.among: Among | None = None
        self._local = threading.local()

    def _ask(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(f"{self.path.as_uri()}?mode=ro&immutable=1", uri=True)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA cache_size=-4000")
            self._local.connection = connection
        return connection.execute(query, values).fetchall()

    def explainers(self) -> list[str]:
        """The explainers of the run's claims, the first that was asked for first."""
        rows = self._ask("SELECT name FROM explainers ORDER BY k")
        return [row[0] for row in rows]

    def unit(self, name: str) -> dict[str, Any] | None:
        """What a unit did on the fit split, and ``n``, its place in the run; None for a unit that is not in the run."""
        rows = self._ask("SELECT * FROM units WHERE unit = ?", (name,))
        return dict(rows[0]) if rows else None

    def beside(self, n: int) -> tuple[str | None, str | None]:
        """The units before and behind the one at place ``n``."""
        rows = {row[0]: row[1] for row in self._ask("SELECT n, unit FROM units WHERE n IN (?, ?)", (n - 1, n + 1))}
        return rows.get(n - 1), rows.get(n + 1)

    def claims(self, n: int) -> list[dict[str, Any]]:
        """The claims about the unit at place ``n``, with ``detail``: rules, lines, calibration and all evidence."""
        rows = [dict(row) for row in self._ask("SELECT * FROM said WHERE unit = ? ORDER BY claim", (n,))]
        return [row | {"detail": json.loads(zlib.decompress(row["detail"]))} for row in rows]

    def outputs(self, n: int) -> list[dict[str, Any]]:
        """The claims about what the unit at place ``n`` writes, as in the run's result."""
        return [json.loads(row[0]) for row in self._ask("SELECT entry FROM outputs WHERE unit = ?", (n,))]

    def neighbours(self, unit: str) -> list[dict[str, Any]]:
        """The unit's neighbours by weights, upstream first, the strongest of each side first."""
        query = "SELECT * FROM neighbours WHERE unit = ? ORDER BY side DESC, place"
        return [dict(row) for row in self._ask(query, (unit,))]

    def sentences(self, units: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The first explanation of each of these units that the run explained."""
        marks = ",".join("?" * len(units))
        query = f"""SELECT u.unit, c.explainer, c.text, c.r, c.verdict FROM units u
            JOIN said c ON c.claim = (SELECT min(claim) FROM claims WHERE unit = u.n) WHERE u.unit IN ({marks})"""
        return {row["unit"]: dict(row) for row in self._ask(query, list(units))}

    def units(self, asked: Asked) -> Listed:
        """A page of the list of units: see :func:`assay.store.listing.listed`."""
        numbers = [row[0] for row in self._ask("SELECT k FROM explainers WHERE name = ?", [asked.explainer])]
        return listed(self._ask, asked, numbers[0] if numbers else None, self.among)

    def draw(self, kind: str, explainer: str | None, share: float) -> str | None:
        """One of the units of a kind, at the ``share`` (0 to 1) of their list; None where there is none."""
        where = known(KINDS, "kind", kind)
        who = "" if explainer is None else " AND c.explainer = ?"
        tables = f"FROM claims c JOIN units u ON u.n = c.unit WHERE {where}{who}"
        given = [] if explainer is None else [explainer]
        total = self._ask(f"SELECT count(DISTINCT u.n) {tables}", given)[0][0]
        if not total:
            return None
        at = min(int(share * total), total - 1)
        return self._ask(f"SELECT DISTINCT u.unit {tables} ORDER BY u.n LIMIT 1 OFFSET ?", [*given, at])[0][0]

    def counts(self) -> list[dict[str, Any]]:
        """By explainer: claims, mean r and null, and how many of each verdict."""
        query = """SELECT explainer, count(*) AS claims, count(r) AS scored, avg(r) AS mean_r,
            avg(best_null) AS mean_null,
            sum(verdict = 'supported') AS supported, sum(verdict = 'predicts') AS predicts,
            sum(verdict = 'undecided') AS undecided, sum(verdict = 'refuted') AS refuted, sum(verdict = 'void') AS void
            FROM claims GROUP BY explainer ORDER BY min(claim)"""
        return [dict(row) for row in self._ask(query)]

    def scores(self, explainer: str) -> list[tuple[str, int, float, float | None, str]]:
        """Unit, layer, r, best null and verdict of each scored claim of an explainer."""
        query = """SELECT u.unit, u.layer, c.r, c.best_null, c.verdict FROM claims c JOIN units u ON u.n = c.unit
            WHERE c.explainer = ? AND c.r IS NOT NULL ORDER BY u.n"""
        return [tuple(row) for row in self._ask(query, (explainer,))]

    def claims_on_test_text(self) -> list[dict[str, Any]]:
        """Unit, claim, explainer and text of every claim about a unit whose activations on test text are stored."""
        query = """SELECT u.unit, c.claim, c.explainer, c.text FROM units u JOIN said c ON c.unit = u.n
            WHERE u.test IS NOT NULL ORDER BY u.n, c.claim"""
        return [dict(row) for row in self._ask(query)]

    def tokens(self) -> dict[int, str]:
        """The text of every token that occurs in the run."""
        return {row[0]: row[1] for row in self._ask("SELECT id, text FROM tokens")}

    def texts(self, ids: Sequence[int]) -> dict[int, str]:
        """The texts of these tokens."""
        found: dict[int, str] = {}
        for start in range(0, len(ids), 500):
            some = ids[start : start + 500]
            rows = self._ask(f"SELECT id, text FROM tokens WHERE id IN ({','.join('?' * len(some))})", list(some))
            found |= {row[0]: row[1] for row in rows}
        return found
