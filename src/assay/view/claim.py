"""Claims of `assay explain` and `assay check` with all their evidence: one claim, or one measure of many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from assay.errors import UnknownName, UsageError
from assay.explain.names import OUTPUTS
from assay.explain.page_views import measured
from assay.referee.verdict import LEVEL, MARGIN
from assay.store import claims as stored
from assay.view.evidence import (
    EVIDENCE,
    PER_PAGE,
    Choice,
    Column,
    EvidenceRow,
    Section,
    Table,
    as_row,
    chosen,
    forest,
)
from assay.view.labs import lab_of
from assay.view.labs.concept import VERBS as CONCEPTS
from assay.view.labs.concept import finding_page
from assay.view.labs.lab import Told, command, lab_page, stored_files
from assay.view.labs.report_cell import cell_page
from assay.view.opened import Opened
from assay.view.pages import Ask, Page, Site

CHECKS = {
    "prediction": "Does it predict the unit?",
    "behaviour": "Does it keep what the unit does?",
    "effect": "Does the unit write what is claimed?",
    "other_text": "On other text",
    "detection": "Told by yes and no",
    "fuzzing": "Told by yes and no",
    "description": "Beside, deciding nothing",
}
OFF_SCALE = ("rank", "rise", "effect", "noise", "dose", "half_dose")
"""Measures that are no share or correlation: shown in tables, not on the axis of the others."""
_HERE = 2_000  # claims up to which a page sorts by what is no column of the index
_ONE = (Column("label", "score", gloss="as in docs/explain.md"), *EVIDENCE)
_MANY = (Column("label", "unit", "link"), Column("claim", "explanation", "sentence"), *EVIDENCE)
_THRESHOLDS = (
    ("margin", MARGIN, "how far a score’s lower bound must lie above its best null, and below which it is refuted"),
    ("level", LEVEL, "of Benjamini and Hochberg’s procedure over the claims of the run, and of the controls"),
)


def claim_page(site: Site, ask: Ask) -> Page:
    """One claim: what it says, its verdict, and a forest of its scores, each beside its nulls and references."""
    opened = site.shelf.open(ask.path["run"])
    text = ask.path["number"]
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1
    if opened.run.spec["verb"] == "report":
        return cell_page(opened, ask, number)
    if opened.run.spec["verb"] in CONCEPTS:
        return finding_page(opened, ask, number)
    claim = stored.claim_row(opened.index.path, number)
    if claim is None:
        raise UnknownName("claim", text[:40], [_known(opened)])
    detail = claim["detail"]
    rows = [evidence_row(test) for test in detail["evidence"] if test["check"] != "claim"]
    sections = [_evidence(rows), *_lines(claim)]
    unit = claim["unit"]
    told = Told(
        claim["text"] or "nothing that could be used",
        [f"{claim['reason'][:1].upper()}{claim['reason'][1:]}."] if claim["reason"] else [],
        sections,
        [{"verdict": claim["verdict"], "word": claim["verdict"], "count": None}],
        _THRESHOLDS,
    )
    page = lab_page(opened.run, ask, told, f"/claim/{number}")
    about = {"unit": unit, "explainer": claim["explainer"], "number": number, "rival": detail["rival"]}
    return page._replace(data={**page.data, "claim": about})


def _known(opened: Opened) -> str:
    """Where the run's claims are numbered from and to, controls and claims about other units among them."""
    last = opened.run.table_length("claims") - 1
    return f"0 to {last}, but for controls" if last >= 0 else "none"


def evidence_row(test: Mapping[str, Any], **about: Any) -> EvidenceRow:
    """A row of the evidence of a claim, as the index keeps it: what is empty is left out there."""
    read = {"nulls": {}, "references": {}, "value": None, "lo": None, "hi": None, "unscored": ""} | dict(test)
    return EvidenceRow(
        **{
            "label": measured(read).name,
            "check": test["check"],
            "measure": test["measure"],
            **{name: read[name] for name in ("value", "lo", "hi", "nulls", "references")},
            "n": test.get("n"),
            "verdict": test.get("verdict") or "",
            "word": test.get("verdict") or "",
            "reason": test.get("reason") or "",
            "unscored": read["unscored"] or "",
            "group": CHECKS.get(test["check"], test["check"]),
            **about,
        }
    )


def _evidence(rows: Sequence[EvidenceRow]) -> Section:
    """All scores of a claim by the question that they answer, those that decide first."""
    order = list(CHECKS.values())
    shown = [as_row(row) for row in rows]
    shown.sort(key=lambda row: order.index(row["group"]) if row["group"] in order else len(order))
    drawn = [row for row in shown if row["measure"] not in OFF_SCALE]
    return Section("Evidence", "", forest(drawn, "score"), Table(_ONE, shown, len(shown)))


def _lines(claim: Mapping[str, Any]) -> list[Section]:
    """The claim as it can be executed, or the sentences that it was chosen from."""
    detail = claim["detail"]
    if not detail["lines"]:
        return []
    prose = bool(detail["rules"].get("prompts"))
    name = "The replies it was taken from" if prose else "The claim, executable"
    lines = [{"line": f"−{line[1:]}" if line.startswith("-") and not prose else line} for line in detail["lines"]]
    table = Table((Column("line", "sentence" if prose else "value and condition"),), lines, len(lines))
    return [Section(f"{name} ({claim['bits']:,.0f} bits)", "", None, table)]


def evidence_page(site: Site, ask: Ask) -> Page:
    """One measure of all claims of an explainer, 60 a page, as a forest and as a table."""
    opened = site.shelf.open(ask.path["run"])
    explainers = opened.index.explainers()
    if not explainers:
        return lab_of(site, opened, ask)
    explainer = chosen(ask.query, "explainer", explainers)
    measures = stored.measures(opened.index.path, explainer)
    measure = chosen(ask.query, "measure", measures)
    table, rows = _listed(opened, ask, explainer, measure)
    figure = None if measure in OFF_SCALE else forest(rows, measure.replace("_", " "))
    name = measured(
        {
            "measure": measure,
            "check": "",
            **dict.fromkeys(("value", "lo", "hi", "unscored")),
            "nulls": {},
            "references": {},
        }
    )
    choices = [
        Choice("explainer", "explainer", [(one, one) for one in explainers], explainer),
        Choice("measure", "score", [(one, one.replace("_", " ")) for one in measures], measure),
    ]
    gloss = f"{name.gloss[:1].upper()}{name.gloss[1:]}." if name.gloss else ""
    told = Told(
        f"{name.name} of claims by {explainer}",
        [f"{table.total:,} claims of {opened.run.spec['subject']['name']}. {gloss}".strip()],
        [Section("", "", figure, table)],
        _counts(opened, explainer),
        _THRESHOLDS,
        choices,
    )
    return lab_page(opened.run, ask, told, "/evidence")


def _listed(opened: Opened, ask: Ask, explainer: str, measure: str) -> tuple[Table, list[dict[str, Any]]]:
    """A page of the list. What is no column of the index is sorted by here, as long as the claims are few."""
    page = ask.number("page", int, 1, 1_000_000) or 1
    sort = ask.query.get("sort") or "label"
    down = ask.query.get("order", "down" if sort == "value" else "up") == "down"
    path, at = opened.index.path, f"/run/{quote(opened.run.id)}"
    order = {"label": "place", "verdict": "verdict", "value": measure if measure in stored.COLUMNS else "place"}
    if sort not in order:
        raise UsageError(f"these claims can be sorted by {', '.join(order)}; got {sort[:40]!r}")
    start, most = PER_PAGE * (page - 1), PER_PAGE
    here = sort == "value" and measure not in stored.COLUMNS
    if here:
        start, most = 0, _HERE
    claims, total = stored.claim_rows(path, explainer, order[sort], down and not here, start, most)
    rows = [as_row(_of_claim(claim, measure, at)) for claim in claims]
    if here and total > _HERE:
        raise UsageError(f"{total:,} claims can be sorted by {', '.join(stored.COLUMNS)}; got {measure}")
    if here:
        known = sorted((row for row in rows if row["value"] is not None), key=lambda row: row["value"], reverse=down)
        rows = (known + [row for row in rows if row["value"] is None])[PER_PAGE * (page - 1) :][:PER_PAGE]
    pages = max(1, -(-total // PER_PAGE))
    sorts = ("label", "verdict") if total > _HERE and measure not in stored.COLUMNS else tuple(order)
    return Table(_MANY, rows, total, page, pages, sort, down, sorts), rows


def _of_claim(claim: Mapping[str, Any], measure: str, at: str) -> EvidenceRow:
    tests = [test for test in claim["detail"]["evidence"] if test["measure"] == measure]
    about = {
        "label": claim["unit"],
        "claim": claim["text"],
        "verdict": claim["verdict"],
        "word": claim["verdict"],
        "reason": claim["reason"],
        "group": "",
        "link": f"{at}/claim/{claim['claim']}",
    }
    missing = {"check": "", "measure": measure, "unscored": "not measured of this claim"}
    return evidence_row(tests[0] if tests else missing, **about)


def _counts(opened: Opened, explainer: str) -> list[dict[str, Any]]:
    counts = next(row for row in opened.index.counts() if row["explainer"] == explainer)
    names = ("supported", "predicts", "undecided", "refuted", "void")
    return [{"verdict": name, "word": name, "count": counts[name]} for name in names if counts[name]]


def claims_section(opened: Opened) -> dict[str, Any]:
    """For the page of a run: the evidence of all its claims as a forest, where they are few enough for one."""
    counts = [row for row in opened.index.counts() if row["explainer"] not in OUTPUTS] or opened.index.counts()
    if not counts:
        return {}
    path, at = opened.index.path, f"/run/{quote(opened.run.id)}"
    measure = stored.measures(path, counts[0]["explainer"])[0]
    total = sum(row["claims"] for row in counts)
    drawn: list[dict[str, Any]] = []
    for row in counts if total <= PER_PAGE else ():
        claims, _ = stored.claim_rows(path, row["explainer"], "place", False, 0, PER_PAGE)
        drawn += [as_row(_of_claim(claim, measure, at)) | {"group": row["explainer"]} for claim in claims]
    return {
        "figure": forest(drawn, measure.replace("_", " ")),
        "measure": measure,
        "total": total,
        "thresholds": [{"name": name, "value": value, "gloss": gloss} for name, value, gloss in _THRESHOLDS],
        "files": stored_files(opened.run),
        "command": command(opened.run.spec.get("argv") or []),
    }
