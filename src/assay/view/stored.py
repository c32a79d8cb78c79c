"""The page and the figure that were stored with a run, as they are, under a policy of their own."""

from __future__ import annotations

from assay.errors import RunError
from assay.view.opened import Opened
from assay.view.pages import Ask, Picture, Site, Standing

PAGE, FIGURE = "page.html", "figure.svg"
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""A stored page brings its own style and pictures; nothing in it runs, loads or sends anything."""


def stored_page(site: Site, ask: Ask) -> Standing:
    """``page.html`` of the run."""
    return Standing(_text(site.shelf.open(ask.path["run"]), PAGE), POLICY)


def stored_figure(site: Site, ask: Ask) -> Picture:
    """``figure.svg`` of the run."""
    return Picture(_text(site.shelf.open(ask.path["run"]), FIGURE))


def _text(opened: Opened, name: str) -> str:
    """A file of the run whose hash is as it was written."""
    path = opened.run.file(name)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path} can't be read: {error}; restore it") from error
