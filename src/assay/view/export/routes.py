"""Which pages of each route are exported, and which of them answers a link."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple

from assay.errors import AssayError
from assay.store.listing import Asked
from assay.store.schema import VERDICTS
from assay.view.claim import evidence_page
from assay.view.compare import compare_page
from assay.view.export.addresses import Address, address
from assay.view.export.choice import Chosen
from assay.view.home import run_page
from assay.view.labs.steer import writers
from assay.view.pages import Ask, Site
from assay.view.stored import FIGURE, PAGE
from assay.view.units import PER_PAGE

Query = dict[str, str]
Make = Callable[[Site, Ask], Any]
SEARCH, COMPARE = "/run/{run}/search", "/compare"
_SORT = "value"  # the column of scores in tables of evidence
_PAGES, _PAGES_SORTED = 20, 2  # of a table in its own order, and by score
_COMPARED = 40  # pairs of runs
_CLAIMS = 300  # of a run, up to which each has its page


class Book(NamedTuple):
    """All that is exported: by run, what was chosen of it."""

    site: Site
    runs: Mapping[str, Chosen]


class Way(NamedTuple):
    """How a route is exported.

    ``addresses``: of its pages. ``settled``: of the page that answers a link to one of this route and of an exported
    run.
    """

    addresses: Callable[[Book], Iterator[Address]]
    settled: Callable[[Book, Address], Address] = lambda book, asked: asked


def _home(book: Book) -> Iterator[Address]:
    yield address("/")


def _runs(book: Book) -> Iterator[Address]:
    """Those with claims about units have one page; all of the tables of the others, by method where methods wrote."""
    for run, chosen in book.runs.items():
        if chosen.explainers:
            yield address("/run/{run}", run=run)
        else:
            for query in ({}, *({"method": name} for name in writers(book.site.shelf.open(run).run)[1:])):
                yield from _tables(book, run_page, "/run/{run}", query, run=run)


def _run(book: Book, asked: Address) -> Address:
    """The method that is shown anyway has no page by its name."""
    first = writers(book.site.shelf.open(asked.part("run")).run)[:1]
    return asked.with_query({key: value for key, value in asked.query if key != "method" or value not in first})


def _evidence(book: Book) -> Iterator[Address]:
    for run, chosen in book.runs.items():
        for explainer in chosen.explainers:
            own = _without_first(chosen, {"explainer": explainer})
            yield from _tables(book, evidence_page, "/run/{run}/evidence", own, run=run)


def _tables(book: Book, make: Make, route: str, query: Query, **parts: str) -> Iterator[Address]:
    """A page with tables that are sorted and turned by links: in their own order, and by score both ways."""
    yield address(route, query, **parts)
    with suppress(AssayError):
        made = make(book.site, Ask(parts, query))
        tables = [section.table for section in made.data.get("sections", ()) if section.table is not None]
        pages = max((table.pages for table in tables), default=1)
        sorted_by = any(_SORT in table.sorts for table in tables)
        orders: list[Query] = [{"sort": _SORT, "order": order} for order in ("down", "up") if sorted_by]
        for order, most in (({}, _PAGES), *((order, _PAGES_SORTED) for order in orders)):
            for page in range(1, min(pages, most) + 1):
                yield address(route, {**query, **order} | ({"page": str(page)} if page > 1 else {}), **parts)


def _claims(book: Book) -> Iterator[Address]:
    """Of runs with many claims none: the page of a unit has all that they have, and they are slow to draw."""
    for run, chosen in book.runs.items():
        own = book.site.shelf.open(run).run
        cells = range(own.table_length("reports") or (0 if chosen.explainers else own.table_length("claims")))
        if len(chosen.claims) <= _CLAIMS:
            for number in chosen.claims or cells:
                yield address("/run/{run}/claim/{number}", run=run, number=str(number))


def _claim(book: Book, asked: Address) -> Address:
    claims, run = book.runs[asked.part("run")].claims, asked.part("run")
    unit = claims.get(int(asked.part("number"))) if asked.part("number").isdecimal() else None
    if len(claims) <= _CLAIMS or unit is None:
        return asked
    return address("/run/{run}/unit/{unit}", run=run, unit=unit)


def _stored(route: str, name: str) -> Callable[[Book], Iterator[Address]]:
    def addresses(book: Book) -> Iterator[Address]:
        for run in book.runs:
            if book.site.shelf.open(run).run.has(name):
                yield address(route, run=run)

    return addresses


def _comparisons(book: Book) -> Iterator[Address]:
    """A list, and each two runs that can be compared, the older one first; of many, those of the newest runs."""
    pairs = list(islice((one for one in _pairs(book) if _can_be_made(book, compare_page, one)), _COMPARED))
    if pairs:
        yield address(COMPARE)
        yield from pairs


def _pairs(book: Book) -> Iterator[Address]:
    newest = [run for run, chosen in book.runs.items() if chosen.explainers]
    for later, b in enumerate(newest):
        yield from (address(COMPARE, {"a": a, "b": b}) for a in newest[later + 1 :])


def _can_be_made(book: Book, make: Make, one: Address) -> bool:
    try:
        make(book.site, Ask(dict(one.parts), dict(one.query)))
    except AssayError:
        return False
    return True


def _comparison(book: Book, asked: Address) -> Address:
    """By the first explainer and score that both have; of a run that is still alone, the list."""
    pair = {name: value for name, value in asked.query if name in ("a", "b") and value}
    return address(COMPARE, pair if len(pair) == 2 else {})


def _maps(book: Book) -> Iterator[Address]:
    for run, chosen in book.runs.items():
        for explainer in chosen.explainers:
            yield address("/run/{run}/map", _without_first(chosen, {"explainer": explainer}), run=run)


def _of_explainer(book: Book, asked: Address) -> Address:
    chosen = book.runs[asked.part("run")]
    return asked.with_query(_without_first(chosen, dict(asked.query)))


def _units(book: Book) -> Iterator[Address]:
    for run, chosen in book.runs.items():
        for unit, explainers in chosen.units.items():
            yield address("/run/{run}/unit/{unit}", run=run, unit=unit)
            for explainer in explainers[1:]:
                yield address("/run/{run}/unit/{unit}", {"by": explainer}, run=run, unit=unit)


def _unit(book: Book, asked: Address) -> Address:
    """A claim's prediction that can't be laid over the texts, as of what the unit writes, leads to the unit's page."""
    explainers = book.runs[asked.part("run")].units.get(asked.part("unit"), ())
    return asked.with_query({name: value for name, value in asked.query if name != "by" or value in explainers[1:]})


def _histograms(book: Book) -> Iterator[Address]:
    for run, chosen in book.runs.items():
        for unit in chosen.units:
            yield address("/run/{run}/unit/{unit}/histogram.svg", run=run, unit=unit)


def _searches(book: Book) -> Iterator[Address]:
    for run, chosen in book.runs.items():
        if chosen.units:
            yield address(SEARCH, run=run)


def _lists(book: Book) -> Iterator[Address]:
    """All pages of each list, in the default order and by r both ways, by verdict and by layer."""
    for run, chosen in book.runs.items():
        for query in _list_queries(chosen):
            total = chosen.lists.units(_asked(chosen, query)).total
            for page in range(1, max(1, -(-total // PER_PAGE)) + 1):
                numbered = query if page == 1 else {**query, "page": str(page)}
                yield address("/run/{run}/units", numbered, run=run)


def _list_queries(chosen: Chosen) -> Iterator[Query]:
    yield {}
    yield from ({"layer": str(layer)} for layer in chosen.layers)
    for explainer in chosen.explainers:
        own = _without_first(chosen, {"explainer": explainer})
        yield own
        yield {**own, "sort": "r"}
        yield {**own, "sort": "r", "order": "up"}
        yield from ({**own, "layer": str(layer), "sort": "r"} for layer in chosen.layers)
        for kind in VERDICTS:
            if chosen.lists.units(_asked(chosen, {**own, "kind": kind})).total:
                yield {**own, "kind": kind}


def _asked(chosen: Chosen, query: Query) -> Asked:
    explainer = query.get("explainer") or (chosen.explainers[0] if chosen.explainers else "")
    layer = query.get("layer")
    return Asked(explainer, kind=query.get("kind", "any"), layer=int(layer) if layer else None, most=1)


def _list(book: Book, asked: Address) -> Address:
    """Without defaults. A cell of the map leads to its layer's list by r, which holds the cell's units."""
    query = dict(asked.query)
    defaults = {"sort": "place", "kind": "any", "page": "1"}
    defaults["order"] = "up" if query.get("sort", "place") == "place" else "down"
    kept = {name: value for name, value in query.items() if value and defaults.get(name) != value}
    if "layer" in kept:
        kept = {name: value for name, value in kept.items() if name not in ("from", "to")}
    return asked.with_query(_without_first(book.runs[asked.part("run")], kept))


def _without_first(chosen: Chosen, query: Query) -> Query:
    first = chosen.explainers[0] if chosen.explainers else ""
    return {name: value for name, value in query.items() if name != "explainer" or value != first}


EXPORTED: Mapping[str, Way] = {
    "/": Way(_home),
    "/run/{run}": Way(_runs, _run),
    "/run/{run}/map": Way(_maps, _of_explainer),
    "/run/{run}/units": Way(_lists, _list),
    SEARCH: Way(_searches),
    "/run/{run}/unit/{unit}": Way(_units, _unit),
    "/run/{run}/unit/{unit}/histogram.svg": Way(_histograms),
    COMPARE: Way(_comparisons, _comparison),
    "/run/{run}/evidence": Way(_evidence, _of_explainer),
    "/run/{run}/claim/{number}": Way(_claims, _claim),
    "/run/{run}/figure.svg": Way(_stored("/run/{run}/figure.svg", FIGURE)),
    "/run/{run}/page": Way(_stored("/run/{run}/page", PAGE)),
}

NOT_EXPORTED: Mapping[str, str] = {
    "/run/{run}/lucky": "each request draws anew",
    "/run/{run}/rate": "an answer is kept by the server",
    "/run/{run}/agreement": "ratings stay with those who gave them",
    "/rate/ratings": "ratings stay with those who gave them",
    "/rate/ratings.csv": "ratings stay with those who gave them",
}
"""Routes without files, and why. Links to them are left out."""


def settled(book: Book, asked: Address) -> Address | None:
    """The page that answers a link, which may still have no file; None if its route or run is not exported."""
    way = EXPORTED.get(asked.route)
    if way is None or asked.part("run") not in (*book.runs, ""):
        return None
    return way.settled(book, asked)


def addresses(book: Book) -> Iterator[Address]:
    """Of every page that is exported, in one order."""
    for way in EXPORTED.values():
        yield from way.addresses(book)
