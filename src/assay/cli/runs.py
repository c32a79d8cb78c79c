"""``assay runs``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import click
from rich import box
from rich.table import Table

from assay.cli.numbers import score_text
from assay.cli.plain import plain
from assay.cli.screen import print_json, print_next, screen
from assay.errors import RunError
from assay.store.run import RunInfo, list_runs, open_path, runs_root

_STYLES = {"whole": "", "incomplete": "yellow", "newer": "magenta", "damaged": "red"}


@click.command(
    short_help="List the stored runs.",
    epilog="""\b
    Examples:
      assay runs
      assay runs --out /data/runs --json
    """,
)
@click.option("--out", metavar="DIR", help="Where runs are kept.  [default: $ASSAY_RUNS, or ./runs]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def runs(out: str | None, as_json: bool) -> None:
    """List the stored runs, oldest first."""
    root = runs_root(out)
    rows = [_row(info) for info in list_runs(root)]
    place = f" --out {shlex.quote(out)}" if out else ""
    if as_json:
        print_json(rows)
    elif rows:
        screen().print(_table(rows))
    else:
        click.echo(f"no runs in {root}")
    whole = [row["id"] for row in rows if row["state"] == "whole"]
    if whole:
        print_next(f"assay show {whole[-1]}{place}", "the latest whole run")
    else:
        print_next(f"assay explain{place}", "make one")


def _row(info: RunInfo) -> dict[str, Any]:
    spec = info.spec
    return {
        "id": info.id,
        "path": str(info.path),
        "state": info.state,
        "verb": spec.get("verb"),
        "started": spec.get("started"),
        "subject": spec.get("subject", {}).get("name"),
        "corpus": spec.get("corpus", {}).get("name"),
        **_result(info),
    }


def _result(info: RunInfo) -> dict[str, Any]:
    """What the run's result says; nothing where it has none, or its bytes are not the ones written."""
    if info.state == "whole":
        try:
            summary = open_path(info.path).result().get("summary", {})  # a recording has none
        except RunError:
            return {"state": "damaged", "units": None, "mean_r": None}
        return {"units": summary.get("units"), "mean_r": summary.get("mean_r")}
    return {"units": None, "mean_r": None}


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    for name in ("run", "state", "subject", "corpus"):
        table.add_column(name, overflow="fold", no_wrap=name == "run")
    table.add_column("units", justify="right")
    table.add_column("mean r", justify="right")
    for row in rows:
        units = "–" if row["units"] is None else str(row["units"])
        subject, corpus = plain(row["subject"] or "–"), plain(row["corpus"] or "–")
        table.add_row(
            row["id"], row["state"], subject, corpus, units, score_text(row["mean_r"]), style=_STYLES[row["state"]]
        )
    return table
