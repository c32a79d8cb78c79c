"""Lists of units: sorted, filtered, searched for by words and by token, and one drawn at random."""

from __future__ import annotations

import random
from urllib.parse import quote, urlencode

from assay.errors import UnknownName, UsageError
from assay.store.listing import KINDS, SORTS, Asked
from assay.view.pages import Ask, Page, Site

PER_PAGE = 50
_LONGEST = 400  # characters of a search


def units_page(site: Site, ask: Ask) -> Page:
    """A page of the list of units."""
    opened = site.shelf.open(ask.path["run"])
    run, index = opened.run, opened.index
    explainers, query = index.explainers(), ask.query
    explainer = query.get("explainer") or (explainers[0] if explainers else "")
    if explainers and explainer not in explainers:
        raise UnknownName("explainer", explainer, explainers)
    page = ask.number("page", int, 1.0, 1e6) or 1
    words, token = query.get("q", ""), query.get("token", "")
    if max(len(words), len(token)) > _LONGEST:
        raise UsageError(f"a search may have {_LONGEST} characters, got {max(len(words), len(token)):,}")
    sort = query.get("sort") or "place"
    asked = Asked(
        explainer=explainer,
        sort=sort,
        descending=query.get("order", "down" if sort != "place" else "up") == "down",
        kind=query.get("kind") or "any",
        layer=ask.number("layer", int, 0.0, 1e4),
        low=ask.number("from", float, -1.0, 1.0),
        high=ask.number("to", float, -1.0, 1.01),
        words=words.strip(),
        token=token,
        start=PER_PAGE * (page - 1),
        most=PER_PAGE,
    )
    listed = index.units(asked)
    return Page(
        "units.html",
        {
            "run": run.id,
            "subject": run.spec["subject"]["name"],
            "asked": asked,
            "rows": listed.rows,
            "total": listed.total,
            "page": page,
            "pages": max(1, -(-listed.total // PER_PAGE)),
            "explainers": explainers,
            "sorts": list(SORTS),
            "kinds": list(KINDS),
            "query": {name: value for name, value in query.items() if value and name != "page"},
        },
    )


def lucky_page(site: Site, ask: Ask) -> Page:
    """Go to a random unit, of all or of a kind."""
    opened = site.shelf.open(ask.path["run"])
    run, index = opened.run, opened.index
    kind = ask.query.get("kind") or "any"
    explainer = ask.query.get("explainer") or None
    share = ask.number("at", float, 0.0, 1.0)
    unit = index.draw(kind, explainer, random.SystemRandom().random() if share is None else share)
    if unit is None:
        said = {"run": run.id, "title": f"No unit is {kind}", "message": _none(kind), "kinds": list(KINDS)}
        return Page("none.html", said, 404)
    by = "?" + urlencode({"by": explainer}) if explainer else ""
    return Page("none.html", {"run": run.id, "unit": unit}, to=f"/run/{quote(run.id)}/unit/{quote(unit)}{by}")


def _none(kind: str) -> str:
    if kind == "surprising":
        return (
            "A surprising unit has an r of .4 or more, and behaviour no better than that of the truth plus noise at "
            "the same r. In this run no unit whose behaviour was tested is of that kind."
        )
    return "No claim of this run has that verdict."
