"""The page of a run of ``assay probe``, ``erase`` or ``steer``: what was found, each finding beside its nulls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from assay.errors import UnknownName
from assay.referee.verdict import LEVEL, MARGIN
from assay.store.run import Run
from assay.view.evidence import EVIDENCE, Choice, Column, EvidenceRow, Section, Table, as_row, counted, forest, paged
from assay.view.labs.lab import Told, lab_page
from assay.view.opened import Opened
from assay.view.pages import Ask, Page

VERBS = ("probe", "erase", "steer")
STEER = "steer"
_BY_KEY = {column.key: column for column in EVIDENCE}
_ORDER = ("verdict", "value", "interval", "nulls", "references", "n", "reason")
_COLUMNS = (
    Column("label", "claim", "link"),
    *(_BY_KEY[key] for key in _ORDER),
    Column("published", "published"),
)
_ONE = (Column("label", "score"), *EVIDENCE)
_MEANINGS = {
    "supported": "the score’s lower bound is above its strongest null",
    "refuted": "its upper bound is not",
    "undecided": "the data can’t carry a verdict",
    "void": "{controls} pass too often",
}
_MARGIN = "how far a score’s lower bound must lie above its best null, and below which it is refuted"
_NATS = "; of a rise of log odds 0.2 nats"  # whose range is 10 nats
_LEVEL = "of Benjamini and Hochberg’s procedure over the findings of the run"


def concept_page(opened: Opened, ask: Ask) -> Page:
    """Every finding as a forest and a table, then the tables of the experiment."""
    run, result = opened.run, opened.run.result()
    measures = list(dict.fromkeys(one["measure"] for one in result["findings"]))
    measure = ask.query.get("measure", "")
    if measure and measure not in measures:
        raise UnknownName("measure", measure, measures)
    rows = [
        as_row(finding_row(run, at, one))
        for at, one in enumerate(result["findings"])
        if not measure or one["measure"] == measure
    ]
    table = paged(_COLUMNS, rows, ask.query, ask.number("page", int, 1, 1_000_000) or 1)
    drawn = [row for row in table.rows if row["measure"] == table.rows[0]["measure"]] if table.rows else []
    figure = forest(_shortly(drawn), drawn[0]["measure"]) if drawn else None
    note = "" if len(drawn) == len(table.rows) else "The forest shows the first measure; choose another above."
    choices = [Choice("measure", "score", [("", "every score"), *((one, one) for one in measures)], measure)]
    told = Told(
        result["title"],
        [result["question"], *result["notes"], _controls(run, result["summary"])],
        [Section("Findings", note, figure, table), *(_table(one) for one in result["tables"])],
        counted([(one["verdict"] or "", _word(one)) for one in result["findings"]]),
        _thresholds(run),
        choices if len(measures) > 1 else (),
    )
    return _explained(run, lab_page(run, ask, told))


def _shortly(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Without what all claims say alike behind a colon: a narrow figure has no room for it."""
    heads, _, ends = zip(*(row["label"].rpartition(": ") for row in rows), strict=True)
    if len(rows) < 2 or len(set(ends)) > 1 or "" in heads:
        return list(rows)
    return [{**row, "label": head} for row, head in zip(rows, heads, strict=True)]


def _explained(run: Run, page: Page) -> Page:
    """With what verdicts mean here."""
    words = {one["word"] for one in page.data["counts"]}
    meanings = {word: meaning.format(controls=_posing(run)) for word, meaning in _MEANINGS.items() if word in words}
    return page._replace(data={**page.data, "meanings": meanings})


def _posing(run: Run) -> str:
    """What poses as a claim in such a run."""
    return "placebos" if run.spec["verb"] == STEER else "random probes"


def _thresholds(run: Run) -> tuple[tuple[str, float, str], ...]:
    margin = _MARGIN + _NATS * (run.spec["verb"] == STEER)
    return ("margin", MARGIN, margin), ("level", LEVEL, _LEVEL)


def _word(one: Mapping[str, Any]) -> str:
    return one["verdict"] or ("unscored" if one["unscored"] else "described")


def finding_row(run: Run, at: int, one: Mapping[str, Any]) -> EvidenceRow:
    """One finding of a run."""
    return EvidenceRow(
        one["claim"],
        "concept",
        one["measure"],
        *(one[name] for name in ("value", "lo", "hi", "n", "nulls", "references")),
        claim=one["claim"],
        verdict=one["verdict"] or "",
        word=_word(one),
        reason=one["reason"],
        unscored=one["unscored"] or "",
        link=f"/run/{quote(run.id)}/claim/{at}",
        more={"published": one["published"] or None},
    )


def finding_page(opened: Opened, ask: Ask, at: int) -> Page:
    """One finding: its score, nulls and references, and what others published.

    Raises:
        UnknownName: there is no finding of this number.
    """
    run, findings = opened.run, opened.run.result()["findings"]
    if not 0 <= at < len(findings):
        raise UnknownName("claim", str(at) if at >= 0 else "of that name", [f"0 to {len(findings) - 1}"])
    one = findings[at]
    row = as_row(finding_row(run, at, one)._replace(label=one["measure"], link=""))
    words = [
        f"{one['reason'][:1].upper()}{one['reason'][1:]}.",
        *([f"Published: {one['published']}."] * bool(one["published"])),
    ]
    told = Told(
        one["claim"],
        words,
        [Section("Evidence", "", forest([row], one["measure"]), Table(_ONE, [row], 1))],
        [{"verdict": one["verdict"] or "", "word": _word(one), "count": None}],
        _thresholds(run),
    )
    return _explained(run, lab_page(run, ask, told, f"/claim/{at}"))


def _controls(run: Run, summary: Mapping[str, Any]) -> str:
    controls = summary["controls"]
    if not controls["n"]:
        return ""
    return f"Of {controls['n']} {_posing(run)} that posed as claims {controls['passed']} passed."


def _table(table: Mapping[str, Any]) -> Section:
    """A table as the experiment stored it: scores with two decimals, whole numbers as counts, text as it is."""
    names: Sequence[str] = table["columns"]
    keys = [f"c{place}" for place in range(len(names))]
    kinds = [_kind([row[place] for row in table["rows"]], place) for place in range(len(names))]
    columns = [Column(key, name, kind) for key, name, kind in zip(keys, names, kinds, strict=True)]
    rows = [dict(zip(keys, row, strict=True)) for row in table["rows"]]
    return Section(table["title"], "", None, Table(columns, rows, len(rows)))


def _kind(values: Sequence[Any], place: int) -> str:
    known = [value for value in values if value is not None]
    if place == 0 or not known or any(isinstance(value, str | bool) for value in known):
        return "text"
    return "count" if all(isinstance(value, int) for value in known) else "score"
