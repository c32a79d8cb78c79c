"""The page of one cell of a run of ``assay report``: one neuron, asked about in one way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assay.errors import UnknownName
from assay.view.evidence import EVIDENCE, Column, EvidenceRow, Section, Table, as_row, forest
from assay.view.labs.lab import Told, lab_page, number
from assay.view.labs.report import MEASURES, UNREADABLE, beside, stored_verdicts, title_of
from assay.view.opened import Opened
from assay.view.pages import Ask, Page


def cell_page(opened: Opened, ask: Ask, at: int) -> Page:
    """One cell: every score of one neuron asked about in one way.

    Raises:
        UnknownName: there is no cell of this number.
    """
    run, cells = opened.run, opened.run.result()["cells"]
    if not 0 <= at < len(cells):
        raise UnknownName("claim", str(at) if at >= 0 else "of that name", [f"0 to {len(cells) - 1}"])
    cell = cells[at]
    sections = [_part(cell, title, names) for title, names in _PARTS.items()]
    sections.append(_regimes(cell))
    told = Told(
        f"Can {cell['model']} say what {cell['unit']} did?",
        [
            f"The claim: taught on {number(cell['sentences'])} sentences, {cell['model']} can say what {cell['unit']} "
            f"did at a sentence’s full stop. {cell['layers_left']} layers are left above the neuron.",
            f"{cell['reason'][:1].upper()}{cell['reason'][1:]}.",
        ],
        sections,
        [{"verdict": stored_verdicts(run).get(at, ""), "word": cell["verdict"], "count": None}],
    )
    page = lab_page(run, ask, told, f"/claim/{at}")
    about = {"unit": cell["unit"], "explainer": title_of(cell), "number": at, "rival": ""}
    return page._replace(data={**page.data, "claim": about})


_NAMES = {"r2": "R²", "spearman": "rank correlation", "over_text": "bits above who knows the text alone"}
_PARTS: Mapping[str, Sequence[str]] = {
    "Bits": ("bits", "over_text"),
    "Does the answer follow a patch?": ("causal_slope", "optimal_slope"),
    "Shares and correlations": ("relative_slope", "gap_closed", "spearman", "r2"),
}
_CELL = (Column("label", "score"), *EVIDENCE[:5])


def _part(cell: Mapping[str, Any], title: str, names: Sequence[str]) -> Section:
    rows: list[Mapping[str, Any]] = []
    for name in names:
        value, lo, hi = (cell.get(f"{name}{end}") for end in ("", "_lo", "_hi"))
        if value is None or (cell["verdict"] == UNREADABLE and name == "relative_slope"):
            continue
        nulls, references = beside(cell, name) if name in MEASURES else ({}, {})
        label = _NAMES.get(name, name.replace("_", " "))
        rows.append(as_row(EvidenceRow(label, "report", name, value, lo, hi, cell["n"], nulls, references)))
    return Section(title, "", forest(rows, title.lower().rstrip("?")), Table(_CELL, rows, len(rows)))


def _regimes(cell: Mapping[str, Any]) -> Section:
    """The same reporter in regimes that it was not taught."""
    rows: list[Mapping[str, Any]] = [
        as_row(EvidenceRow(name, "report", "bits", told["bits"], told["bits_lo"], told["bits_hi"], cell["n"]))
        for name, told in cell["tests"].items()
    ]
    note = "Bits of the same reporter where it was not taught. Who reads, reads patched values too."
    return Section(
        "In other regimes", note, forest(rows, "bits", zero_name="chance"), Table(_CELL[:4], rows, len(rows))
    )
