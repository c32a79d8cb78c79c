"""A run of ``assay probe`` or ``assay erase``, as tables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from assay.cli.numbers import ABSENT, beside, listed, score_text, took, verdict_text
from assay.cli.plain import plain
from assay.cli.screen import screen
from assay.store.run import Run

VERBS = ("probe", "erase", "steer")


_LEADING = re.compile(r"(?<![\d.])0(?=\.\d\d\b)")  # the zero of a score within a text: 0.84 (0.53)


def is_concepts(run: Run) -> bool:
    """Whether the run was made by ``assay probe`` or ``assay erase``."""
    return run.spec["verb"] in VERBS


def print_concepts(run: Run) -> None:
    """Print what ``assay probe`` or ``assay erase`` stored.

    Raises:
        RunError: the run holds no result, or it is damaged.
    """
    result, console, subject = run.result(), screen(), run.spec["subject"]
    console.print(Text.assemble((plain(result["title"]), "bold"), f"\n{plain(subject['name'])}, run {run.id}"))
    console.print(Text(plain(result["question"])), soft_wrap=True)
    console.print()
    cells = result["experiment"] is None and run.spec["verb"] == "probe"
    console.print(_cells(result["results"]) if cells else _findings(result["findings"]), soft_wrap=not cells)
    for table in result["tables"]:
        console.print(Text(f"\n{plain(table['title'])}", style="bold"), soft_wrap=True)
        console.print(_table(table))
    for note in result["notes"]:
        console.print(Text(plain(note), style="dim"), soft_wrap=True)
    if reasons := _reasons(result["findings"]):
        console.print(reasons, soft_wrap=True)
    console.print(_summary(result["summary"]), soft_wrap=True)


def _cells(results: Sequence[Mapping[str, Any]]) -> Table:
    """AUROC of each probe on each test, beside its null and what simpler methods get."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("test", "layer", "method", "AUROC", "null", "words", "layer 0", "answer", "verdict"):
        table.add_column(
            name, justify="left" if name in ("test", "method", "AUROC", "verdict") else "right", no_wrap=True
        )
    last = ""
    for row in sorted(results, key=lambda row: _order(results).index((row["test"], row["layer"]))):
        given = row["baselines"]
        table.add_row(
            plain(row["test"]) if row["test"] != last else "",
            str(row["layer"]),
            row["method"],
            beside(row["auroc"], row["lo"], row["hi"]),
            score_text(row["null_hi"]),
            *(score_text(given[name]) for name in ("bag_of_words", "layer_0", "answer")),
            verdict_text(row["verdict"]),
        )
        last = row["test"]
    return table


def _order(results: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    tests = list(dict.fromkeys(row["test"] for row in results))
    layers = list(dict.fromkeys(row["layer"] for row in results))
    return [(test, layer) for test in tests for layer in layers]


def _findings(findings: Sequence[Mapping[str, Any]]) -> Text:
    """Each finding with its score, nulls, and what was published, below what it says."""
    told = Text()
    for one in findings:
        told.append(f"{plain(one['claim'])} ({plain(one['measure'])})\n")
        told.append_text(Text.assemble("    ", verdict_text(one["verdict"]), "  " if one["verdict"] else ""))
        told.append_text(beside(one["value"], one["lo"], one["hi"]))
        if one["nulls"]:
            told.append(f"  null: {listed(one['nulls'])}", style="dim")
        if one["references"]:
            told.append(f"  beside: {listed(one['references'])}", style="dim")
        if one["published"]:
            told.append(f"  published: {plain(one['published'])}", style="dim")
        told.append("\n")
    return told


def _table(told: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for place, name in enumerate(told["columns"]):
        table.add_column(plain(name), justify="right" if place else "left")
    for row in told["rows"]:
        table.add_row(_cell(row[0]), *(_LEADING.sub("", _cell(value)) for value in row[1:]))
    return table


def _cell(value: Any) -> str:
    if value is None:
        return ABSENT
    if isinstance(value, float):
        return score_text(value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else plain(str(value))


def _reasons(findings: Sequence[Mapping[str, Any]]) -> Text:
    """Why some findings are undecided or have no score, each reason once."""
    said: dict[tuple[str, str], None] = {}
    for one in findings:
        word = "unscored" if one["unscored"] else one["verdict"]
        if word in ("unscored", "undecided", "void"):
            said[word, one["unscored"] or one["reason"]] = None
    return Text("\n".join(f"{word}: {plain(reason)}" for word, reason in said), style="dim")


def _summary(summary: Mapping[str, Any]) -> Text:
    told = ", ".join(f"{count} {word}" for word, count in summary["verdicts"].items())
    controls = summary["controls"]
    posed = (
        f"; of {controls['n']} {_posing(controls)} that posed as claims {controls['passed']} passed"
        if controls["n"]
        else ""
    )
    how = f"{summary['arithmetic']}; " if summary["arithmetic"] else ""
    return Text.assemble((told + posed, "bold"), (f"\n{how}{took(summary)}", "dim"))


def _posing(controls: Mapping[str, Any]) -> str:
    return controls.get("posing", "random probes")
