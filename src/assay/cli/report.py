"""A run as a table: every explained unit with its scores beside their nulls and references."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import rich.console
from rich.table import Table
from rich.text import Text

from assay.cli.joint import print_joint
from assay.cli.numbers import STYLES, beside, highest, interval_text, score_text, verdict_text
from assay.cli.outputs import output_lines, output_table
from assay.cli.plain import cut as cut
from assay.cli.plain import plain
from assay.cli.screen import screen
from assay.cli.yes_no import yes_no_lines
from assay.core.ids import UnitId
from assay.store.run import Run

HEADINGS = ("unit, explainer", "r", "null", "behaviour", "its null", "noise", "verdict")
RIGHT = ("null", "its null", "noise")
DEPTH = 16  # columns of the bar
LOOKUP = "lookup"
BENCHMARK = "noise_equal_r"
WITH_REASON = ("undecided", "void")


def print_run(run: Run) -> None:
    """Print the table and summary of a run that ``assay explain`` made.

    Raises:
        RunError: the run holds no result, or it is damaged.
    """
    result, console = run.result(), screen()
    console.print(heading(run))
    console.print(result_table(result, run.spec["subject"]["n_layers"], console.width))
    outputs: list[dict[str, Any]] = result.get("outputs") or []
    if outputs:
        console.print(output_table(outputs, console.width))
    for line in _reasons(result["units"]):
        console.print(line, soft_wrap=True)
    for line in yes_no_lines(result["units"]):
        console.print(line, soft_wrap=True)
    console.print(_summary(result, run))
    print_joint(run, result, console)
    if outputs:
        console.print(output_lines(outputs), soft_wrap=True)
    print_files(run, console)


def heading(run: Run) -> Text:
    """Whose run it is."""
    subject, corpus = run.spec["subject"], run.spec["corpus"]
    return Text.assemble(
        (plain(subject["name"]), "bold"),
        f"  {subject['dtype']} on {subject['device']} ({plain(subject['reason'])})",
        f"\n{plain(corpus['name'])}, run {run.id}",
    )


class Group(NamedTuple):
    """One unit's entries, each explainer's, the lookup last. ``lookup`` stands in where that was not run: its r, as
    the first explainer's reference of equal length."""

    unit: str
    entries: list[Mapping[str, Any]]
    lookup: float | None


def group_units(entries: Sequence[Mapping[str, Any]]) -> list[Group]:
    """The entries of a result by unit, in the order of the result."""
    by_unit: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for entry in entries:
        by_unit[entry["unit"]].append(entry)
    groups: list[Group] = []
    for unit, own in by_unit.items():
        own.sort(key=lambda entry: entry["explainer"] == LOOKUP)
        run = own[-1]["explainer"] == LOOKUP
        groups.append(Group(unit, own, None if run else own[0]["references"]["lookup"]))
    return groups


def result_table(result: Mapping[str, Any], n_layers: int, width: int) -> rich.console.Group:
    """The result of ``assay explain``, ``width`` columns wide: for each unit a row an explainer, sentences below."""
    groups = group_units(result["units"])
    unit_width = max(len(group.unit) for group in groups)
    rows = [[_row(entry) for entry in group.entries] for group in groups]
    for group, own in zip(groups, rows, strict=True):
        if group.lookup is not None:
            own.append([Text(f"  {LOOKUP}"), beside(group.lookup), *(Text("") for _ in HEADINGS[2:])])
    cells = [row for own in rows for row in own]
    widths = [max(len(name), *(row[i].cell_len for row in cells)) for i, name in enumerate(HEADINGS)]
    blocks: list[Table | Text] = [_grid(widths, [Text(name, style="bold") for name in HEADINGS], width)]
    blocks.append(Text("─" * width, style="dim"))
    for group, own in zip(groups, rows, strict=True):
        blocks.append(_heading_of(group.unit, n_layers, unit_width))
        blocks += [_grid(widths, row, width) for row in own]
        blocks.append(Text("\n".join(_sentences(group.entries, width)) + "\n"))
    return rich.console.Group(*blocks)


def _row(entry: Mapping[str, Any]) -> list[Text]:
    return [
        Text(f"  {plain(entry['explainer'])}"),
        beside(entry["r"], entry["r_lo"], entry["r_hi"]),
        _null_cell(entry["nulls"]),
        beside(entry["behaviour"], entry["behaviour_lo"], entry["behaviour_hi"]),
        _behaviour_null_cell(entry["behaviour_nulls"]),
        Text(score_text(entry["behaviour_nulls"].get(BENCHMARK)), style="dim"),
        verdict_text(entry["verdict"]),
    ]


def _grid(widths: Sequence[int], cells: Sequence[Text], width: int) -> Table:
    """One row at fixed widths, so that rows stand below each other; what room is left goes between the columns."""
    gap = max(1, min(3, (width - sum(widths)) // len(widths)))
    row = Table.grid(padding=(0, gap, 0, 0))
    for name, columns in zip(HEADINGS, widths, strict=True):
        row.add_column(justify="right" if name in RIGHT else "left", no_wrap=True, width=columns)
    row.add_row(*cells)
    return row


def _null_cell(nulls: Mapping[str, float | None]) -> Text:
    return Text(score_text(highest(nulls)), style="dim")


def _behaviour_null_cell(arms: Mapping[str, float | None]) -> Text:
    """The best of what decides: the arms but for the benchmark, and the unit held at its mean, whose score is 0."""
    deciding = {name: value for name, value in arms.items() if name != BENCHMARK and value is not None}
    return _null_cell(deciding | {"mean": 0.0} if deciding else {})


def _heading_of(unit: str, n_layers: int, width: int) -> Text:
    """The unit's name, and its depth as a bar."""
    layer = UnitId.parse(unit).site.layer
    filled = max(1, round(DEPTH * (layer + 1) / n_layers))
    name = (unit.ljust(width), "bold")
    return Text.assemble(name, "  ", ("━" * filled, "blue"), ("─" * (DEPTH - filled), "dim"))


def _sentences(entries: Sequence[Mapping[str, Any]], width: int) -> list[str]:
    """What each explainer said; the lookup's table is left out beside others."""
    told = [entry for entry in entries if entry["explainer"] != LOOKUP] or entries
    shown: list[str] = []
    for i, entry in enumerate(told):
        said = entry["explanation"] or "nothing that could be used"
        shown.append(cut(said if i == 0 else f"{entry['explainer']}: {said}", width))
    return shown


def _reasons(entries: Sequence[Mapping[str, Any]]) -> list[Text]:
    several = len({entry["explainer"] for entry in entries} - {LOOKUP}) > 1
    units: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for group in group_units(entries):
        for i, entry in enumerate(group.entries):
            if entry["verdict"] in WITH_REASON and (i == 0 or entry["explainer"] != LOOKUP):
                whose = f"{entry['explainer']} " if several else ""
                units[whose, entry["verdict"], entry["reason"]].append(entry["unit"])
    return [
        Text.assemble(plain(whose), (verdict, STYLES[verdict]), f": {plain(reason)} ({_some(names)})")
        for (whose, verdict, reason), names in units.items()
    ]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def also_line(name: str, found: Mapping[str, Any]) -> Text:
    """How the explanations do on other text."""
    line = Text.assemble((f"on {plain(name)}: ", "bold"))
    for i, (explainer, own) in enumerate(found["explainers"].items()):
        drop = f"{score_text(own['drop'])} {interval_text(own['drop_lo'], own['drop_hi'])}".strip()
        line.append("; " if i else "")
        line.append(f"{plain(explainer)} mean r {score_text(own['mean_r'])}, a drop of {drop}")
    return line.append(f"; {found['tokens']:,} tokens, of which nothing was learnt", style="dim")


def _summary(result: Mapping[str, Any], run: Run) -> Text:
    summary, entries = result["summary"], result["units"]
    names = list(dict.fromkeys(entry["explainer"] for entry in entries))
    lines = Text()
    for explainer in [name for name in names if name != LOOKUP] or names:
        own = [entry for entry in entries if entry["explainer"] == explainer]
        lines.append(f"\n{explainer}: ", style="bold")
        lines.append(f"mean r {score_text(_mean([entry['r'] for entry in own]))} over {len(own)} units")
        lines.append(_compared(own))
        counts = Counter(entry["verdict"] for entry in own)
        for i, verdict in enumerate(name for name in STYLES if counts[name]):
            lines.append(", " if i else "\n  ").append(f"{counts[verdict]} ").append(verdict, style=STYLES[verdict])
        if told := summary.get(explainer):
            lines.append(_unscored(told), style="dim")
    for claim in result.get("refused") or ():
        said = f"{claim['where']} ({claim['unit']}): {claim['reason']}"
        lines.append("\nnot tested, ", style="dim").append(plain(said))
    if account := summary.get("judge"):
        lines.append("\n").append(_account(account), style="dim")
    if also := run.spec["corpus"].get("also"):
        lines.append("\n").append(also_line(also["name"], summary["also"]))
    lines.append(
        f"\n{summary['tokens']:,} tokens in {summary['seconds']:.0f} s ({summary['forward_seconds']:.0f} s of it "
        f"in the model), {summary['peak_rss_mb'] / 1024:.1f} GiB of memory at most",
        style="dim",
    )
    return lines


def _compared(own: Sequence[Mapping[str, Any]]) -> str:
    """Beside what the mean r of an explainer stands: others on its tokens, or the lookup of equal length."""
    same = [entry["same_tokens"] for entry in own if entry.get("same_tokens")]
    if same:
        means = {name: _mean([row[name]["r"] for row in same if name in row]) for name in same[0]}
        beside = ", ".join(f"{plain(name)} {score_text(value)}" for name, value in means.items())
        most = max(entry["tokens_scored"] for entry in own)
        return f", on a sample of {most:,} tokens; there {beside}"
    beaten = [entry["r"] > entry["references"]["lookup"] for entry in own if _comparable(entry)]
    return f", above the lookup of equal length for {sum(beaten)} of {len(beaten)}" if beaten else ""


def _unscored(told: Mapping[str, Any]) -> str:
    replies, stretches = (sum(told[f"unscored_{name}"].values()) for name in ("replies", "stretches"))
    units = told["unscored_claims"]
    return f"; unscored: {replies} of {told['replies']} replies, {stretches} stretches of text, {units} units"


def _account(account: Mapping[str, Any]) -> str:
    cost = "" if account["cost"] is None else f", cost {account['cost']:.4g}"
    missing = sum(account["unscored"].values())
    return (
        f"judge: {account['calls']:,} questions asked ({account['retries']:,} repeated), {account['kept']:,} replies "
        f"kept from before, {missing:,} without a reply; {account['prompt_tokens']:,} tokens read and "
        f"{account['reply_tokens']:,} written{cost}"
    )


def _comparable(entry: Mapping[str, Any]) -> bool:
    return entry["explainer"] != "lookup" and entry["r"] is not None and entry["references"]["lookup"] is not None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def print_files(run: Run, console: rich.console.Console) -> None:
    """Say where page and figure are."""
    for name, what in (("page.html", "page"), ("figure.svg", "figure")):
        if run.has(name):
            console.print(f"{what:7}{run.path / name}", soft_wrap=True)
