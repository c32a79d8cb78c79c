"""The related units of a unit, as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from assay.cli.numbers import ABSENT, highest, interval_text, score_text
from assay.cli.plain import plain
from assay.cli.report import cut
from assay.cli.screen import screen
from assay.store.run import Run

VERB = "related"
INDENT = 4  # of sentences below their units
_ABOVE = {True: "yes", False: "no", None: ABSENT}
_HEADINGS = ("unit", "effect", "", "null", "above", "signed", "strength", "net", "listed for")
_LEFT = ("unit", "", "listed for", "layers away")
_PREDICTED = (("strength", "strength"), ("net", "net"), ("slope", None))


def is_related(run: Run) -> bool:
    """Whether the run was made by ``assay related``."""
    return run.spec["verb"] == VERB


def next_unit(result: Mapping[str, Any]) -> str:
    """The unit to walk on to: the neuron with the greatest effect downstream, else upstream, else itself."""
    for side in ("downstream", "upstream"):
        neurons = [row for row in result[side]["relations"] if "head" not in row["chosen_by"]]
        if neurons:
            return str(max(neurons, key=lambda row: row["effect"])["unit"])
    return str(result["unit"])


def print_relations(run: Run) -> None:
    """Print what ``assay related`` stored.

    Raises:
        RunError: the run holds no result, or it is damaged.
    """
    result, console, subject = run.result(), screen(), run.spec["subject"]
    name, last = plain(subject["name"]), subject["n_layers"] - 1
    console.print(Text.assemble((result["unit"], "bold"), f"  of layers 0 to {last}, {name}, run {run.id}"))
    if result["explanation"]:
        console.print(_sentence(result["explanation"], console.width))
    for side in ("upstream", "downstream"):
        console.print()
        _print_side(side, result[side], console)
    console.print()
    console.print(_summary(result["summary"]), style="dim")


def _print_side(name: str, side: Mapping[str, Any], console: Console) -> None:
    count, rows = side["candidates"], side["relations"]
    told = f": {count['neurons']:,} neurons and {count['heads']:,} heads" if count["neurons"] + count["heads"] else ""
    console.print(Text.assemble((name, "bold"), told))
    if side["note"]:
        console.print(Text(plain(side["note"]), style="yellow"), soft_wrap=True)
    if not rows:
        return
    for line, row in zip(_aligned([_cells(row) for row in rows]), [None, *rows], strict=True):
        console.print(line, style="bold" if row is None else "", soft_wrap=True)
        if row is not None and row["explanation"]:
            console.print(_sentence(row["explanation"], console.width))
    for line in _standards(name, side):
        console.print(Text(line, style="dim"), soft_wrap=True)
    for reason in dict.fromkeys(row["reason"] for row in rows if row["reason"]):
        own = ", ".join(row["unit"] for row in rows if row["reason"] == reason)
        console.print(Text(f"not decided: {plain(reason)} ({own})", style="dim"), soft_wrap=True)
    if side["agreement"]:
        console.print(_agreements(side["agreement"]))


def _cells(row: Mapping[str, Any]) -> list[str]:
    return [
        row["unit"],
        _fine(row["effect"]),
        _bounds(row["effect_lo"], row["effect_hi"]),
        _fine(highest(row["nulls"])),
        _ABOVE[row["beyond"]],
        _fine(row["signed"]),
        _fine(row["strength"]),
        _fine(row["net"]),
        ", ".join(row["chosen_by"]),
    ]


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[Text]:
    """The headings, then the rows, each cell as wide as its column."""
    widths = [max(map(len, column)) for column in zip(_HEADINGS, *rows, strict=True)]
    for row in (_HEADINGS, *rows):
        cells = (
            cell.ljust(width) if name in _LEFT else cell.rjust(width)
            for name, cell, width in zip(_HEADINGS, row, widths, strict=True)
        )
        yield Text("  ".join(cells).rstrip())


def _sentence(said: Mapping[str, Any], width: int) -> Text:
    """What a run says of a unit, with its score beside its null."""
    score = f"{said['explainer']}, r {score_text(said['r'])} {interval_text(said['r_lo'], said['r_hi'])}".rstrip()
    text = Text("\n".join(f"{'':{INDENT}}{line}" for line in cut(said["explanation"], width - INDENT).splitlines()))
    text.append(f"\n{'':{INDENT}}{plain(score)}, null {score_text(said['null'])}, {said['verdict']}", style="dim")
    return text


def _standards(name: str, side: Mapping[str, Any]) -> Iterator[str]:
    """What the numbers of a side stand beside."""
    usual, weights = side["effects"], side["by_weights"]
    how = "estimated effect" if name == "upstream" else "effect"
    yield (
        f"{how} of all neurons, on the half that was chosen on: median {_fine(usual['median'])}, one of 100 is above "
        f"{_fine(usual['q99'])}, one of 1,000 above {_fine(usual['q999'])}"
    )
    if side["null_effects"]:
        what = "that the unit has of random others" if name == "upstream" else "of nulls on any neuron"
        told = ", ".join(f"{plain(null)} {_fine(value)}" for null, value in side["null_effects"].items())
        yield f"greatest effect {what}: {told}"
    if weights is not None:
        others = weights["others_best"]
        beside = "" if others is None else f", other neurons of the layer {_fine(others)} (median)"
        yield f"greatest strength of random vectors: below {_fine(weights['null_best'])} in 95 of 100{beside}"


def _agreements(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    headings = ("layers away", "neurons", "effect by strength", "null", "signed by net", "null", "slope")
    for name in headings:
        table.add_column(name, justify="left" if name in _LEFT else "right", no_wrap=True)
    for row in rows:
        cells = [row["layers"], f"{row['neurons']:,}"]
        for name, null in _PREDICTED:
            cells.append(f"{score_text(row[name])} {interval_text(row[f'{name}_lo'], row[f'{name}_hi'])}".rstrip())
            cells += [] if null is None else [score_text(row[f"{null}_null"])]
        table.add_row(*cells)
    return table


def _summary(summary: Mapping[str, Any]) -> str:
    documents = summary["documents"]
    return (
        f"{summary['tokens']:,} tokens: chosen on {documents['fit']} documents, measured on {documents['choose']} "
        f"others; {summary['passes']:.1f} passes over one half in {summary['seconds']:,.0f} s, "
        f"{summary['peak_rss_mb'] / 1024:.1f} GiB of memory at most"
    )


def _bounds(lo: float | None, hi: float | None) -> str:
    return "" if lo is None or hi is None else f"[{_fine(lo)} {_fine(hi)}]"


def _fine(value: float | None) -> str:
    """Three decimals without a leading zero: .047, -.003, 1.204."""
    if value is None:
        return ABSENT
    text = f"{value:.3f}"
    if float(text) == 0:
        return ".000"
    return text.replace("0.", ".", 1) if abs(float(text)) < 1 else text
