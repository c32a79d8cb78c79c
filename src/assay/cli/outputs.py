"""What units write, as a table below that of their explanations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from assay.cli.numbers import STYLES, beside, highest, score_text, verdict_text
from assay.cli.plain import cut, plain

HEADINGS = ("what it writes", "r", "null", "rise, nats", "its null", "verdict")
RIGHT = ("null", "its null")
NAMES = {"output_tokens": "tokens", "output_rules": "rules"}


def output_table(entries: Sequence[Mapping[str, Any]], width: int) -> Group:
    """For each unit a row a claim, and the sentences below; ``entries`` are ``outputs`` of a result."""
    rows = [_row(entry) for entry in entries]
    widths = [max(len(name), *(row[i].cell_len for row in rows)) for i, name in enumerate(HEADINGS)]
    blocks: list[Table | Text] = [_grid(widths, [Text(name, style="bold") for name in HEADINGS])]
    blocks.append(Text("─" * width, style="dim"))
    by_unit = groupby(zip(entries, rows, strict=True), key=lambda pair: pair[0]["unit"])
    for unit, own in by_unit:
        claims = list(own)
        blocks.append(Text(unit, style="bold"))
        blocks += [_grid(widths, row) for _, row in claims]
        blocks.append(Text("\n".join(cut(entry["explanation"], width) for entry, _ in claims) + "\n"))
    return Group(*blocks)


def _row(entry: Mapping[str, Any]) -> list[Text]:
    return [
        Text(f"  {NAMES.get(entry['explainer'], plain(entry['explainer']))}"),
        beside(entry["r"], entry["r_lo"], entry["r_hi"]),
        Text(score_text(highest(entry["nulls"])), style="dim"),
        beside(entry["rise"], entry["rise_lo"], entry["rise_hi"]),
        Text(score_text(entry["rise_nulls"]["matched_norm"]), style="dim"),
        verdict_text(entry["verdict"]),
    ]


def _grid(widths: Sequence[int], cells: Sequence[Text]) -> Table:
    row = Table.grid(padding=(0, 3, 0, 0))
    for name, columns in zip(HEADINGS, widths, strict=True):
        row.add_column(justify="right" if name in RIGHT else "left", no_wrap=True, width=columns)
    row.add_row(*cells)
    return row


def output_lines(entries: Sequence[Mapping[str, Any]]) -> Text:
    """How the verdicts fell, and why some claims are undecided."""
    lines = Text()
    for form, name in NAMES.items():
        own = [entry for entry in entries if entry["explainer"] == form]
        counts = Counter(entry["verdict"] for entry in own)
        lines.append("\n" if lines else "").append(f"{name} written: ", style="bold")
        for i, verdict in enumerate(verdict for verdict in STYLES if counts[verdict]):
            lines.append(", " if i else "").append(f"{counts[verdict]} ").append(verdict, style=STYLES[verdict])
        open_ = Counter(entry["reason"] for entry in own if entry["verdict"] in ("undecided", "void"))
        for reason, units in open_.most_common():
            lines.append(f"\n  {plain(reason)} ({units} {'units' if units > 1 else 'unit'})", style="dim")
    return lines
