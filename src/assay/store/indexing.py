"""Making the index of a run: one SQLite file in the cache, from which any page of the run is read by a few rows.

``python -m assay.store.indexing RUN`` makes it and prints the share that is done, a line at a time, so that whoever
waits for the index of a large run need not hold its tables.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from assay.store.atomic import make_directory, replacing
from assay.store.index import index_path
from assay.store.listing import one_form
from assay.store.run import Run, open_path
from assay.store.writer import RESULT

Tell = Callable[[float], None]
_AT_ONCE = 8192
_FIRES = 0.5  # a unit fires on a token from this share of its highest activation on
_SCHEMA = """
CREATE TABLE units (n INTEGER PRIMARY KEY, unit TEXT UNIQUE, layer INT, kind TEXT, idx INT, row INT, test INT,
  count INT, mean REAL, sd REAL, skew REAL, kurtosis REAL, min REAL, max REAL, q01 REAL, q50 REAL,
  q99 REAL, firing_rate REAL);
CREATE TABLE explainers (k INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE claims (claim INTEGER PRIMARY KEY, unit INT, explainer TEXT, test INT, bits REAL, r REAL,
  r_lo REAL, r_hi REAL, best_null REAL, lookup REAL, r_context REAL, behaviour REAL, behaviour_lo REAL,
  behaviour_hi REAL, behaviour_null REAL, noise REAL, surplus_hi REAL, verdict TEXT);
CREATE TABLE texts (claim INTEGER PRIMARY KEY, text TEXT, reason TEXT, detail BLOB);
CREATE VIEW said AS SELECT c.*, t.text, t.reason, t.detail FROM claims c JOIN texts t ON t.claim = c.claim;
CREATE TABLE peaks (form TEXT, token TEXT, unit INT, side INT, count INT, of INT, peak REAL,
  height REAL);
CREATE TABLE neighbours (unit TEXT, side TEXT, place INT, other TEXT, strength REAL, net REAL, best_null REAL);
CREATE TABLE outputs (unit INT, entry TEXT);
CREATE TABLE tokens (id INTEGER PRIMARY KEY, text TEXT);
"""
_WORDS = "CREATE VIRTUAL TABLE words{} USING fts5(text, content='', tokenize='unicode61 remove_diacritics 2')"
_INDEXES = """
CREATE INDEX claims_unit ON claims (unit, explainer);
CREATE INDEX claims_r ON claims (explainer, r);
CREATE INDEX claims_verdict ON claims (explainer, verdict);
CREATE INDEX peaks_form ON peaks (form, count DESC, height DESC);
CREATE INDEX neighbours_unit ON neighbours (unit);
CREATE INDEX units_layer ON units (layer, idx);
"""
_UNIT = "count mean sd skew kurtosis min max q01 q50 q99 firing_rate".split()
_KEPT = "check measure value lo hi n nulls references d d_lo d_hi verdict reason unscored".split()


def build_index(run: Run, tell: Tell = lambda share: None) -> Path:
    """Make the index of a run and return its path; whole or not at all.

    Args:
        tell: is told the share that is done, 0 to 1.

    Raises:
        RunError: a table is missing or damaged.
        StorageError: the cache can't be written.
    """
    path = index_path(run)
    make_directory(path.parent)
    with replacing(path) as temporary:
        connection = sqlite3.connect(temporary)
        connection.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;" + _SCHEMA)
        units = _units(run, connection)
        if units and run.has("claims.parquet"):  # else claims are about no unit: there is no list of them
            _claims(run, connection, units, lambda share: tell(0.05 + 0.7 * share))
        _places(run, connection)
        _outputs(run, connection, units)
        _tokens(run, connection)
        _peaks(run, connection, lambda share: tell(0.75 + 0.2 * share))
        _neighbours(run, connection)
        connection.executescript(_INDEXES + "ANALYZE;")
        connection.commit()
        connection.close()
    tell(1.0)
    return path


def _units(run: Run, connection: sqlite3.Connection) -> dict[str, int]:
    """The units asked for, with their rows in the file of exemplars; their numbers by name."""
    if not run.has("units.parquet"):
        return {}
    by_site, seen = run.has("tensors/exemplars.safetensors"), dict[str, int]()
    numbers: dict[str, int] = {}
    for row in _plain(run.table("units")):
        if row["role"] != "target":
            continue
        place = "" if by_site else f"L{row['layer']}.{row['kind']}"
        at = seen[place] = seen.get(place, -1) + 1
        n = numbers[row["unit"]] = len(numbers)
        values = [n, row["unit"], row["layer"], row["kind"], row["index"], at, None, *(row[name] for name in _UNIT)]
        connection.execute(f"INSERT INTO units VALUES ({','.join('?' * len(values))})", values)
    return numbers


def _claims(run: Run, connection: sqlite3.Connection, units: Mapping[str, int], tell: Tell) -> None:
    claims = run.table("claims").filter(pc.equal(run.table("claims")["role"], "claim")).sort_by("claim")
    tests = _by_claim(_plain(run.table("evidence").sort_by("claim")))
    waiting, total = next(tests, None), run.table("claims").num_rows
    explainers = list(dict.fromkeys(claims["explainer"].to_pylist()))
    for k, name in enumerate(explainers):
        connection.execute("INSERT INTO explainers VALUES (?, ?)", (k, name))
        connection.execute(_WORDS.format(k))
    for row in _plain(claims):
        number = row["claim"]
        while waiting is not None and waiting[0] < number:
            waiting = next(tests, None)
        found = waiting[1] if waiting is not None and waiting[0] == number else []
        if row["unit"] in units:
            _claim(connection, explainers.index(row["explainer"]), units[row["unit"]], row, found)
        if number % 512 == 0:
            tell(number / total)


def _claim(
    connection: sqlite3.Connection,
    number: int,
    unit: int,
    row: Mapping[str, Any],
    tests: Sequence[Mapping[str, Any]],
) -> None:
    """Put in one claim; ``number`` is its explainer's, whose words are searched by themselves."""
    by = {test["measure"]: test for test in tests}
    r, behaviour = by.get("r", {}), by.get("behaviour", {})
    effect = by.get("effect_r", {})
    main = r or effect
    overall = by.get("verdict", {})
    values = [
        row["claim"], unit, row["explainer"], 0 if behaviour else None, row["bits"],
        main.get("value"), main.get("lo"), main.get("hi"), _best(main),
        _named(r, "references", "lookup"), by.get("r_context", {}).get("value"),
        behaviour.get("value"), behaviour.get("lo"), behaviour.get("hi"), _best(behaviour),
        _named(behaviour, "references", "noise_equal_r"), by.get("surplus_over_noise", {}).get("hi"),
        overall.get("verdict") or "undecided",
    ]  # fmt: skip
    connection.execute(f"INSERT INTO claims VALUES ({','.join('?' * len(values))})", values)
    detail = zlib.compress(_detail(row, tests).encode(), 3)
    kept = (row["claim"], row["text"], overall.get("reason") or "", detail)
    connection.execute("INSERT INTO texts VALUES (?, ?, ?, ?)", kept)
    said = " ".join([row["text"], *json.loads(row["lines"])]).replace("\0", " ")
    connection.execute(f"INSERT INTO words{number} (rowid, text) VALUES (?, ?)", (row["claim"], said))


def _detail(row: Mapping[str, Any], tests: Sequence[Mapping[str, Any]]) -> str:
    """As JSON, what a page of the claim reads; what is JSON in the table already is taken as it is."""
    read = [f'"{name}": {row[name]}' for name in ("rules", "lines", "calibration")]
    own = {name: row[name] for name in ("rival", "threshold", "version")}
    own["evidence"] = [_test(test) for test in tests]
    return "{" + ", ".join(read) + ", " + json.dumps(own, ensure_ascii=False)[1:]


def _test(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the evidence table as JSON: what is empty is left out."""
    kept = {name: row[name] for name in _KEPT if row[name] not in (None, "", "{}")}
    return kept | {name: json.loads(kept[name]) for name in ("nulls", "references") if name in kept}


def _best(test: Mapping[str, Any]) -> float | None:
    nulls: dict[str, float | None] = json.loads(test["nulls"]) if test else {}
    return max((value for value in nulls.values() if value is not None), default=None)


def _named(test: Mapping[str, Any], kind: str, name: str) -> float | None:
    return json.loads(test[kind]).get(name) if test else None


def _by_claim(rows: Iterator[dict[str, Any]]) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """The evidence of each claim, of a table that is sorted by claim."""
    number, own = -1, list[dict[str, Any]]()
    for row in rows:
        if row["claim"] != number:
            if own:
                yield number, own
            number, own = row["claim"], []
        own.append(row)
    if own:
        yield number, own


def _places(run: Run, connection: sqlite3.Connection) -> None:
    """Which rows of the test arrays are a unit's and a claim's; null where none are stored.

    A run of some units has those of all, in order. One of whole layers has those of the units whose behaviour was
    tested, three rows of predictions each: of its two claims and of its control.
    """
    if not run.has("tensors/test.safetensors"):
        return
    activations = run.tensor_shape("test", "activations")[0]
    if run.has("tensors/exemplars.safetensors"):
        predictions = run.tensor_shape("test", "predictions")[0]
        connection.execute("UPDATE units SET test = n")
        connection.execute("UPDATE claims SET test = CASE WHEN claim < ? THEN claim END", (predictions,))
        return
    tested = connection.execute("SELECT DISTINCT unit FROM claims WHERE test IS NOT NULL ORDER BY unit")
    units = [row[0] for row in tested]
    connection.execute("UPDATE claims SET test = NULL")
    if len(units) != activations:
        return
    for at, unit in enumerate(units):
        connection.execute("UPDATE units SET test = ? WHERE n = ?", (at, unit))
        claims = connection.execute("SELECT claim FROM claims WHERE unit = ? ORDER BY claim", (unit,)).fetchall()
        for kind, (claim,) in enumerate(claims):
            connection.execute("UPDATE claims SET test = ? WHERE claim = ?", (3 * at + kind, claim))


def _outputs(run: Run, connection: sqlite3.Connection, units: Mapping[str, int]) -> None:
    """What the result says of the units' outputs, as it stands there."""
    found: list[dict[str, Any]] = run.result().get("outputs") or [] if run.has(RESULT) else []
    rows = [(units[entry["unit"]], json.dumps(entry)) for entry in found if entry["unit"] in units]
    connection.executemany("INSERT INTO outputs VALUES (?, ?)", rows)


def _tokens(run: Run, connection: sqlite3.Connection) -> None:
    if run.has("tokens.parquet"):
        rows = ((row["id"], row["text"]) for row in _plain(run.table("tokens")))
        connection.executemany("INSERT INTO tokens VALUES (?, ?)", rows)


def _peaks(run: Run, connection: sqlite3.Connection, tell: Tell) -> None:
    """On which tokens the units are strongest and lowest, in how many of their exemplars."""
    texts: dict[int, str] = dict(connection.execute("SELECT id, text FROM tokens"))
    files = [name for name in run.files if name.startswith("tensors/exemplars")]
    for done, name in enumerate(sorted(files)):
        stem = name.removeprefix("tensors/").removesuffix(".safetensors")
        site = stem.partition("-")[2]
        found = connection.execute("SELECT n, row, sd FROM units" + (" WHERE layer || '.' || kind = ?" if site else ""),
                                   (site.removeprefix("L"),) if site else ()).fetchall()  # fmt: skip
        arrays = run.tensors(stem)
        for side, sign in (("top", 1), ("bottom", -1)):
            ids, values = arrays[f"{side}_ids"], sign * arrays[f"{side}_activations"].astype(np.float32)
            for n, at, sd in found:
                rows = _fired(ids[at], values[at], texts)
                connection.executemany(
                    "INSERT INTO peaks VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    [
                        (one_form(text), text, n, sign, count, of, sign * peak, peak / sd if sd else 0.0)
                        for text, count, of, peak in rows
                    ],
                )
        tell((done + 1) / len(files))


def _fired(
    ids: NDArray[np.int32], values: NDArray[np.float32], texts: Mapping[int, str]
) -> list[tuple[str, int, int, float]]:
    """Tokens on which a unit fires: text, in how many exemplars, of how many, and the highest value; (k, length) each.

    It fires where it reaches half of the highest activation of all its exemplars, above 0.
    """
    inside = np.where(ids >= 0, values, -np.inf)
    top = float(inside.max(initial=0.0))
    where, at = np.nonzero((inside > 0) & (inside >= _FIRES * top))
    found: dict[str, tuple[set[int], float]] = {}
    for row, token, value in zip(where.tolist(), ids[where, at].tolist(), inside[where, at].tolist(), strict=True):
        rows, highest = found.get(texts.get(token, ""), (set[int](), 0.0))
        found[texts.get(token, "")] = (rows | {row}, max(highest, value))
    of = int((ids >= 0).any(1).sum())
    return [(text, len(rows), of, peak) for text, (rows, peak) in found.items() if text]


def _neighbours(run: Run, connection: sqlite3.Connection) -> None:
    if run.has("neighbours.parquet"):
        names = "unit side place other strength net null".split()
        rows = (tuple(row[name] for name in names) for row in _plain(run.table("neighbours")))
        connection.executemany("INSERT INTO neighbours VALUES (?, ?, ?, ?, ?, ?, ?)", rows)


def _plain(table: pa.Table) -> Iterator[dict[str, Any]]:
    """The rows of a table, a few thousand of them as objects at a time."""
    for batch in table.to_batches(max_chunksize=_AT_ONCE):
        yield from batch.to_pylist()


def main(arguments: Sequence[str]) -> None:
    """Index one run; the share that is done goes to standard output."""
    last = -1

    def tell(share: float) -> None:
        nonlocal last
        if (now := int(100 * share)) > last:
            last = now
            sys.stdout.write(f"{now}\n")
            sys.stdout.flush()

    build_index(open_path(Path(arguments[0])), tell)


if __name__ == "__main__":
    main(sys.argv[1:])
