"""What a page is: a template and plain data, of which the page is one rendering and its ``.json`` twin another."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from assay.errors import UsageError
from assay.live.client import Worker
from assay.view.shelf import Shelf


class Ask(NamedTuple):
    """What is asked for: the named parts of the path, and the query."""

    path: Mapping[str, str]
    query: Mapping[str, str]

    def number(self, name: str, kind: Callable[[str], Any], low: float | int, high: float | int) -> Any:
        """A number of the query, None if it is not there.

        Raises:
            UsageError: it is no such number, or out of range.
        """
        text = self.query.get(name, "").strip()
        if not text:
            return None
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise UsageError(f"{name} must be a number from {low:g} to {high:g}, got {text[:40]!r}")
        return value


Body = Mapping[str, Any]
"""What a write brings: an object of JSON."""


class Page(NamedTuple):
    """``template`` with ``data``; or, with ``to``, another address to go to."""

    template: str
    data: Mapping[str, Any]
    status: int = 200
    to: str = ""


class Picture(NamedTuple):
    """A picture, as an SVG file."""

    svg: str


class Standing(NamedTuple):
    """A page that stands by itself, HTML as it is, under a content policy of its own."""

    html: str
    policy: str


class Saved(NamedTuple):
    """A file to be saved under ``name``, of the media type ``kind``."""

    text: str
    kind: str
    name: str


@dataclass
class Site:
    """What the pages are about.

    ``live``: whether a model can be asked, as it can't be from files on disk. ``worker`` is then who is asked, a
    process that starts with the first question; ``asked``: by job, what it was about.
    """

    shelf: Shelf
    live: bool = True
    worker: Worker = field(default_factory=Worker)
    asked: dict[str, Any] = field(default_factory=dict)

    def close(self) -> None:
        """End the processes that were started for the pages."""
        self.worker.close()
        self.shelf.close()


def plain(value: Any) -> Any:
    """Tuples with names as objects, NaN as null: what a ``.json`` twin holds."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return plain(value._asdict())  # type: ignore[attr-defined]
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value
