from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from rich.text import Text

import synthetic
from assay.cli.query import CELL, cell, share_out

PAGE = (Path(__file__).parents[2] / "docs/query.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)


def test_five_queries_are_documented() -> None:
    assert len(QUERIES) == 5


@pytest.mark.parametrize("sql", QUERIES)
@pytest.mark.parametrize("run", ["last", "all"])
def test_a_documented_query_runs_and_gives_rows(assay, stored: Path, sql: str, run: str) -> None:
    said = assay("query", sql, "--json", "--run", run)
    assert said.code == 0, said.err
    rows = json.loads(said.out)
    if "best_null" in sql:
        assert rows == []  # no unit of the synthetic run is that badly explained
    else:
        assert rows
        assert all(value is not None or name == "verdict" for row in rows for name, value in row.items())


def test_the_documented_queries_say_what_is_in_the_run(assay, stored: Path) -> None:
    result = json.loads((stored / "result.json").read_text())["units"]
    r = {(entry["unit"], entry["explainer"]): entry["r"] for entry in result}
    layers, verdicts, beaten, _, unscored = (json.loads(assay("query", sql, "--json").out) for sql in QUERIES)
    assert [(row["layer"], row["units"], row["lookup"]) for row in layers] == [(1, 1, 0.5), (3, 1, 0.5)]
    assert [row["r"] for row in layers] == [r[unit, "rules"] for unit in synthetic.TARGETS]
    assert sum(row["claims"] for row in verdicts) == 5
    gaps = {row["unit"]: row["rules"] - row["lookup"] for row in beaten}
    assert gaps == pytest.approx({unit: r[unit, "rules"] - r[unit, "lookup"] for unit in synthetic.TARGETS})
    assert list(gaps.values()) == sorted(gaps.values(), reverse=True)
    assert unscored == [
        {"subject": "synthetic", "corpus": "synthetic", "measure": "behaviour", "unscored": "not run", "claims": 5}
    ]


@pytest.mark.parametrize(
    "table", ["units", "claims", "evidence", "tokens", "joint", "related", "neighbours", "reports", "runs"]
)
def test_every_column_is_documented(assay, stored: Path, table: str) -> None:
    columns = [row["column_name"] for row in json.loads(assay("query", f"describe {table}", "--json").out)]
    (line,) = (line for line in PAGE.splitlines() if line.startswith(f"| `{table}` |"))
    documented = re.findall(r"`(\w+)`", line)[1:]
    assert documented == [name for name in columns if name != "run" or table == "runs"]


def test_a_table(assay, stored: Path) -> None:
    said = assay("query", "select unit, value, verdict from claims join evidence using (run, claim) where value > .9")
    assert said.code == 0
    head, *lines = said.out.splitlines()
    assert head.split() == ["unit", "value", "verdict"]
    arrays = synthetic._arrays()
    want = f"{synthetic.r_of(arrays, 0):.4g}"
    assert [line.split() for line in lines] == [["L1.mlp_act:7", want, "supported"]]
    assert said.err == f"next: assay show {stored.name}   the run that was asked\n"


def test_what_is_wider_than_the_screen_becomes_blocks(assay, stored: Path) -> None:
    said = assay("query", "from evidence", "--limit", "2")
    first, second, _ = said.out.split("\n\n")
    assert first.splitlines()[0].split() == ["claim", "0"]
    assert [line.split()[0] for line in second.splitlines()] == [line.split()[0] for line in first.splitlines()]
    assert "there are more than these 2 rows; --limit N shows more\n" in said.err
    assert all(len(line) <= CELL + 14 for line in said.out.splitlines())


def test_text_does_not_steer_the_terminal_and_is_data_in_json(assay, stored: Path) -> None:
    said = assay("query", "select text from tokens order by id")
    assert "\x1b" not in said.out
    assert "\u202e" not in said.out
    assert [row["text"] for row in json.loads(assay("query", "select text from tokens order by id", "--json").out)] == [
        *synthetic.WORDS
    ]
    assert "\x1b" not in assay("query", 'select 1 as "\x1b[31m"').out


def test_json_has_no_nan_and_all_rows(assay, stored: Path) -> None:
    said = assay("query", "select range as i, sqrt(-1) as x, sum(range) over () as s from range(1000)", "--json")
    rows = json.loads(said.out, parse_constant=pytest.fail)
    assert len(rows) == 1000
    assert rows[7] == {"i": 7, "x": None, "s": 499500}
    assert json.loads(assay("query", "select 1 where false", "--json").out) == []
    assert len(json.loads(assay("query", "from range(1000)", "--json", "--limit", "3").out)) == 3


def test_a_table_is_limited_and_says_so(assay, stored: Path) -> None:
    said = assay("query", "select range as i from range(1000)")
    assert len(said.out.splitlines()) == 101
    assert said.err.startswith("there are more than these 100 rows; --limit N shows more\n")
    assert assay("query", "select id, run as r from tokens where false").out == "no rows (id, r)\n"


def test_runs_that_are_left_out_are_named(assay, stored: Path) -> None:
    (Path(shutil.copytree(stored, stored.with_name("a-broken"))) / "units.parquet").unlink()
    said = assay("query", "select count(*) as n from runs", "--run", "all", "--json")
    assert json.loads(said.out) == [{"n": 1}]
    assert said.err == "left out: a-broken is damaged\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["from unit"], "assay: unknown table 'unit'; did you mean 'units'?\n"),
        (["selct 1"], 'assay: Parser Error: syntax error at or near "selct"\n'),
        (["select 1", "--run", "nope"], "assay: unknown run 'nope'; known: "),
        (["drop view units"], "assay: a query only reads: "),
        (["select 1", "--limit", "0"], "assay: invalid value for '--limit': 0 is not in the range x>=1"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(assay, stored: Path, arguments: list[str], line: str) -> None:
    said = assay("query", *arguments)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(line)
    assert said.err.count("\n") == 1


def test_cells() -> None:
    assert cell(None).plain == "–"
    assert cell(True).plain == "true"
    assert cell(0.123456).plain == "0.1235"
    assert cell(float("nan")).plain == "nan"
    assert cell(12_345_678).plain == "12345678"
    assert cell("a\nb\x1b").plain == "a↵b"
    assert cell("x" * 10_000).plain == "x" * (CELL - 1) + "…"
    assert cell({"a": float("inf")}).plain == "{'a': None}"


def test_room_is_shared_among_text_and_never_taken_from_numbers() -> None:
    cells = {"n": [Text("1" * 20)], "a": [Text("x" * 60)], "b": [Text("y" * 36)]}
    numeric = {"n": True, "a": False, "b": False}
    assert share_out(cells, numeric, 200) == {"n": 20, "a": 60, "b": 36}
    assert share_out(cells, numeric, 20 + 4 + 12 + 12) == {"n": 20, "a": 12, "b": 12}
    assert share_out(cells, numeric, 20 + 4 + 24 + 36) == {"n": 20, "a": 36, "b": 24}
    assert share_out(cells, numeric, 20 + 4 + 23) is None
