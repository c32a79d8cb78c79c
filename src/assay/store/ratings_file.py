"""The file that ratings are kept in: SQLite beside the runs, with a schema of its own version, only ever added to.

Several tabs and processes can write at once: it has a write-ahead log, and every write is one short transaction.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from assay.errors import RunError, StorageError
from assay.store.atomic import make_directory

NAME = "ratings.sqlite"
ANSWERS = ("a", "b", "neither", "skip")
UNDONE = "undone"
VERSION = 1  # of the schema, as PRAGMA user_version
_BUSY = 10.0  # seconds to wait for another writer
_DRAWN = """run TEXT NOT NULL, unit TEXT NOT NULL, claim_a INTEGER NOT NULL, claim_b INTEGER NOT NULL,
  explainer_a TEXT NOT NULL, explainer_b TEXT NOT NULL, text_a TEXT NOT NULL, text_b TEXT NOT NULL,
  shown_left TEXT NOT NULL CHECK (shown_left IN ('a', 'b')), seed INTEGER NOT NULL, rater TEXT NOT NULL"""
_SCHEMA = (
    f"CREATE TABLE draws (draw TEXT PRIMARY KEY, drawn_at TEXT NOT NULL, {_DRAWN})",
    f"""CREATE TABLE ratings (id INTEGER PRIMARY KEY AUTOINCREMENT, rated_at TEXT NOT NULL,
      draw TEXT NOT NULL REFERENCES draws, answer TEXT NOT NULL CHECK (answer IN {(*ANSWERS, UNDONE)}),
      seconds REAL, {_DRAWN})""",
    "CREATE INDEX ratings_draw ON ratings (draw)",
    "CREATE INDEX ratings_run ON ratings (run, rater)",
    "CREATE INDEX draws_run ON draws (run, rater)",
    f"""CREATE VIEW standing AS SELECT * FROM ratings
      WHERE id IN (SELECT max(id) FROM ratings GROUP BY draw) AND answer <> '{UNDONE}'""",
    *(
        f"""CREATE TRIGGER {table}_{what} BEFORE {what} ON {table}
          BEGIN SELECT RAISE(ABORT, '{table} are only added to'); END"""
        for table in ("draws", "ratings")
        for what in ("UPDATE", "DELETE")
    ),
)


class RatingsFile:
    """The file under a root of runs. The first write makes it.

    Raises:
        StorageError: (of :meth:`writing`) the place can't be written to.
        RunError: the file is damaged, of a newer schema, or something else.
    """

    def __init__(self, root: Path) -> None:
        self.path = root.absolute() / NAME

    @contextmanager
    def writing(self) -> Generator[sqlite3.Connection]:
        """A transaction, which no other writer is within."""
        make_directory(self.path.parent)
        try:
            db = sqlite3.connect(self.path, timeout=_BUSY, isolation_level=None)
            try:
                db.row_factory = sqlite3.Row
                if self._version(db) == 0:
                    _keep_a_log(db)
                db.execute("BEGIN IMMEDIATE")
                if self._version(db) == 0:
                    for statement in (*_SCHEMA, f"PRAGMA user_version={VERSION}"):
                        db.execute(statement)
                yield db
                db.execute("COMMIT")
            finally:
                db.close()
        except sqlite3.Error as error:
            raise self._failed(error, "write") from error

    @contextmanager
    def reading(self) -> Generator[sqlite3.Connection | None]:
        """For reading alone; None where nothing was ever drawn. Nothing is made on the disk."""
        if not self.path.is_file():
            yield None
            return
        try:
            db = self._readable()
            try:
                db.row_factory = sqlite3.Row
                yield db if self._version(db) else None
            finally:
                db.close()
        except sqlite3.Error as error:
            raise self._failed(error, "read") from error

    def _readable(self) -> sqlite3.Connection:
        """Where the file of the log can't be made, the ratings are read as they are: nobody can be writing them."""
        db = sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True, timeout=_BUSY)
        try:
            db.execute("SELECT 1 FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            db.close()
            db = sqlite3.connect(f"{self.path.as_uri()}?mode=ro&immutable=1", uri=True)
        return db

    def _version(self, db: sqlite3.Connection) -> int:
        version: int = db.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise RunError(
                f"{self.path} has schema {version} and this assay reads up to {VERSION}; install a newer assay"
            )
        if version == 0 and db.execute("SELECT 1 FROM sqlite_master").fetchone():
            raise RunError(f"{self.path} holds something else than ratings; move it to another place")
        return version

    def _failed(self, error: sqlite3.Error, verb: str) -> RunError | StorageError:
        if isinstance(error, sqlite3.OperationalError):
            return StorageError(
                f"can't {verb} {self.path}: {error}; ratings are kept beside the runs: make room or permit writing "
                "there, or copy the runs and choose their new place with --out or ASSAY_RUNS"
            )
        return RunError(f"{self.path} is damaged: {error}; move it to another place, ratings are not made again")


def _keep_a_log(db: sqlite3.Connection) -> None:
    """Turn the write-ahead log on. SQLite does not wait here for others who are about to, so it is tried again."""
    until = time.monotonic() + _BUSY
    while True:
        try:
            db.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.02)
