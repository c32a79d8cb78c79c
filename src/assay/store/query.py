"""SQL over the tables of runs: DuckDB on their Parquet files, which it may read and nothing else.

The database lives in memory and holds one view a table. Before the first word of a query is read, files, network,
extensions and Python variables are switched off and the settings are locked, so a query that somebody else wrote can
do no more than take time and memory.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as fs

from assay.errors import MachineError, RunError, UnknownName, UsageError
from assay.store.run import Run, list_runs, open_path, open_run
from assay.store.schema import TABLES
from assay.store.writer import runs_root

ALL = "all"
RUN = "run"  # the column that says which run a row comes from
RUNS = "runs"

_LOCKED: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": False,
    "autoload_known_extensions": False,
    "autoinstall_known_extensions": False,
    "allow_persistent_secrets": False,
    "python_enable_replacements": False,
    "temp_directory": "",
}
_RUNS_SCHEMA = pa.schema(
    [(name, pa.string()) for name in (RUN, "verb", "started", "subject", "architecture", "dtype", "corpus")]
)
_NO_TABLE = re.compile(r"Table with name (.+) does not exist!")
_SYNTAX = re.compile(r'syntax error at or near "(\w+)"')

T = TypeVar("T")


class Answer(NamedTuple):
    """What a query gave. ``more`` says that rows were left out because of the limit."""

    table: pa.Table
    more: bool


class Chosen(NamedTuple):
    """The runs that are asked, and why others under the same root are not: (id, state)."""

    runs: list[Run]
    skipped: list[tuple[str, str]]


def query(sql: str, run: str | Path = "last", out: str | Path | None = None) -> pa.Table:
    """The rows that a query gives over the tables of one run, or of ``all`` whole runs under ``out``.

    The tables are those of the store (units, claims, evidence, tokens), each with a column ``run``, and ``runs``, one
    row a run. ``run`` is what :func:`assay.open_run` takes, or "all".

    Raises:
        UsageError: not one SELECT that DuckDB understands, or one that reaches for anything but these tables.
        UnknownName: no such table, no such run.
        RunError: an incomplete or damaged run, or there is none.
        MachineError: not enough memory.
    """
    return answer(sql, choose_runs(run, out).runs).table


def choose_runs(run: str | Path = "last", out: str | Path | None = None) -> Chosen:
    """Open one run, or every whole run under ``out`` for "all". Raises RunError, UnknownName."""
    if str(run) != ALL:
        return Chosen([open_run(run, out)], [])
    root = runs_root(out)
    infos = list_runs(root)
    whole = [open_path(info.path) for info in infos if info.state == "whole"]
    if not whole:
        raise RunError(f"there is no whole run in {root}; make one with 'assay explain', or name another with --out")
    return Chosen(whole, [(info.id, info.state) for info in infos if info.state != "whole"])


def answer(sql: str, runs: Sequence[Run], limit: int | None = None) -> Answer:
    """Run one SELECT over these runs and keep at most ``limit`` rows.

    An interrupt ends the query. Raises as :func:`query`.
    """
    tables = _tables(runs)
    with closing(duckdb.connect(":memory:", config=_LOCKED)) as database:
        for name, source in tables.items():
            database.register(name, source)
        database.execute("set lock_configuration = true")
        try:
            statement = _one_select(database, sql)
            table = _interruptible(database, lambda: _carry_out(database, statement, limit))
        except duckdb.Error as error:
            raise _explained(error, list(tables)) from error
    if limit is None or table.num_rows <= limit:
        return Answer(table, False)
    return Answer(table.slice(0, limit), True)


def _one_select(database: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    statements = database.extract_statements(sql)
    if len(statements) != 1:
        raise UsageError(f"a query is one SELECT; got {len(statements) or 'no'} statements")
    kind = statements[0].type.name
    if kind != "SELECT":
        raise UsageError(f"a query only reads: it starts with SELECT, WITH, FROM, DESCRIBE or SHOW. Got {kind} instead")
    return statements[0]


def _carry_out(database: duckdb.DuckDBPyConnection, statement: duckdb.Statement, limit: int | None) -> pa.Table:
    rows = database.sql(statement)
    if limit is not None:
        rows = rows.limit(limit + 1)
    table = cast(Any, rows).to_arrow_table()
    return table.rename_columns(_apart(table.column_names))


def _apart(names: Sequence[str]) -> list[str]:
    """Column names with a number behind those that were used before: a, a_1."""
    taken: dict[str, None] = {}
    for name in names:
        taken[next(new for i in count() if (new := f"{name}_{i}" if i else name) not in taken)] = None
    return list(taken)


def _interruptible(database: duckdb.DuckDBPyConnection, work: Callable[[], T]) -> T:
    """Work in a second thread, since DuckDB doesn't look for Python's signals in the first."""
    with ThreadPoolExecutor(1) as pool:
        future: Future[T] = pool.submit(work)
        try:
            return future.result()
        except KeyboardInterrupt:
            while not future.done():
                database.interrupt()
                wait([future], timeout=0.05)
            raise


def _tables(runs: Sequence[Run]) -> dict[str, Any]:
    """What is registered, by name. Every file's hash has been checked."""
    found: dict[str, Any] = {}
    for name in TABLES:
        fragments: list[Any] = [_fragment(run, name) for run in runs if run.has(f"{name}.parquet")]
        if fragments:
            schemas = [fragment.physical_schema for fragment in fragments]
            schema = pa.unify_schemas(schemas, promote_options="permissive").append(pa.field(RUN, pa.string()))
            found[name] = ds.FileSystemDataset(fragments, schema, ds.ParquetFileFormat())
    found[RUNS] = pa.Table.from_pylist([_run_row(run) for run in runs], schema=_RUNS_SCHEMA)
    return found


def _fragment(run: Run, name: str) -> Any:
    """One file as a part of a data set in which the column ``run`` holds the run's id."""
    files: Any = ds.ParquetFileFormat()
    local: Any = fs.LocalFileSystem()
    path = str(run.file(f"{name}.parquet").absolute())
    return files.make_fragment(path, filesystem=local, partition_expression=ds.field(RUN) == run.id)


def _run_row(run: Run) -> dict[str, Any]:
    subject, corpus = run.spec.get("subject", {}), run.spec.get("corpus", {})
    return {
        RUN: run.id,
        "verb": run.spec["verb"],
        "started": run.spec.get("started"),
        "subject": subject.get("name"),
        "architecture": subject.get("architecture"),
        "dtype": subject.get("dtype"),
        "corpus": corpus.get("name"),
    }


def _explained(error: duckdb.Error, tables: Sequence[str]) -> UsageError | MachineError:
    """DuckDB's message as one line, without its sketch of the query."""
    text = str(error).split("\n\nLINE ")[0]
    line = " ".join(text.split())
    if missing := _NO_TABLE.search(line):
        return UnknownName("table", missing[1], tables)
    if isinstance(error, duckdb.PermissionException):
        return UsageError(f"a query reads the tables of runs and nothing else ({line})")
    if isinstance(error, duckdb.OutOfMemoryException):
        return MachineError(f"the query needs more memory than there is ({line}); ask for fewer columns or rows")
    if isinstance(error, duckdb.InternalException | duckdb.FatalException):
        return MachineError(f"DuckDB failed on this query ({line}); write it another way")
    word = _SYNTAX.search(line)
    if word and any(word[1].lower() in schema.names for schema in TABLES.values()):
        line += f'; the column of that name is written in double quotes: "{word[1].lower()}"'
    return UsageError(line)


def records(table: pa.Table, size: int = 10_000) -> Iterator[dict[str, Any]]:
    """The rows as plain data that JSON can hold: NaN and infinities become None, times and other objects text."""
    for start in range(0, table.num_rows, size):
        for row in table.slice(start, size).to_pylist():
            yield {name: simple(value) for name, value in row.items()}


def simple(value: Any) -> Any:
    """One value as plain data."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Decimal():  # DuckDB sums whole numbers into 128 bits, which Arrow calls a decimal
            return int(value) if value == value.to_integral_value() else float(value)
        case bytes():
            return value.hex()
        case dict():
            return {str(name): simple(part) for name, part in cast(dict[Any, Any], value).items()}
        case list() | tuple():
            return [simple(part) for part in cast(Sequence[Any], value)]
        case _:
            return str(value)
