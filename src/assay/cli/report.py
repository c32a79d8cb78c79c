"""A run as a table: every explained unit with its scores beside their nulls and references."""

from __future__ import annotations

import textwrap
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from assay.cli.numbers import STYLES, highest, score_text, stacked, verdict_text
from assay.cli.plain import plain
from assay.cli.screen import screen
from assay.core.ids import UnitId
from assay.store.run import Run

SENTENCE_LINES = 2
NUMBERS = ("r", "lookup", "null", "behaviour", "its null", "noise")
BENCHMARK = "noise_equal_r"
WITH_REASON = ("undecided", "void")


def print_run(run: Run) -> None:
    """Print the table and summary of a run that ``assay explain`` made.

    Raises:
        RunError: the run holds no result, or it is damaged.
    """
    result, console = run.result(), screen()
    console.print(_heading(run))
    console.print(result_table(result, run.spec["subject"]["n_layers"], console.width))
    for line in _reasons(result["units"]):
        console.print(line, soft_wrap=True)
    console.print(_summary(result))
    _print_files(run, console)


def _heading(run: Run) -> Text:
    subject, corpus = run.spec["subject"], run.spec["corpus"]
    return Text.assemble(
        (plain(subject["name"]), "bold"),
        f"  {subject['dtype']} on {subject['device']} ({plain(subject['reason'])})",
        f"\n{plain(corpus['name'])}, run {run.id}",
    )


def pair_units(entries: Sequence[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], Mapping[str, Any] | None]]:
    """For each unit its main explanation (the first that is not the lookup) and its lookup, if that was run too."""
    by_unit: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for entry in entries:
        by_unit[entry["unit"]].append(entry)
    pairs: list[tuple[Mapping[str, Any], Mapping[str, Any] | None]] = []
    for group in by_unit.values():
        lookup = next((entry for entry in group if entry["explainer"] == "lookup"), None)
        others = [entry for entry in group if entry is not lookup]
        pairs += [(entry, lookup) for entry in others] or [(group[0], None)]
    return pairs


def result_table(result: Mapping[str, Any], n_layers: int, width: int) -> Group:
    """The result of ``assay explain``, ``width`` columns wide: a row of numbers a unit, its sentence below."""
    pairs = pair_units(result["units"])
    unit_width = max(len(entry["unit"]) for entry, _ in pairs)
    columns: dict[str, list[Text]] = {
        "unit, depth": [_unit_cell(entry["unit"], n_layers, unit_width) for entry, _ in pairs],
        "r": [stacked(entry["r"], entry["r_lo"], entry["r_hi"]) for entry, _ in pairs],
        "lookup": [_lookup_cell(entry, lookup) for entry, lookup in pairs],
        "null": [_null_cell(entry["nulls"]) for entry, _ in pairs],
        "behaviour": [stacked(entry["behaviour"], entry["behaviour_lo"], entry["behaviour_hi"]) for entry, _ in pairs],
        "its null": [_behaviour_null_cell(entry["behaviour_nulls"]) for entry, _ in pairs],
        "noise": [Text(score_text(entry["behaviour_nulls"].get(BENCHMARK)), style="dim") for entry, _ in pairs],
        "verdict": [verdict_text(entry["verdict"]) for entry, _ in pairs],
    }
    widths = {name: max(len(name), *(_width(cell) for cell in cells)) for name, cells in columns.items()}
    blocks: list[Table | Text] = [_grid(widths, [Text(name, style="bold") for name in columns], width)]
    blocks.append(Text("─" * width, style="dim"))
    for i, (entry, _) in enumerate(pairs):
        blocks.append(_grid(widths, [cells[i] for cells in columns.values()], width))
        blocks.append(Text(cut(entry["explanation"], width) + "\n"))
    return Group(*blocks)


def _grid(widths: Mapping[str, int], cells: Sequence[Text], width: int) -> Table:
    """One row at fixed widths, so that rows stand below each other; what room is left goes between the columns."""
    gap = max(1, min(3, (width - sum(widths.values())) // len(widths)))
    row = Table.grid(padding=(0, gap, 0, 0))
    for name, columns in widths.items():
        row.add_column(justify="right" if name in NUMBERS else "left", no_wrap=True, width=columns)
    row.add_row(*cells)
    return row


def _width(cell: Text) -> int:
    return max(line.cell_len for line in cell.split())


def _null_cell(nulls: Mapping[str, float | None]) -> Text:
    return Text(score_text(highest(nulls)), style="dim")


def _behaviour_null_cell(arms: Mapping[str, float | None]) -> Text:
    """The best of what decides: the arms but for the benchmark, and the unit held at its mean, whose score is 0."""
    deciding = {name: value for name, value in arms.items() if name != BENCHMARK and value is not None}
    return _null_cell(deciding | {"mean": 0.0} if deciding else {})


def _unit_cell(unit: str, n_layers: int, width: int) -> Text:
    layer = UnitId.parse(unit).site.layer
    filled = max(1, round(width * (layer + 1) / n_layers))
    return Text.assemble((unit, "bold"), "\n", ("━" * filled, "blue"), ("─" * (width - filled), "dim"))


def _lookup_cell(entry: Mapping[str, Any], lookup: Mapping[str, Any] | None) -> Text:
    if lookup is not None:
        return stacked(lookup["r"], lookup["r_lo"], lookup["r_hi"])
    return stacked(entry["references"]["lookup"])


def cut(sentence: str, width: int) -> str:
    """``sentence`` on at most two lines of ``width``, with … where it was cut."""
    lines = textwrap.wrap(plain(sentence), width, max_lines=SENTENCE_LINES, placeholder=" …")
    return "\n".join(lines)


def _reasons(entries: Sequence[Mapping[str, Any]]) -> list[Text]:
    units: dict[tuple[str, str], list[str]] = defaultdict(list)
    for entry, _ in pair_units(entries):
        if entry["verdict"] in WITH_REASON:
            units[entry["verdict"], entry["reason"]].append(entry["unit"])
    return [
        Text.assemble((verdict, STYLES[verdict]), f": {plain(reason)} ({_some(names)})")
        for (verdict, reason), names in units.items()
    ]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _summary(result: Mapping[str, Any]) -> Text:
    summary = result["summary"]
    pairs = pair_units(result["units"])
    lines = Text()
    for explainer in dict.fromkeys(entry["explainer"] for entry, _ in pairs):
        own = [(entry, lookup) for entry, lookup in pairs if entry["explainer"] == explainer]
        beaten = [entry["r"] > entry["references"]["lookup"] for entry, _ in own if _comparable(entry)]
        lines.append(f"\n{explainer}: ", style="bold")
        lines.append(f"mean r {score_text(_mean([entry['r'] for entry, _ in own]))} over {len(own)} units")
        if beaten:
            lines.append(f", above the lookup of equal length for {sum(beaten)} of {len(beaten)}")
        counts = Counter(entry["verdict"] for entry, _ in own)
        for i, verdict in enumerate(name for name in STYLES if counts[name]):
            lines.append(", " if i else "\n  ").append(f"{counts[verdict]} ").append(verdict, style=STYLES[verdict])
    lines.append(
        f"\n{summary['tokens']:,} tokens in {summary['seconds']:.0f} s ({summary['forward_seconds']:.0f} s of it "
        f"in the model), {summary['peak_rss_mb'] / 1024:.1f} GiB of memory at most",
        style="dim",
    )
    return lines


def _comparable(entry: Mapping[str, Any]) -> bool:
    return entry["explainer"] != "lookup" and entry["r"] is not None and entry["references"]["lookup"] is not None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _print_files(run: Run, console: Console) -> None:
    for name, what in (("page.html", "page"), ("figure.svg", "figure")):
        if run.has(name):
            console.print(f"{what:7}{run.path / name}", soft_wrap=True)
