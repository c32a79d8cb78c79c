"""The units before and behind one, and other runs that have something to say of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from assay.view.opened import Opened
from assay.view.pages import Site


def neighbours_of(site: Site, opened: Opened, unit: str) -> dict[str, list[dict[str, Any]]]:
    """By side, the neighbours that the run has stored, each with an explanation if any run shown has one."""
    rows = opened.index.neighbours(unit)
    told(site, opened, rows)
    return {side: [row for row in rows if row["side"] == side] for side in ("upstream", "downstream")}


def told(site: Site, opened: Opened, rows: Sequence[dict[str, Any]]) -> None:
    """Put the first explanation of ``other`` beside each row, of this run or else of another of the same weights."""
    missing = {row["other"] for row in rows}
    for source in (opened, *site.shelf.others(opened)):
        if not missing:
            break
        said = source.index.sentences(sorted(missing))
        missing -= set(said)
        for row in rows:
            if row["other"] in said:
                found = said[row["other"]]
                row |= {name: found[name] for name in ("text", "explainer", "r", "verdict")}
                row["of_run"] = source.run.id
    for row in rows:
        row.setdefault("text", None)


def runs_about(site: Site, opened: Opened, unit: str) -> list[dict[str, str]]:
    """Other runs of the same weights that explained the unit, or measured what it drives."""
    others = site.shelf.others(opened)
    found = [{"run": one.run.id, "verb": "explain"} for one in others if one.index.unit(unit) is not None]
    mine = opened.run.spec["subject"]["fingerprint"]
    for info in site.shelf.runs():
        if info.state != "whole" or info.spec["verb"] != "related":
            continue
        if info.spec["resolved"].get("unit") == unit and info.spec["subject"]["fingerprint"] == mine:
            found.append({"run": info.id, "verb": "related"})
    return found
