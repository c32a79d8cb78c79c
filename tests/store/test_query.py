from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import synthetic
from assay.errors import MachineError, RunError, UnknownName, UsageError
from assay.store import open_run
from assay.store.query import _explained, answer, choose_runs, query, records, simple
from assay.store.schema import TABLES
from assay.store.writer import sha256


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return synthetic.write_run(tmp_path / "runs")


def rows(sql: str, run: str | Path = "last", out: Path | None = None) -> list[dict]:
    return list(records(query(sql, run, out)))


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_what_was_written_and_its_run(run: Path, name: str) -> None:
    want = [{**row, "run": run.name} for row in open_run(run).rows(name)]
    assert rows(f"from {name}", run) == want


def test_joins_and_json_columns(run: Path) -> None:
    got = rows(
        """
        select unit, value, (nulls->>'other_unit')::double as other
        from claims join evidence using (run, claim) where measure = 'r' and explainer = 'rules' and role = 'claim'
        order by unit
        """,
        run,
    )
    result = json.loads((run / "result.json").read_text())
    want = [(e["unit"], e["r"]) for e in result["units"] if e["explainer"] == "rules"]
    assert [(row["unit"], row["value"]) for row in got] == want
    assert {row["other"] for row in got} == {0.034}


def test_all_runs_are_told_apart_and_the_broken_are_named(run: Path) -> None:
    root = run.parent
    other = synthetic.write_run(root)
    (Path(shutil.copytree(run, root / "a-incomplete")) / "done.json").unlink()
    got = rows("select run, count(*) as n from units group by run order by run", "all", root)
    assert got == [{"run": name, "n": 3} for name in sorted((run.name, other.name))]
    assert rows("select run from runs order by run", "all", root) == [
        {"run": name} for name in sorted((run.name, other.name))
    ]
    assert choose_runs("all", root).skipped == [("a-incomplete", "incomplete")]
    one = rows("select distinct run from evidence", other)
    assert one == [{"run": other.name}]


def test_a_column_that_older_runs_lack_is_null_there(run: Path) -> None:
    other = synthetic.write_run(run.parent)
    path = other / "units.parquet"
    table = pq.read_table(path)
    pq.write_table(table.append_column("heads", pa.array([1, 2, 3])), path)
    done = json.loads((other / "done.json").read_text())
    done["files"]["units.parquet"] = sha256(path)
    (other / "done.json").write_text(json.dumps(done))
    got = rows("select run, list(heads order by index) as heads from units group by run", "all", run.parent)
    assert {row["run"]: row["heads"] for row in got} == {run.name: [None, None, None], other.name: [1, 2, 3]}


def test_runs_says_what_each_was_made_from(run: Path) -> None:
    (row,) = rows("from runs", run)
    assert row == {
        "run": run.name,
        "verb": "explain",
        "started": json.loads((run / "spec.json").read_text())["started"],
        "subject": "synthetic",
        "architecture": "llama",
        "dtype": "float32",
        "corpus": "synthetic",
    }


FORBIDDEN = [
    "select * from read_csv('/etc/passwd')",
    "select * from read_text('/etc/passwd')",
    "select * from read_blob('/etc/passwd')",
    "select * from read_json('/etc/passwd')",
    "select * from glob('/etc/*')",
    "select * from read_parquet('UNITS')",
    "select * from 'UNITS'",
    "select * from parquet_metadata('UNITS')",
    "select * from read_parquet('https://example.com/a.parquet')",
    "select * from read_parquet('s3://bucket/a.parquet')",
    "select * from 'https://example.com/a.csv'",
    "select * from sniff_csv('/etc/passwd')",
]
REFUSED = [
    "copy units to 'OUT'",
    "copy (select 1) to 'OUT' (format parquet)",
    "explain analyze copy units to 'OUT'",
    "export database 'OUT'",
    "import database 'OUT'",
    "attach 'OUT' as other",
    "install httpfs",
    "load httpfs",
    "force install json from 'http://example.com'",
    "set enable_external_access = true",
    "set lock_configuration = false",
    "reset lock_configuration",
    "set variable x = 1",
    "set threads = 1",
    "pragma threads = 1",
    "pragma enable_profiling",
    "use temp",
    "create table a as select 1",
    "create macro m() as 1",
    "create secret s (type s3)",
    "drop view units",
    "insert into units values (1)",
    "update units set mean = 0",
    "delete from evidence",
    "truncate evidence",
    "call pragma_version()",
    "checkpoint",
    "vacuum",
    "begin",
    "prepare p as select 1",
]


@pytest.mark.parametrize("sql", FORBIDDEN)
def test_nothing_but_the_tables_can_be_read(run: Path, sql: str) -> None:
    with pytest.raises(UsageError, match="a query reads the tables of runs and nothing else"):
        query(sql.replace("UNITS", str(run / "units.parquet")), run)


@pytest.mark.parametrize("sql", REFUSED)
def test_nothing_can_be_written_loaded_or_set(run: Path, tmp_path: Path, sql: str) -> None:
    out = tmp_path / "out"
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match=r"a query only reads: .* Got [A-Z_]+ instead"):
        query(sql.replace("OUT", str(out)), run)
    assert not out.exists()
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_the_lock_holds_without_the_look_at_the_statement(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two walls: what is no SELECT is refused by the database too."""
    monkeypatch.setattr("assay.store.query._one_select", lambda database, sql: database.extract_statements(sql)[0])
    out = tmp_path / "out"
    for sql in ("copy units to 'OUT'", "attach 'OUT' as other", "install httpfs", "load httpfs"):
        with pytest.raises(UsageError, match="nothing else"):
            query(sql.replace("OUT", str(out)), run)
    for sql in ("set enable_external_access = true", "reset lock_configuration", "pragma threads = 1"):
        with pytest.raises(UsageError, match="configuration has been locked"):
            query(sql, run)
    assert not out.exists()


def test_python_variables_and_secrets_are_out_of_reach(run: Path) -> None:
    secret = pa.table({"a": [1]})
    with pytest.raises(UnknownName, match="unknown table 'secret'"):
        query("from secret", run)
    assert secret.num_rows == 1
    setting = "select current_setting('enable_external_access') as a, current_setting('temp_directory') as t"
    assert rows(setting, run) == [{"a": False, "t": ""}]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("selct 1", r'^Parser Error: syntax error at or near "selct"$'),
        ("select valu from evidence", r'"valu" not found in FROM clause! Candidate bindings: "value"'),
        ("select check from evidence", r'near "check"; the column of that name is written in double quotes: "check"$'),
        ("select no_such(mean) from units", "Function with name no_such does not exist"),
        ("select 'a'::int", "^Conversion Error: Could not convert string 'a' to INT32$"),
        ("select unit, avg(mean) from units", "must appear in the GROUP BY clause"),
        ("select $1", "parameters"),
        ("", "a query is one SELECT; got no statements"),
        ("-- nothing", "got no statements"),
        ("select 1; select 2", "got 2 statements"),
    ],
)
def test_a_mistake_is_one_line(run: Path, sql: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        query(sql, run)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_table_that_is_not_there_is_guessed(run: Path) -> None:
    with pytest.raises(UnknownName, match="unknown table 'unit'; did you mean 'units'"):
        query("select * from unit", run)


def test_an_error_in_the_rows_is_an_error(run: Path) -> None:
    with pytest.raises(UsageError, match="Could not convert string"):
        query("select text::int from tokens", run)


def test_too_little_memory_is_the_machines_fault() -> None:
    import duckdb

    error = _explained(duckdb.OutOfMemoryException("Out of Memory Error: no\nroom\n\nLINE 1: x"), [])
    assert isinstance(error, MachineError)
    assert str(error).startswith("the query needs more memory than there is (Out of Memory Error: no room);")


def test_a_limit_keeps_the_first_rows_and_says_that_there_are_more(run: Path) -> None:
    runs = choose_runs(run).runs
    got = answer("select id from tokens order by id desc", runs, 3)
    assert (got.table.column("id").to_pylist(), got.more) == ([9, 8, 7], True)
    assert answer("select id from tokens", runs, 10).more is False
    assert answer("select id from tokens; -- all", runs).table.num_rows == 10


def test_columns_of_one_name_are_both_kept(run: Path) -> None:
    (row,) = rows("select 1 as a, 2 as a", run)
    assert row == {"a": 1, "a_1": 2}


def test_values_as_plain_data() -> None:
    assert simple(float("nan")) is None
    assert simple(float("-inf")) is None
    assert simple(Decimal("12")) == 12
    assert isinstance(simple(Decimal("12")), int)
    assert simple(Decimal("1.5")) == 1.5
    assert simple({"a": [float("nan"), b"\x01"]}) == {"a": [None, "01"]}
    assert simple([("k", 1)]) == [["k", 1]]


def test_a_damaged_file_is_not_asked(run: Path) -> None:
    path = run / "evidence.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(RunError, match=r"evidence\.parquet is damaged"):
        query("from units", run)


def test_no_runs(tmp_path: Path) -> None:
    for name in ("all", "last"):
        with pytest.raises(RunError, match=r"there is no .*run in .*; make one with 'assay explain'"):
            query("select 1", name, tmp_path)


def test_an_interrupt_ends_a_long_query(run: Path) -> None:
    """In a process of its own, as on a terminal."""
    code = f"""
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # what starts in the background inherits that it is ignored
from assay.cli.app import run
sql = "select count(*) from range(1000000000) a, range(1000) b where hash(a.range) + b.range = 3"
print("asking", flush=True)
sys.exit(run(["query", sql, "--run", {str(run)!r}]))
"""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "asking\n"
            time.sleep(2)
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 130
    assert err == "assay: interrupted\n"


def test_asking_needs_no_torch(run: Path) -> None:
    code = f"""
import sys
sys.modules["torch"] = sys.modules["transformers"] = None
import assay
assert assay.query("select count(*) as n from units", run={str(run)!r}).to_pylist() == [{{"n": 3}}]
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
