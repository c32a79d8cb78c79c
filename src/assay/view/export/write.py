"""The pages as files, which open from a disk or lie on any host of files, in a folder of it too."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from assay import __version__
from assay.errors import AssayError, UsageError
from assay.view.app import Renderer
from assay.view.compare import compare_page
from assay.view.export.addresses import Address, Files, Routes, address, relative
from assay.view.export.choice import Chosen, choose
from assay.view.export.folder import Folder, replacing_folder
from assay.view.export.html import Link, Ways, exported
from assay.view.export.routes import COMPARE, NOT_EXPORTED, SEARCH, Book, addresses, settled
from assay.view.export.search import compared_page, search_page
from assay.view.opened import Opened
from assay.view.pages import Ask, Page, Picture, Saved, Site, Standing, plain
from assay.view.routes import PAGES
from assay.view.shelf import Reading

STATIC = ("style.css", "icon.svg")
SCRIPTS = ("heat.js", "search.js", "dose.js")  # that need no server and import nothing; others are left out
_NEVER = Link(never=True)


Tell = Callable[[str, float | None], None]
"""Is told what is being done, and how much of it is, 0 to 1, or None where that is not known."""


class Exported(NamedTuple):
    """What was exported.

    ``path``: the file to open; ``pages``: of HTML; ``units`` of the ``of`` that the runs have; ``by_run``: the same by
    run; ``failed``: what is said on the pages that could not be made.
    """

    path: Path
    pages: int
    units: int
    of: int
    bytes: int
    seconds: float
    by_run: Mapping[str, tuple[int, int]]
    failed: list[str]


def export(site: Site, directory: Path, most: int | None, tell: Tell) -> Exported:
    """Write the pages of all runs shown, whole or not at all.

    Args:
        directory: where to: it must not exist, be empty, or be an earlier export, which is then replaced.
        most: units of a run that get pages, None for all.

    Raises:
        UsageError: the directory holds something else, or there is no whole run.
        StorageError: it can't be written.
    """
    started = time.monotonic()
    with replacing_folder(directory) as folder:
        tell("opening the runs", None)
        runs = {info.id: _opened(site, info.id, tell) for info in site.shelf.runs() if info.state == "whole"}
        if not runs:
            raise UsageError(f"there is no whole run in {site.shelf.root}; make one with 'assay explain'")
        tell("choosing units", None)
        writer = _Writer(Book(site, {name: choose(opened, most) for name, opened in runs.items()}), folder)
        pages = writer.write(tell)
        counts = {name: (len(chosen.units), chosen.of) for name, chosen in writer.book.runs.items()}
        folder.finish({"assay": __version__, "runs": {name: list(pair) for name, pair in counts.items()}})
    units, of = (sum(pair[i] for pair in counts.values()) for i in (0, 1))
    seconds = time.monotonic() - started
    return Exported(directory / "index.html", pages, units, of, folder.bytes, seconds, counts, writer.failed)


def _opened(site: Site, run: str, tell: Tell) -> Opened:
    while True:
        try:
            return site.shelf.open(run)
        except Reading as reading:
            tell(f"reading {run}", reading.share)
            time.sleep(0.2)


class _Writer:
    """Makes each page as the server does, and puts it into the folder."""

    def __init__(self, book: Book, folder: Folder) -> None:
        self.book, self.folder = book, folder
        self.files = Files(addresses(book))
        self.failed: list[str] = []
        self.renderer = Renderer("", live=False)
        self._routes = Routes([*(path for path, _ in PAGES), SEARCH])
        self._makers: dict[str, Callable[[Site, Ask], Any]] = dict(PAGES)
        self._makers[SEARCH] = lambda _, ask: search_page(book, self.files, ask.path["run"])
        self._makers[COMPARE] = self._compared

    def _compared(self, site: Site, ask: Ask) -> Any:
        return compare_page(site, ask) if ask.query else compared_page(self.book, self.files)

    @cached_property
    def scripts(self) -> dict[str, str]:
        return {f"/static/{name}": _static(name) for name in SCRIPTS}

    def write(self, tell: Tell) -> int:
        """Write everything; how many pages of HTML there are."""
        for name in STATIC:
            self.folder.write(f"static/{name}", self.renderer.style if name == "style.css" else _static(name))
        pages = 0
        for done, one in enumerate(self.files):
            tell(f"page {done + 1:,} of {len(self.files):,}", done / len(self.files))
            pages += self._page(one)
        return pages

    def _page(self, one: Address) -> bool:
        made, name = self._made(one), self.files.name(one)
        if isinstance(made, Picture | Saved):
            self.folder.write(name, made.svg if isinstance(made, Picture) else made.text)
            return False
        data = {"html": made.html} if isinstance(made, Standing) else made.data
        self.folder.write(self.files.twin(one), json.dumps(plain(data), ensure_ascii=False, allow_nan=False))
        if isinstance(made, Standing):
            self.folder.write(name, exported(made.html, self._ways(one), policy=made.policy))
        else:
            html = self.renderer.html(made, one.path, one.search)
            self.folder.write(name, exported(html, self._ways(one), self._note(one)))
        return True

    def _made(self, one: Address) -> Page | Picture | Saved | Standing:
        try:
            return self._makers[one.route](self.book.site, Ask(dict(one.parts), dict(one.query)))
        except AssayError as error:
            self.failed.append(str(error))
            return Page("none.html", {"title": "This can’t be shown", "message": str(error)})

    def _note(self, one: Address) -> str:
        """On pages that speak of a whole run: that not all of its units are here."""
        chosen = self.book.runs.get(one.part("run"))
        if chosen is None or len(chosen.units) == chosen.of or one.part("unit"):
            return ""
        return _part(chosen)

    def _ways(self, one: Address) -> Ways:
        folder = self.files.name(one).rpartition("/")[0]

        def link(given: str) -> Link:
            if given.startswith(("#", "http:", "https:", "mailto:", "data:")):
                return Link(given)
            if given.startswith("/static/"):
                name = given.removeprefix("/static/")
                return Link(relative(given[1:], folder)) if name in STATIC else _NEVER
            return self._link(given, one, folder)

        def search(given: str) -> Link:
            asked = self._routes.asked(given, one)
            return Link() if asked is None else self._file(address(SEARCH, run=asked.address.part("run")), folder)

        return Ways(link, search, self.scripts)

    def _link(self, given: str, at: Address, folder: str) -> Link:
        asked = self._routes.asked(given, at)
        if asked is None or asked.address.route in NOT_EXPORTED:
            return _NEVER
        return self._file(settled(self.book, asked.address), folder, asked.twin, asked.fragment)

    def _file(self, one: Address | None, folder: str, twin: bool = False, fragment: str = "") -> Link:
        if one is None or one not in self.files:
            return Link()
        name = self.files.twin(one) if twin else self.files.name(one)
        return Link(relative(name, folder) + (f"#{fragment}" if fragment else ""))


def _part(chosen: Chosen) -> str:
    return (
        f"This export has pages of {len(chosen.units):,} of the run’s {chosen.of:,} units, chosen over all verdicts, "
        "scores and layers; lists of units and searches hold these alone."
    )


def _static(name: str) -> str:
    return resources.files("assay.view").joinpath("static", name).read_text(encoding="utf-8")
