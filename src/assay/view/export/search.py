"""Pages that stand where the server has a form: a search that holds what it looks through, a list of comparisons."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from assay.view.export.addresses import Files, address, relative
from assay.view.export.choice import Chosen
from assay.view.export.routes import COMPARE, SEARCH, Book
from assay.view.pages import Page


def search_page(book: Book, files: Files, run: str) -> Page:
    """The page: of each exported unit its file, its claims and the tokens on which it peaks."""
    chosen = book.runs[run]
    folder = files.name(address(SEARCH, run=run)).rpartition("/")[0]
    claims = _claims(chosen)
    peaks = chosen.lists.peaks()
    units: list[dict[str, Any]] = []
    for unit in chosen.units:
        file = relative(files.name(address("/run/{run}/unit/{unit}", run=run, unit=unit)), folder)
        units.append({"unit": unit, "file": file, "claims": claims[unit], "tokens": peaks.get(unit, [])})
    subject = book.site.shelf.open(run).run.spec["subject"]["name"]
    return Page("search.html", {"run": run, "subject": subject, "of": chosen.of, "units": units})


def _claims(chosen: Chosen) -> defaultdict[str, list[dict[str, Any]]]:
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for explainer in chosen.explainers:
        for row in chosen.lists.rows(explainer):
            if row["claim"] is not None:
                found[row["unit"]].append({name: row[name] for name in ("explainer", "text", "r", "verdict")})
    return found


def compared_page(book: Book, files: Files) -> Page:
    """Which runs are compared."""
    pairs = [dict(one.query) for one in files if one.route == COMPARE and one.query]
    subjects = {run: book.site.shelf.open(run).run.spec["subject"]["name"] for run in book.runs}
    return Page("compared.html", {"pairs": pairs, "subjects": subjects})
