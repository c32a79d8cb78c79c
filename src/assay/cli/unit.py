"""One unit of a run: what was said of it, how that was tested, and where the unit fires most."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from assay.cli.numbers import interval_text, listed, score_text, verdict_text
from assay.cli.plain import plain
from assay.cli.screen import screen
from assay.core.ids import UnitId
from assay.errors import RunError, UnknownName
from assay.store.run import Run

SHOWN = 5  # excerpts a side
BEFORE, AFTER = 18, 8  # tokens around the peak
PAPER = (255, 255, 255)
INKS = {"top": (46, 139, 87), "bottom": (178, 84, 168)}


def unit_record(run: Run, unit: UnitId) -> dict[str, Any]:
    """All that a run holds of one target unit, ready for JSON.

    Raises:
        UnknownName: the run did not explain this unit.
        RunError: a file of the run is missing or damaged.
    """
    units = run.table("units")
    targets = units.filter(pc.equal(units["role"], "target"))
    names: list[str] = targets["unit"].to_pylist()
    if str(unit) not in names:
        raise UnknownName("unit", str(unit), names, hint=f"(explained in run {run.id})")
    position = names.index(str(unit))
    own = run.table("claims")
    own = own.filter(pc.and_(pc.equal(own["unit"], str(unit)), pc.equal(own["role"], "claim")))
    evidence = run.table("evidence")
    tests = evidence.filter(pc.is_in(evidence["claim"], value_set=own["claim"].combine_chunks())).to_pylist()
    claims = [_claim(row, [item for item in tests if item["claim"] == row["claim"]]) for row in own.to_pylist()]
    tensors, place = "exemplars", position
    if isinstance(unit.index, int) and run.has(f"tensors/exemplars-{unit.site}.safetensors"):  # a run of whole layers
        tensors, place = f"exemplars-{unit.site}", unit.index
    return {
        "run": str(run.path),
        "unit": targets.slice(position, 1).to_pylist()[0],
        "claims": claims,
        "exemplars": {side: _exemplars(run, tensors, place, side) for side in ("top", "bottom")},
    }


def _claim(row: Mapping[str, Any], evidence: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    parsed = {name: json.loads(row[name]) for name in ("rules", "lines", "calibration")}
    tests = [
        {**item, "nulls": json.loads(item["nulls"]), "references": json.loads(item["references"])} for item in evidence
    ]
    overall = next((item for item in tests if item["check"] == "claim"), None)
    return {
        **row,
        **parsed,
        "evidence": [item for item in tests if item["check"] != "claim"],
        "verdict": overall["verdict"] if overall else None,
        "reason": overall["reason"] if overall else "",
    }


def _exemplars(run: Run, tensors: str, position: int, side: str) -> list[dict[str, Any]]:
    words = dict(zip(*(run.table("tokens").column(name).to_pylist() for name in ("id", "text")), strict=True))
    ids, activations, documents = (
        run.tensor(tensors, f"{side}_{part}")[position] for part in ("ids", "activations", "documents")
    )
    found: list[dict[str, Any]] = []
    for row, values, document in zip(ids, activations, documents, strict=True):
        real = row >= 0
        if not real.any():
            continue
        unknown = set(row[real].tolist()) - set(words)
        if unknown:
            raise RunError(f"{run.path} has no text for token {min(unknown)}; tokens.parquet and its tensors disagree")
        kept = values[real]
        peak = int(np.argmax(kept) if side == "top" else np.argmin(kept))
        found.append(
            {
                "document": int(document),
                "peak": peak,
                "tokens": [words[int(token)] for token in row[real]],
                "activations": [float(value) for value in kept],
            }
        )
    return found


def print_unit(record: Mapping[str, Any], run: Run) -> None:
    """Print what :func:`unit_record` gathered."""
    console, unit = screen(), record["unit"]
    n_layers, name = run.spec["subject"]["n_layers"], plain(run.spec["subject"]["name"])
    console.print(Text.assemble((unit["unit"], "bold"), f"  of layers 0 to {n_layers - 1}, {name}, run {run.id}"))
    console.print(
        f"mean {unit['mean']:.3g}, sd {unit['sd']:.3g}, skew {unit['skew']:.2g}, from {unit['min']:.3g} to "
        f"{unit['max']:.3g}; 99th percentile {unit['q99']:.3g}; above 0 on {unit['firing_rate']:.1%} of "
        f"{unit['count']:,} tokens",
        style="dim",
    )
    for claim in record["claims"]:
        _print_claim(console, claim)
    for side, title in (("top", "where it fires most"), ("bottom", "where it is lowest")):
        _print_exemplars(console, record["exemplars"][side][:SHOWN], side, title)


def _calibration(line: Mapping[str, Any]) -> str:
    if "knots" in line:
        return f"monotone, {len(line['knots'])} knots from {line['values'][0]:.3g} to {line['values'][-1]:.3g}"
    return ", ".join(f"{name} {value:.3g}" for name, value in line.items())


def _print_claim(console: Console, claim: Mapping[str, Any]) -> None:
    console.print()
    verdict = verdict_text(claim["verdict"])
    reason = f": {plain(claim['reason'])}" if claim["reason"] else ""
    heading = f"{plain(claim['explainer'])}, version {claim['version']}  "
    console.print(Text.assemble((heading, "bold"), verdict, reason))
    said = plain(claim["text"]) or "nothing that could be used"
    console.print(Padding(Text(said, style="italic"), (0, 0, 0, 2), expand=False))
    for line in claim["lines"]:
        console.print(Padding(Text(plain(line)), (0, 0, 0, 4), expand=False))
    terms = _calibration(claim["calibration"])
    source = _source(claim["rules"])
    below = f"{source}{claim['bits']:.0f} bits; {terms if 'dose' in claim['calibration'] else f'calibration {terms}'}"
    console.print(Padding(Text(below, style="dim"), (0, 0, 0, 2), expand=False))
    if claim["evidence"]:
        console.print(Padding(_evidence_table(claim["evidence"]), (0, 0, 0, 2), expand=False))


def _source(explanation: Mapping[str, Any]) -> str:
    """Who wrote a sentence and with which prompts; nothing for what a judge did not write."""
    prompts: list[str] = explanation.get("prompts", [])
    return f"written by {plain(explanation['judge'])} with {plain(', '.join(prompts))}; " if prompts else ""


def _evidence_table(evidence: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("measure", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("interval", no_wrap=True)
    table.add_column("nulls")
    table.add_column("references")
    table.add_column("verdict", no_wrap=True)
    for item in evidence:
        value = Text(score_text(item["value"]), style="bold")
        interval: str | Text = interval_text(item["lo"], item["hi"])
        if item["unscored"] is not None:
            value, interval = Text("unscored", style="yellow"), Text(plain(item["unscored"]), style="yellow")
        verdict = verdict_text(item["verdict"]) if item["verdict"] else Text("")
        nulls, references = listed(item["nulls"]), listed(item["references"])
        table.add_row(plain(item["measure"]), value, interval, plain(nulls), plain(references), verdict)
    return table


def _print_exemplars(console: Console, exemplars: Sequence[Mapping[str, Any]], side: str, title: str) -> None:
    if not exemplars:
        return
    console.print()
    console.print(title, style="bold")
    scale = max(abs(value) for item in exemplars for value in item["activations"]) or 1.0
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(justify="right", style="dim", no_wrap=True, min_width=8)
    table.add_column(overflow="fold")
    for item in exemplars:
        table.add_row(f"{item['activations'][item['peak']]:.3g}", highlighted(item, scale, side))
    console.print(table)


def highlighted(exemplar: Mapping[str, Any], scale: float, side: str) -> Text:
    """The tokens around an exemplar's peak, shaded by activation over ``scale``, the peak between ‹ and ›.

    ``side`` is "top", where high activations are shaded, or "bottom", where low ones are.
    """
    tokens, values, peak = exemplar["tokens"], exemplar["activations"], exemplar["peak"]
    first, last = max(0, peak - BEFORE), min(len(tokens), peak + AFTER + 1)
    text = Text("…" if first else "", style="")
    for i in range(first, last):
        word = plain(tokens[i])
        strength = min(1.0, max(0.0, (values[i] if side == "top" else -values[i]) / scale))
        style = _shade(strength, INKS[side])
        text.append(f"‹{word}›" if i == peak else word, style=style)
    return text.append("…" if last < len(tokens) else "")


def _shade(strength: float, ink: tuple[int, int, int]) -> str:
    if strength < 0.1:
        return ""
    red, green, blue = (round(paper + (colour - paper) * strength) for paper, colour in zip(PAPER, ink, strict=True))
    return f"black on rgb({red},{green},{blue})"
