"""``assay query``."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import click
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from assay.cli.numbers import ABSENT
from assay.cli.plain import plain
from assay.cli.screen import print_next, screen
from assay.store.query import ALL, Answer, answer, choose_runs, records, simple

SHOWN = 100  # rows of a table, unless --limit says otherwise
CELL = 60  # columns that a cell of text takes at most
NARROWEST = 12  # columns that a cell of text is cut to where many columns share a line
GAP = 2
NUMBER = (int, float, Decimal, type(None))


@click.command(
    short_help="Ask the tables of runs in SQL.",
    epilog="""\b
    Examples:
      assay query "select unit, text from claims where role = 'claim'"
      assay query "select run, avg(value) as r from evidence where measure = 'r' group by run" --run all --json
    """,
)
@click.argument("sql", metavar="SQL")
@click.option(
    "--run", "run_name", default="last", show_default=True, metavar="RUN", help="The run to ask, or 'all' of them."
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Most rows.  [default: 100; --json: all]")
@click.option("--out", metavar="DIR", help="Where runs are kept.  [default: $ASSAY_RUNS, or ./runs]")
@click.option("--json", "as_json", is_flag=True, help="Print a list of JSON objects instead of a table.")
def query(sql: str, run_name: str, limit: int | None, out: str | None, as_json: bool) -> None:
    """Ask the tables of one run, or of all of them, in DuckDB's SQL.

    The tables are units, claims, evidence and tokens, each with a column 'run', and runs. One SELECT a call; it
    can read nothing else and change nothing. 'describe evidence' lists a table's columns.
    """
    chosen = choose_runs(run_name, out)
    for name, state in chosen.skipped:
        click.echo(f"left out: {plain(name)} is {state}", err=True)
    got = answer(sql, chosen.runs, limit or (None if as_json else SHOWN))
    if as_json:
        print_rows(got)
    else:
        print_table(got, screen())
    if got.more:
        click.echo(f"there are more than these {got.table.num_rows:,} rows; --limit N shows more", err=True)
    if run_name != ALL:
        place = f" --out {shlex.quote(out)}" if out else ""
        print_next(f"assay show {chosen.runs[0].id}{place}", "the run that was asked")


def print_rows(got: Answer) -> None:
    """Print the rows as a JSON list, an object a line."""
    before = "["
    for row in records(got.table):
        click.echo(f"{before}\n {json.dumps(row, ensure_ascii=False, allow_nan=False)}", nl=False)
        before = ","
    click.echo("[]" if before == "[" else "\n]")


def print_table(got: Answer, console: Console) -> None:
    """Print the rows as a table, or as blocks of lines where they are wider than the console."""
    columns = {plain(name): got.table.column(i).to_pylist() for i, name in enumerate(got.table.column_names)}
    if not got.table.num_rows:
        console.print(f"no rows ({', '.join(columns)})", soft_wrap=True)
        return
    cells = {name: [cell(value) for value in values] for name, values in columns.items()}
    numeric = {name: all(isinstance(value, NUMBER) for value in values) for name, values in columns.items()}
    widths = share_out(cells, numeric, console.width)
    if widths is None:
        _print_blocks(cells, console)
        return
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for name, width in widths.items():
        table.add_column(Text(name), justify="right" if numeric[name] else "left", no_wrap=True, max_width=width)
    for row in zip(*cells.values(), strict=True):
        table.add_row(*row)
    console.print(table)


def cell(value: Any) -> Text:
    """One value on one line: numbers to four digits, text without control characters, – where there is none."""
    match value:
        case None:
            return Text(ABSENT, style="dim")
        case bool():
            return Text(str(value).lower())
        case float():
            return Text(f"{value:.4g}")
        case str():
            shown = plain(value[: 4 * CELL])
            return Text(shown if len(shown) <= CELL and len(value) <= 4 * CELL else shown[: CELL - 1] + "…")
        case _:
            return cell(str(simple(value)))


def share_out(cells: Mapping[str, Sequence[Text]], numeric: Mapping[str, bool], width: int) -> dict[str, int] | None:
    """A width for each column so that a line fits: text is cut where it must be, numbers never. None if it can't."""
    natural = {name: max(cell_len(name), *(text.cell_len for text in column)) for name, column in cells.items()}
    least = {name: full if numeric[name] else min(full, NARROWEST) for name, full in natural.items()}
    spare = width - GAP * (len(cells) - 1) - sum(least.values())
    if spare < 0:
        return None
    wanted = sum(natural.values()) - sum(least.values())
    share = min(1.0, spare / wanted) if wanted else 0.0
    return {name: full + int((natural[name] - full) * share) for name, full in least.items()}


def _print_blocks(cells: Mapping[str, Sequence[Text]], console: Console) -> None:
    longest = max(map(cell_len, cells))
    for row in zip(*cells.values(), strict=True):
        for name, text in zip(cells, row, strict=True):
            console.print(Text.assemble((name.ljust(longest + GAP), "dim"), text), soft_wrap=True)
        console.print()
