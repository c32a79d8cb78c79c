"""The page of a run of ``assay report``: can a model say its own activations?"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from assay.errors import UnknownName
from assay.store.run import Run
from assay.view.evidence import (
    EVIDENCE,
    Choice,
    Column,
    EvidenceRow,
    Section,
    Table,
    as_row,
    chosen,
    counted,
    forest,
    paged,
)
from assay.view.labs.lab import Told, lab_page, listed, number
from assay.view.opened import Opened
from assay.view.pages import Ask, Page

MEASURES = {
    "bits": "Bits of the answer about the neuron’s decile (at most 3.32)",
    "relative_slope": "How far the answer follows a patch, as a share of the best linear reader",
    "causal_slope": "How far the answer follows a patch",
}
_TEXT = ("text", "other_model", "blind", "shuffled")
_PROBES = ("probe_before", "probe_after")
UNREADABLE = "unreadable"
_GLOSSES = {
    "reads": "least relative slope of whoever reads",
    "near_zero": "greatest upper bound of the relative slope of whoever does not",
    "readable": "least R² of the best linear reader; below it nobody could read the patch",
    "plateau": "greatest gain in bits over the last doubling of the sentences that counts as none",
    "steps": "fewest steps of training after which a plateau means anything",
    "control": "quantile of the control patches’ slopes that a slope must exceed",
    "related": "least rank correlation, beyond a reporter of shuffled numbers, of whoever learnt something",
}
_COLUMNS = (Column("label", "neuron", "link"), Column("layers_left", "layers left", "count"), *EVIDENCE)


def report_page(opened: Opened, ask: Ask) -> Page:
    """Every cell: what the answer says of the neuron, beside what the text alone gives, or how it follows a patch."""
    run, result = opened.run, opened.run.result()
    cells, measure = result["cells"], chosen(ask.query, "measure", list(MEASURES))
    ways = list(dict.fromkeys(way_of(cell) for cell in cells))
    way = ask.query.get("way", "")
    if way and way not in ways:
        raise UnknownName("way", way, ways)
    numbered = [(at, cell) for at, cell in enumerate(cells) if not way or way_of(cell) == way]
    numbered.sort(key=lambda one: ways.index(way_of(one[1])))
    rows = [as_row(cell_row(run, at, cell, measure)) for at, cell in numbered]
    table = paged(_COLUMNS, rows, ask.query, ask.number("page", int, 1, 1_000_000) or 1)
    figure = forest(
        table.rows,
        "bits" if measure == "bits" else measure.replace("_", " "),
        zero_name="chance" if measure == "bits" else "not followed",
    )
    choices = [Choice("measure", "score", [(name, name.replace("_", " ")) for name in MEASURES], measure)]
    if len(ways) > 1:
        choices.append(Choice("way", "asked", [("", "every way"), *((one, one) for one in ways)], way))
    verdicts = stored_verdicts(run)
    told = Told(
        f"Can {listed(run.spec['asked']['models'])} say {_its(run)} own activations?",
        _words(run, result),
        [Section(MEASURES[measure], _note(measure), figure, table), _thresholds_reached(result)],
        counted([(verdicts.get(at, ""), cell["verdict"]) for at, cell in enumerate(cells)]),
        [(name, value, _GLOSSES.get(name, "")) for name, value in run.spec["resolved"]["thresholds"].items()],
        choices,
    )
    return lab_page(run, ask, told)


def _its(run: Run) -> str:
    return "its" if len(run.spec["asked"]["models"]) == 1 else "their"


def way_of(cell: Mapping[str, Any]) -> str:
    """How a cell was asked and taught, as the run's result names it."""
    return f"{cell['model']} {cell['topology']} {cell['regime']} {cell['trainable']}"


@lru_cache(maxsize=32)
def stored_verdicts(run: Run) -> dict[int, str]:
    """The store's verdict of each cell, by its number."""
    rows = run.rows("evidence") if run.has("evidence.parquet") else []
    return {row["claim"]: row["verdict"] or "" for row in rows if row["check"] == "claim"}


def cell_row(run: Run, at: int, cell: Mapping[str, Any], measure: str) -> EvidenceRow:
    """One measure of a cell. Nulls of bits are who knows the text alone; those of slopes are the control patches."""
    value, lo, hi = (cell[f"{measure}{end}"] for end in ("", "_lo", "_hi"))
    unscored = ""
    if cell["verdict"] == UNREADABLE and measure == "relative_slope":
        value, lo, hi, unscored = None, None, None, "a share of nothing: " + cell["reason"]
    nulls, references = beside(cell, measure) if value is not None else ({}, {})
    return EvidenceRow(
        cell["unit"],
        "report",
        measure,
        value,
        lo,
        hi,
        cell["n"],
        nulls,
        references,
        verdict=stored_verdicts(run).get(at, ""),
        word=cell["verdict"],
        reason=cell["reason"],
        unscored=unscored or ("" if value is not None else cell["reason"]),
        group=_short(run, cell),
        link=f"/run/{quote(run.id)}/claim/{at}",
        more={"layers_left": cell["layers_left"]},
    )


def beside(cell: Mapping[str, Any], measure: str) -> tuple[dict[str, float | None], dict[str, float | None]]:
    """Nulls and references of a measure of a cell."""
    told: Mapping[str, float | None] = cell["baselines"]
    if measure == "bits":
        nulls, probes = ({name: told.get(name) for name in names} for names in (_TEXT, _PROBES))
        return nulls, probes
    control, optimum = cell["specificity"], cell["optimal_slope"]
    if measure == "causal_slope":
        best = {"best linear reader": optimum, "control patches of that reader": cell.get("optimal_specificity")}
        return {"control patches": control}, best
    share = control / optimum if control is not None and optimum else None
    return {"control patches, as a share": share}, {}


def title_of(cell: Mapping[str, Any]) -> str:
    taught = "its own values" if cell["regime"] == "nat" else f"patched values ({cell['regime']})"
    return f"{cell['model']}, taught {taught}, topology {cell['topology']}, trained: {cell['trainable']}"


def _short(run: Run, cell: Mapping[str, Any]) -> str:
    """The same in a few letters; the model's name where there are several."""
    taught = "own values" if cell["regime"] == "nat" else f"patched values, {cell['regime']}"
    model = f"{cell['model']}: " if len(run.spec["asked"]["models"]) > 1 else ""
    return f"{model}{taught}, {cell['topology']}, {cell['trainable']}"


def _note(measure: str) -> str:
    if measure == "bits":
        return (
            "Nulls are who knows the text alone: the best regression on words, another model taught the same numbers, "
            "a reporter that can’t see the full stop, and one taught the numbers of other sentences. References are "
            "linear probes of the residual before and after the neuron."
        )
    return (
        "The neuron’s value is patched at the full stop and nothing else is. The null is what 95 of 100 control "
        "patches, as long but not of this neuron, stay below. Who answers from the text alone has 0 exactly."
    )


def _words(run: Run, result: Mapping[str, Any]) -> list[str]:
    spec, summary = run.spec, result["summary"]
    asked, size = spec["asked"], spec["resolved"]["size"]
    layers = spec["resolved"]["layers"]
    where = [f"{model}: layers {listed(own, 12)}" for model, own in layers.items()] if layers else []
    words = [
        f"After a sentence that ends in a full stop the model is asked for the decile of what a neuron did there. "
        f"Taught on {number(size['sentences'])} sentences, tested on {number(size['test'])} of other documents; "
        f"regimes {listed(asked['regimes'])}, topologies {listed(asked['topologies'])}, "
        f"trained: {listed(asked['trainable'])}.",
    ]
    words += [f"Asked about neurons of {'; '.join(where)}."] if where else []
    units = len({(cell["model"], cell["unit"]) for cell in result["cells"]})
    words.append(f"{number(len(result['cells']))} cells of {number(units)} neurons. {_sentence(summary)}".strip())
    return words


def _sentence(summary: Mapping[str, Any]) -> str:
    said = summary.get("arithmetic") or ""
    return f"{said[:1].upper()}{said[1:]}." if said else ""


def _thresholds_reached(result: Mapping[str, Any]) -> Section:
    """How many layers must be left above a neuron before the median one is read, and what is decoded but not said."""
    columns = (
        Column("way", "asked, taught, trained"),
        Column("k", "layers that must be left (k*)"),
        Column("readable", "readable neurons", "count"),
        Column("after_plateau", "after a plateau", "count"),
        Column("not_read", "of these not read", "count"),
    )
    rows: list[Mapping[str, Any]] = []
    for way, k in result["k_star"].items():
        own = result["summary"]["decoded_not_said"][way]
        rows.append({"way": way, "k": "none is enough" if k is None else str(k), **own})
    note = "A linear reader sees a readable neuron’s value; whether the trained model says it is another matter."
    return Section("Decoded, and said?", note, None, Table(columns, rows, len(rows)))
