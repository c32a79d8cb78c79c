"""A run of reports, as tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from assay.cli.lazy import load_object
from assay.cli.numbers import ABSENT, beside, score_text, took
from assay.cli.plain import plain
from assay.cli.screen import screen
from assay.core.ids import UnitId
from assay.errors import UsageError
from assay.store.run import Run

VERB = "report"
_STYLES = {
    "reads": "bold green",
    "recomputes": "cyan",
    "recomputes or infers": "cyan",
    "infers from text": "yellow",
    "fails": "red",
}
_TEXT = ("text", "other_model", "blind", "shuffled")


def is_reports(run: Run) -> bool:
    """Whether the run was made by ``assay report``."""
    return run.spec["verb"] == VERB


def print_reports(run: Run) -> None:
    """Print what ``assay report`` stored.

    Raises:
        RunError: the run holds no result, or it is damaged.
    """
    result, console = run.result(), screen()
    models = ", ".join(plain(name) for name in run.spec["asked"]["models"])
    size = run.spec["resolved"]["size"]
    console.print(
        Text(f"{models}: {size['sentences']:,} sentences to teach on, {size['test']:,} to test, run {run.id}"),
        soft_wrap=True,
    )
    console.print()
    for way in result["k_star"]:
        cells = [cell for cell in result["cells"] if way == _way(cell)]
        console.print(Text(_title(cells[0]), style="bold"), soft_wrap=True)
        console.print(_table(cells))
        console.print(Text(_after(way, result), style="dim"), soft_wrap=True)
        if told := result["summary"].get("also", {}).get(way):
            console.print(Text(_also(plain(run.spec["corpus"]["also"]["name"]), told), style="dim"), soft_wrap=True)
        console.print()
    summary = result["summary"]
    told = ", ".join(f"{count} {word}" for word, count in summary["verdicts"].items())
    console.print(Text(told, style="bold"), soft_wrap=True)
    console.print(Text(f"{summary['arithmetic']}; {took(summary)}", style="dim"), soft_wrap=True)


def of_unit(run: Run, unit: UnitId) -> list[dict[str, Any]]:
    """The cells of one neuron.

    Raises:
        UsageError: nothing was asked about it.
    """
    cells = run.result()["cells"]
    own = [cell for cell in cells if cell["unit"] == str(unit)]
    if not own:
        raise UsageError(f"{run.id} asked nothing about {unit}; it asked about {_some(cell['unit'] for cell in cells)}")
    return own


def _some(units: Iterable[str], most: int = 8) -> str:
    names = list(dict.fromkeys(units))
    return ", ".join(names[:most]) + (f" and {len(names) - most} others" if len(names) > most else "")


def print_reports_unit(run: Run, unit: UnitId) -> None:
    """Print everything that was found of one neuron: each way of asking beside its baselines and controls.

    Raises:
        UsageError: nothing was asked about it.
    """
    console = screen()
    for cell in of_unit(run, unit):
        console.print(Text(f"{unit} ({cell['stratum']}), {_title(cell)}", style="bold"), soft_wrap=True)
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 2), show_header=False)
        table.add_row("bits", beside(cell["bits"], cell["bits_lo"], cell["bits_hi"]))
        for name, value in cell["baselines"].items():
            if value is not None:
                lo, hi = cell["baseline_intervals"].get(name, (None, None))
                table.add_row(f"  {name.replace('_', ' ')}", beside(value, lo, hi))
        for name in ("causal_slope", "optimal_slope", "relative_slope"):
            table.add_row(name.replace("_", " "), beside(cell[name], cell[f"{name}_lo"], cell[f"{name}_hi"]))
        table.add_row("control patches", score_text(cell["specificity"]))
        if (optimal := cell.get("optimal_specificity")) is not None:
            table.add_row("  move the best linear reader by", score_text(optimal))
        if cell["drift"]:
            table.add_row("drift, in its standard deviations", score_text(cell["drift"]))
        console.print(table)
        console.print(
            Text(f"{cell['verdict']}: {cell['reason']}", style=_STYLES.get(cell["verdict"], "")), soft_wrap=True
        )
        console.print()


def recomputed(run: Run) -> list[dict[str, Any]]:
    """Every verdict as it was stored and as it comes out of the stored answers; other numbers that differ with it."""
    rows: list[dict[str, Any]] = []
    for number, (stored, now) in enumerate(load_object("assay.introspect.stored:recompute")(run)):
        how = f"report {stored['topology']} {stored['regime']} {stored['trainable']}"
        differ = [name for name, value in stored.items() if now[name] != value]
        rows.append(
            {"claim": number, "unit": stored["unit"], "explainer": how, "stored": stored["verdict"]}
            | {"recomputed": now["verdict"], "differ": differ}
        )
    return rows


def _way(cell: Mapping[str, Any]) -> str:
    return f"{cell['model']} {cell['topology']} {cell['regime']} {cell['trainable']}"


def _title(cell: Mapping[str, Any]) -> str:
    taught = "its own values" if cell["regime"] == "nat" else f"patched values ({cell['regime']})"
    return f"{plain(cell['model'])}, taught {taught}, topology {cell['topology']}, trained: {cell['trainable']}"


def _table(cells: list[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("neuron", "left", "bits", "others", "probe", "relative slope", "control", "verdict"):
        table.add_column(name, justify="left" if name in ("neuron", "verdict") else "right", no_wrap=name != "verdict")
    for cell in cells:
        told = [cell["baselines"][name] for name in _TEXT if cell["baselines"][name] is not None]
        table.add_row(
            cell["unit"],
            str(cell["layers_left"]),
            beside(cell["bits"], cell["bits_lo"], cell["bits_hi"]),
            score_text(max(told)) if told else ABSENT,
            score_text(cell["baselines"]["probe_after"]),
            _relative(cell),
            score_text(cell["specificity"]),
            Text(cell["verdict"], style=_STYLES.get(cell["verdict"], "")),
        )
    return table


def _relative(cell: Mapping[str, Any]) -> Text | str:
    """A share of nothing is not shown."""
    if cell["verdict"] == "unreadable":
        return ABSENT
    return beside(cell["relative_slope"], cell["relative_slope_lo"], cell["relative_slope_hi"])


def _also(name: str, told: Mapping[str, Any]) -> str:
    """How the same reporters do on other text."""
    scores = [
        f"{what} {score_text(told[f'{key}_there'])} instead of {score_text(told[key])}, a drop of "
        + beside(told[f"{key}_drop"], told[f"{key}_drop_lo"], told[f"{key}_drop_hi"]).plain.strip()
        for key, what in (("bits", "bits"), ("relative_slope", "relative slope"))
        if told[key] is not None
    ]
    return f"on {name}: {'; '.join(scores)} (mean over {told['neurons']} neurons)"


def _after(way: str, result: Mapping[str, Any]) -> str:
    k, counts = result["k_star"][way], result["summary"]["decoded_not_said"][way]
    enough = "no number of layers left tested here is enough" if k is None else f"{k} layers left are enough"
    return (
        f"k*: {enough}; a linear reader sees {counts['readable']} of these neurons, "
        f"{counts['after_plateau']} of them after a plateau, of which {counts['not_read']} are not read"
    )
