"""The page of a run of ``assay related``: what drives a unit, and what it drives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from assay.store.run import Run
from assay.view.evidence import Column, EvidenceRow, Section, Table, as_row, counted, forest, paged
from assay.view.labs.lab import Told, lab_page, number
from assay.view.neighbours import told as tell
from assay.view.opened import Opened
from assay.view.pages import Ask, Page, Site

SIDES = {"upstream": "What drives it", "downstream": "What it drives"}
_ABOVE = {True: "above its nulls", False: "not above its nulls", None: "nothing decided"}
_VERDICTS = {True: "supported", False: "refuted", None: "undecided"}
_COLUMNS = (
    Column("label", "unit", "link"),
    Column("sentence", "explanation", "sentence"),
    Column(
        "value", "effect", "fine", "root mean square of the change, in standard deviations of the unit that changes"
    ),
    Column("interval", "95 % interval", "fine_interval"),
    Column("nulls", "nulls", "fine_named"),
    Column("signed", "signed", "fine", "how far one rises when the other does, in standard deviations of both"),
    Column("strength", "strength", "fine", "of the direct path, by weights alone"),
    Column("net", "net", "fine", "what the weights expect of “signed”"),
    Column("first_order", "first order", "fine", "the effect as derivatives estimate it, upstream only"),
    Column("verdict", "effect is", "verdict"),
    Column("chosen_by", "listed for"),
)
_AGREEMENT = (
    Column("layers", "layers away"),
    Column("neurons", "neurons", "count"),
    Column("strength", "effect by strength", "bounds"),
    Column("strength_null", "null", "score"),
    Column("net", "signed by net", "bounds"),
    Column("net_null", "null", "score"),
    Column("slope", "slope", "bounds"),
)


def related_page(site: Site, opened: Opened, ask: Ask) -> Page:
    """Both sides, each row beside its nulls; what the weights say beside what an ablation does."""
    run, result = opened.run, opened.run.result()
    rows = {side: _rows(site, opened, result[side]) for side in SIDES}
    sections: list[Section] = []
    for side, title in SIDES.items():
        table = paged(_COLUMNS, rows[side], ask.query, 1)
        figure = forest(table.rows, "effect, in standard deviations", zero_name="no effect") if table.rows else None
        sections.append(Section(f"{title} ({side})", _note(side, result[side]), figure, table if table.rows else None))
        sections += _agreement(side, result[side])
    all_rows = [row for own in rows.values() for row in own]
    told = Told(
        f"What stands up- and downstream of {result['unit']}",
        _words(run, result),
        sections,
        counted([(row["verdict"], row["word"]) for row in all_rows]),
    )
    return lab_page(run, ask, told)


def _rows(site: Site, opened: Opened, side: Mapping[str, Any]) -> list[dict[str, Any]]:
    relations = side["relations"]
    known: list[dict[str, Any]] = [{"other": row["unit"]} for row in relations]
    tell(site, opened, known)
    return [as_row(_row(opened.run, row, said)) for row, said in zip(relations, known, strict=True)]


def _row(run: Run, row: Mapping[str, Any], said: Mapping[str, Any]) -> EvidenceRow:
    """One relation. Sentences are those of the runs shown, else those that were stored with the run."""
    stored = row["explanation"] or {}
    more = {name: row.get(name) for name in ("signed", "strength", "net", "first_order")}
    more |= {"chosen_by": ", ".join(row["chosen_by"]), "sentence": said["text"] or stored.get("explanation") or ""}
    first = {"first order": row["first_order"]} if row.get("first_order") is not None else {}
    return EvidenceRow(
        row["unit"],
        "effect",
        "effect",
        row["effect"],
        row["effect_lo"],
        row["effect_hi"],
        nulls=row["nulls"],
        references=first,
        verdict=_VERDICTS[row["beyond"]],
        word=_ABOVE[row["beyond"]],
        reason=row["reason"],
        link=f"/run/{quote(said.get('of_run') or run.id)}/unit/{quote(row['unit'])}",
        more=more,
    )


def _words(run: Run, result: Mapping[str, Any]) -> list[str]:
    summary, said = result["summary"], result["explanation"]
    documents = summary["documents"]
    words = [
        f"Which earlier units drive {result['unit']}, and which later ones does it drive? A unit is held at its mean, "
        "and the change of another one is measured, beside what the weights say of the direct path.",
        f"{number(summary['tokens'])} tokens: who is listed was chosen on {number(documents['fit'])} documents and is "
        f"measured on {number(documents['choose'])} others.",
    ]
    return [f"{result['unit']}: {said['explanation']}", *words] if said else words


def _note(name: str, side: Mapping[str, Any]) -> str:
    """Among how many they were chosen, and what their numbers stand beside."""
    count, usual = side["candidates"], side["effects"]
    told = [f"Chosen among {count['neurons']:,} neurons and {count['heads']:,} heads."]
    if side["note"]:
        told.append(f"{str(side['note']).rstrip('.')}.")
    if usual and usual.get("median") is not None:
        how = "Estimated effect" if name == "upstream" else "Effect"
        told.append(f"{how} of all neurons: median {usual['median']:.3f}, one of 100 is above {usual['q99']:.3f}.")
    for reason in dict.fromkeys(row["reason"] for row in side["relations"] if row["reason"]):
        own = ", ".join(row["unit"] for row in side["relations"] if row["reason"] == reason)
        told.append(f"Not decided: {reason} ({own}).")
    return " ".join(told)


def _agreement(name: str, side: Mapping[str, Any]) -> list[Section]:
    """Whether weights predict effects, by the number of layers between."""
    rows = [row for row in side["agreement"] or [] if row["strength"] is not None or row["net"] is not None]
    if not rows:
        return []
    note = "Rank correlations over all neurons, by the number of layers between; slope 1: the direct path is all."
    return [Section(f"Do weights predict effects? ({name})", note, None, Table(_AGREEMENT, rows, len(rows)))]
