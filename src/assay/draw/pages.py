"""Pages: HTML files that need nothing beside themselves."""

from __future__ import annotations

import jinja2


def templates(package: str) -> jinja2.Environment:
    """The templates of a package, and the style that all pages share, ``page.css``; text is escaped."""
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package), jinja2.PackageLoader("assay.draw")]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
