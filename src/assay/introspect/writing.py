"""Everything that a run of reports found, into its directory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from assay.introspect.figure import figure_json, figure_svg
from assay.introspect.page import build_page
from assay.introspect.verdicts import READS
from assay.store import RunWriter

VERSION = 1
_COLUMNS = ("model", "layer", "layers_left", "unit", "stratum", "topology", "regime", "trainable", "sentences")
_SCORES = (
    *("bits", "bits_lo", "bits_hi", "spearman", "r2", "digit_mass", "over_text", "over_text_lo", "over_text_hi"),
    *("gap_closed", "causal_slope", "optimal_slope", "optimal_r2", "relative_slope", "relative_slope_lo"),
    *("relative_slope_hi", "specificity", "optimal_specificity", "gain", "drift"),
)


def write_run(writer: RunWriter, result: dict[str, Any]) -> None:
    """The table of cells, their claims and evidence, the result, the figure and the page."""
    cells: Sequence[Mapping[str, Any]] = result["cells"]
    writer.table("reports", [_row(cell) for cell in cells])
    writer.table("claims", [_claim(number, cell) for number, cell in enumerate(cells)])
    writer.table("evidence", [row for number, cell in enumerate(cells) for row in _evidence(number, cell)])
    writer.result(result)
    writer.file("figure.json", figure_json(result))
    writer.file("figure.svg", figure_svg(result))
    writer.file("page.html", build_page(writer.spec, result))


def _row(cell: Mapping[str, Any]) -> dict[str, Any]:
    row = {name: cell[name] for name in (*_COLUMNS, *_SCORES, "verdict", "reason")}
    return row | {name: value for name, value in cell["baselines"].items()}


def sentence(cell: Mapping[str, Any]) -> str:
    """What is claimed by a cell."""
    return f"Taught to, {cell['model']} can say what {cell['unit']} did at a sentence's full stop."


def _claim(number: int, cell: Mapping[str, Any]) -> dict[str, Any]:
    how = {name: cell[name] for name in _COLUMNS}
    return {
        "claim": number,
        "unit": cell["unit"],
        "explainer": f"report {cell['topology']} {cell['regime']} {cell['trainable']}",
        "version": VERSION,
        "role": "claim",
        "text": sentence(cell),
        "rules": json.dumps({"kind": "report"} | how),
        "lines": "[]",
        "bits": 0.0,
        "calibration": "{}",
        "rival": "",
        "threshold": None,
    }


def _evidence(number: int, cell: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the answers are worth beside what the text alone gives, and how far they follow a patch beside control
    patches."""
    nulls = {name: cell["baselines"][name] for name in ("text", "other_model", "blind", "shuffled")}
    probes = {name: cell["baselines"][name] for name in ("probe_before", "probe_after")}
    rows = [
        (
            "report",
            "bits",
            {k: v for k, v in nulls.items() if v is not None},
            {k: v for k, v in probes.items() if v is not None},
        ),
        (
            "report",
            "relative_slope",
            {"control": cell["specificity"]},
            {name: cell[name] for name in ("optimal_slope", "optimal_specificity")},
        ),
    ]
    return [
        {
            "claim": number,
            "check": check,
            "measure": measure,
            **{name: cell[f"{measure}{end}"] for name, end in (("value", ""), ("lo", "_lo"), ("hi", "_hi"))},
            "n": cell["n"],
            "nulls": json.dumps(nulls),
            "references": json.dumps(references),
            **dict.fromkeys(("d", "d_lo", "d_hi", "p_support", "p_refute")),
            "verdict": None,
            "reason": cell["reason"],
            "unscored": None if cell[measure] is not None else cell["reason"],
            "version": VERSION,
        }
        for check, measure, nulls, references in rows
    ] + [_verdict(number, cell)]


def _verdict(number: int, cell: Mapping[str, Any]) -> dict[str, Any]:
    """The claim that the model says the neuron's value is supported where it reads, and open otherwise."""
    supported = cell["verdict"] == READS
    return {
        "claim": number,
        "check": "claim",
        "measure": "report",
        **dict.fromkeys(("value", "lo", "hi", "d", "d_lo", "d_hi", "p_support", "p_refute", "unscored")),
        "n": cell["n"],
        "nulls": "{}",
        "references": "{}",
        "verdict": "supported" if supported else "undecided" if cell["verdict"] in _OPEN else "refuted",
        "reason": f"{cell['verdict']}: {cell['reason']}",
        "version": VERSION,
    }


_OPEN = ("undecided", "undertrained", "unreadable")
