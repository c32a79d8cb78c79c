"""What people chose between two explanations: one SQLite file beside the runs, which is only ever added to.

It can't be made again from anything else, so no row is changed or removed, and triggers refuse it. What is taken back
or answered again gets a later row of the same draw, and the last one stands. Every pair that is drawn is logged before
it is shown.
"""

from __future__ import annotations

import random
import secrets
import sqlite3
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from assay.errors import UsageError
from assay.store.ratings_file import ANSWERS, UNDONE, RatingsFile

_COLUMNS = "run, unit, claim_a, claim_b, explainer_a, explainer_b, text_a, text_b, shown_left, seed, rater"


class Pair(NamedTuple):
    """Two claims about one unit, the one with the lower number first. ``text_a`` and ``text_b`` are hashes."""

    unit: str
    claim_a: int
    claim_b: int
    explainer_a: str
    explainer_b: str
    text_a: str
    text_b: str


class Drawn(NamedTuple):
    """A pair as it was drawn for one rater. ``draw`` names it, and says nothing else of it.

    ``shown_left``: "a" or "b"; ``seed``: of the excerpts shown beside it.
    """

    draw: str
    run: str
    pair: Pair
    shown_left: str
    seed: int
    rater: str

    def answer(self, side: str) -> str:
        """What "left" or "right" stood for; other answers as they are."""
        if side not in ("left", "right"):
            return side
        return self.shown_left if side == "left" else {"a": "b", "b": "a"}[self.shown_left]


class Ratings:
    """The ratings under a root of runs. The file is made by the first pair that is drawn.

    Raises:
        StorageError: (of all that write) the place can't be written to.
        RunError: (of all methods) the file is damaged, of a newer schema, or something else.
    """

    def __init__(self, root: Path) -> None:
        self._file = RatingsFile(root)

    def draw(self, run: str, rater: str, pairs: Sequence[Pair], rng: random.Random) -> Drawn:
        """Draw a pair at random, and log it: a unit that this rater answered least, and of its pairs one of the least.

        Units that were drawn for this rater and not answered, as in another tab, come after the others.

        Args:
            pairs: what there is to be rated, at least one.
            rng: draws the unit, the pair, the side and the seed of the excerpts.
        """
        with self._file.writing() as db:
            rated = db.execute(
                "SELECT unit, claim_a, claim_b, count(*) FROM standing WHERE run = ? AND rater = ? GROUP BY 1, 2, 3",
                (run, rater),
            ).fetchall()
            waiting = db.execute(
                """SELECT unit, count(*) FROM draws WHERE run = ? AND rater = ?
                AND draw NOT IN (SELECT draw FROM ratings) GROUP BY 1""",
                (run, rater),
            ).fetchall()
            pair = _least(pairs, {(u, a, b): n for u, a, b, n in rated}, dict(waiting), rng)
            drawn = Drawn(secrets.token_hex(12), run, pair, rng.choice("ab"), rng.randrange(2**31), rater)
            row = (drawn.draw, _now(), run, *pair, drawn.shown_left, drawn.seed, rater)
            db.execute(f"INSERT INTO draws (draw, drawn_at, {_COLUMNS}) VALUES ({_marks(row)})", row)
        return drawn

    def drawn(self, draw: str) -> Drawn:
        """The draw of that name.

        Raises:
            UsageError: there is none.
        """
        with self._file.reading() as db:
            row = None if db is None else db.execute("SELECT * FROM draws WHERE draw = ?", (draw,)).fetchone()
        if row is None:
            raise UsageError(f"no pair was drawn under the name {draw[:40]!r}; load the page again")
        return _drawn(row)

    def waits(self, drawn: Drawn) -> bool:
        """Whether the pair waits for an answer."""
        with self._file.reading() as db:
            query = "SELECT 1 FROM standing WHERE draw = ?"
            return db is None or db.execute(query, (drawn.draw,)).fetchone() is None

    def answer(self, drawn: Drawn, answer: str, seconds: float | None) -> None:
        """Add an answer, one of :data:`ANSWERS`; it takes the place of an earlier one to the same draw.

        Raises:
            UsageError: no such answer.
        """
        if answer not in ANSWERS:
            raise UsageError(f"an answer must be one of {', '.join(ANSWERS)}, got {answer[:40]!r}")
        with self._file.writing() as db:
            _add(db, drawn, answer, seconds)

    def undo(self, run: str, rater: str) -> Drawn | None:
        """Take back what this rater answered last in this run, and return what was asked; None if there is nothing."""
        with self._file.writing() as db:
            query = "SELECT draw FROM standing WHERE run = ? AND rater = ? ORDER BY id DESC LIMIT 1"
            last = db.execute(query, (run, rater)).fetchone()
            if last is None:
                return None
            drawn = _drawn(db.execute("SELECT * FROM draws WHERE draw = ?", (last["draw"],)).fetchone())
            _add(db, drawn, UNDONE, None)
        return drawn

    def standing(self, run: str) -> list[dict[str, Any]]:
        """The answers about a run that stand, the oldest first."""
        with self._file.reading() as db:
            rows = (
                [] if db is None else db.execute("SELECT * FROM standing WHERE run = ? ORDER BY id", (run,)).fetchall()
            )
        return [dict(row) for row in rows]

    def all(self) -> list[dict[str, Any]]:
        """Every row of every run, the oldest first; ``stands`` is 1 for those that a later one did not replace."""
        query = "SELECT *, id IN (SELECT id FROM standing) AS stands FROM ratings ORDER BY id"
        with self._file.reading() as db:
            rows = [] if db is None else db.execute(query).fetchall()
        return [dict(row) for row in rows]


def _least(
    pairs: Sequence[Pair], rated: dict[tuple[str, int, int], int], waiting: dict[str, int], rng: random.Random
) -> Pair:
    """A pair of the unit that was answered least, then is waited for least, and of its pairs the one answered least."""
    by_unit = Counter[str]()
    for (unit, _, _), count in rated.items():
        by_unit[unit] += count
    units = dict.fromkeys(pair.unit for pair in pairs)
    unit = min(units, key=lambda name: (by_unit[name], waiting.get(name, 0), rng.random()))
    return min((pair for pair in pairs if pair.unit == unit), key=lambda pair: (rated.get(pair[:3], 0), rng.random()))


def _add(db: sqlite3.Connection, drawn: Drawn, answer: str, seconds: float | None) -> None:
    row = (_now(), drawn.draw, answer, seconds, drawn.run, *drawn.pair, drawn.shown_left, drawn.seed, drawn.rater)
    db.execute(f"INSERT INTO ratings (rated_at, draw, answer, seconds, {_COLUMNS}) VALUES ({_marks(row)})", row)


def _drawn(row: sqlite3.Row) -> Drawn:
    pair = Pair(*(row[name] for name in Pair._fields))
    return Drawn(row["draw"], row["run"], pair, row["shown_left"], row["seed"], row["rater"])


def _marks(row: Sequence[object]) -> str:
    return ",".join("?" * len(row))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
