"""A run of whole layers as a table: a row a layer, and some units drawn at random."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.table import Table
from rich.text import Text

from assay.cli.joint import print_joint
from assay.cli.numbers import STYLES, highest, interval_text, score_text
from assay.cli.plain import plain
from assay.cli.report import also_line, cut, heading, print_files
from assay.cli.screen import screen
from assay.store.entries import entries
from assay.store.run import Run

DRAWN = 5
_BAR = 20


def is_whole(run: Run) -> bool:
    """Whether the run is one of whole layers, whose units are too many to list."""
    return bool(run.spec["resolved"].get("whole"))


def first_unit(run: Run) -> str:
    """The first unit that was asked for."""
    return str(run.table("units")["unit"][0].as_py())


def print_whole_json(run: Run) -> None:
    """Print the contract's JSON on stdout, an entry at a time."""
    result = run.result()
    click.echo("{")
    for name in ("run", "subject"):
        click.echo(f" {json.dumps(name)}: {json.dumps(result[name], ensure_ascii=False)},")
    click.echo(' "units": [')
    for i, entry in enumerate(entries(run)):
        click.echo((",\n" if i else "") + json.dumps(entry, ensure_ascii=False, allow_nan=False), nl=False)
    summary = json.dumps(result["summary"], indent=1, ensure_ascii=False, allow_nan=False)
    click.echo(f'\n ],\n "summary": {summary}', nl=False)
    if "joint" in result:
        click.echo(f',\n "joint": {json.dumps(result["joint"], indent=1, allow_nan=False)}', nl=False)
    click.echo("\n}")


def print_whole(run: Run) -> None:
    """Print what the units of each layer come to, and a few of them. Runs of old may know no mean null.

    Raises:
        RunError: the run holds no result, or it is damaged.
    """
    result, console = run.result(), screen()
    summary = result["summary"]
    console.print(heading(run))
    console.print(_layers(summary))
    console.print(_units(run, console.width))
    console.print(_summary(summary))
    if also := run.spec["corpus"].get("also"):
        console.print(also_line(also["name"], summary["also"]))
    print_joint(run, result, console)
    print_files(run, console)


def _layers(summary: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("layer", "mean r", "", "null", "median", "lookup", "bigram, full", "above lookup", "predict"):
        table.add_column(name, justify="left" if not name else "right", no_wrap=True)
    for row in summary["per_layer"]:
        r, units = row["mean_r"], row["units"]
        filled = round(_BAR * min(max(r or 0.0, 0.0), 1.0))
        table.add_row(
            str(row["layer"]),
            Text(score_text(r), style="bold"),
            Text.assemble(("━" * filled, "blue"), ("─" * (_BAR - filled), "dim")),
            Text(score_text(row.get("mean_null")), style="dim"),
            score_text(row["median_r"]),
            Text(score_text(row["references"]["lookup"]), style="dim"),
            Text(score_text(row["references"]["bigram_full"]), style="dim"),
            f"{row['above_lookup'] / units:.0%}",
            f"{row['predicts'] / units:.0%}",
        )
    return table


def _units(run: Run, width: int) -> Text:
    """A few units, drawn anew each time the run is another."""
    table = run.table("claims")
    table = table.filter(pc.and_(pc.equal(table["role"], "claim"), pc.equal(table["explainer"], "rules")))
    rng = np.random.default_rng([len(table), int(run.spec["resolved"]["seed"])])
    places = np.sort(rng.choice(len(table), min(DRAWN, len(table)), replace=False))
    names = [str(name) for name in table["unit"].take(pa.array(places)).to_pylist()]
    text = Text("\ndrawn at random\n", style="dim")
    for entry in entries(run, names):
        if entry["explainer"] == "rules":
            text.append(f"{entry['unit']}  ", style="bold").append(f"r {score_text(entry['r'])}")
            text.append(f" {interval_text(entry['r_lo'], entry['r_hi'])}".rstrip(), style="dim")
            text.append(f", best null {score_text(highest(entry['nulls']))}  ", style="dim")
            text.append(entry["verdict"], style=STYLES[entry["verdict"]]).append("\n")
            text.append(cut(entry["explanation"], width) + "\n", style="default")
    return text


def _summary(summary: Mapping[str, Any]) -> Text:
    lines = Text()
    for name, counts in summary["verdicts"].items():
        lines.append(f"{plain(name)}: ", style="bold")
        for i, verdict in enumerate(verdict for verdict in STYLES if counts.get(verdict)):
            lines.append(", " if i else "").append(f"{counts[verdict]:,} ").append(verdict, style=STYLES[verdict])
        lines.append("\n")
    bounds = interval_text(summary.get("mean_r_lo"), summary.get("mean_r_hi"))
    lines.append(f"{summary['units']:,} units, mean r {score_text(summary['mean_r'])} {bounds}".rstrip())
    lines.append(f", of their best nulls {score_text(summary.get('mean_null'))}; ")
    lines.append(f"behaviour tested on {summary['behaviour_sample']} at random\n")
    lines.append(
        f"{summary['tokens']:,} tokens in {summary['seconds']:,.0f} s ({summary['forward_seconds']:,.0f} s of it "
        f"in the model), {summary['peak_rss_mb'] / 1024:.1f} GiB of memory at most",
        style="dim",
    )
    return lines
