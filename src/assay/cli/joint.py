"""Joint replacement as a table: a row a site and explainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import rich.console
from rich.table import Table
from rich.text import Text

from assay.cli.numbers import highest, interval_text, score_text
from assay.cli.plain import plain
from assay.store.run import Run


def print_joint(run: Run, result: Mapping[str, Any], console: rich.console.Console) -> None:
    """Print what came of replacing many units at once; nothing where that was not done."""
    entries: Sequence[Mapping[str, Any]] = result.get("joint") or []
    if not entries:
        return
    shares = sorted({entry["share"] for entry in entries})
    console.print(Text("\nall at once: loss recovered, by share of the units that their predictions replace", "bold"))
    console.print(_table(entries, shares))
    for line in _notes(entries, shares[-1]):
        console.print(line, soft_wrap=True)
    if left := run.spec["resolved"]["joint"].get("left_out"):
        more = f" and {len(left) - 4} more" if len(left) > 4 else ""
        why = "heads, directions, and units of a site with too few"
        console.print(Text(f"not replaced: {plain(', '.join(left[:4]))}{more} ({why})", style="dim"), soft_wrap=True)


def _table(entries: Sequence[Mapping[str, Any]], shares: Sequence[float]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("site")
    table.add_column("explainer")
    for share in shares:
        table.add_column(f"{share:.0%}", justify="right", no_wrap=True)
    for name in ("", "null", "noise", "from 0", "KL", "nats"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    rows: dict[tuple[str, str], dict[float, Mapping[str, Any]]] = {}
    for entry in entries:
        rows.setdefault((entry["site"], entry["explainer"]), {})[entry["share"]] = entry
    for (site, explainer), own in rows.items():
        last = own[max(own)]
        table.add_row(
            site,
            plain(explainer),
            *(score_text(own[share]["loss_recovered"]) if share in own else "" for share in shares),
            Text(interval_text(last["lo"], last["hi"]), style="dim"),
            Text(score_text(highest(last["nulls"])), style="dim"),
            Text(score_text(last["noise_equal_r"]), style="dim"),
            score_text(last["recovered_from_zero"]),
            score_text(last["kl"]["recovered"]),
            Text(f"{last['mean_ablation']:.3f}", style="dim"),
        )
    return table


def _notes(entries: Sequence[Mapping[str, Any]], share: float) -> list[Text]:
    last = [entry for entry in entries if entry["share"] == share]
    most = max(last, key=lambda entry: entry["tokens"])
    lines = [
        Text(
            f"interval, null, noise and what follows are of the largest share; noise: the truth plus noise at equal r; "
            f"KL: recovered of the divergence; nats: cost of the units at their means. {most['tokens']:,} positions of "
            f"{most['documents']} documents",
            style="dim",
        )
    ]
    if any(entry["held_at_mean"] for entry in last):
        held = {(entry["site"], entry["explainer"]): entry["held_at_mean"] for entry in last if entry["held_at_mean"]}
        told = ", ".join(f"{count} of {site} by {plain(name)}" for (site, name), count in list(held.items())[:4])
        more = f" and {len(held) - 4} more" if len(held) > 4 else ""
        lines.append(Text(f"held at their means, since nothing is said of them: {told}{more}", style="dim"))
    reasons: dict[str, int] = {}
    for entry in entries:
        if entry["unscored"]:
            reasons[entry["unscored"]] = reasons.get(entry["unscored"], 0) + 1
    lines += [Text(f"{count} of {len(entries)} unscored: {plain(why)}", style="dim") for why, count in reasons.items()]
    return lines
