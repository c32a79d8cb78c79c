"""Addresses of pages that are exported, and the files that they become."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from starlette.routing import compile_path

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@")
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)  # what Windows takes for a device
_LONGEST = 80  # characters of a part of a name


class Address(NamedTuple):
    """A page: its route, the named parts of its path, and its query without what is the default anyway."""

    route: str
    parts: tuple[tuple[str, str], ...] = ()
    query: tuple[tuple[str, str], ...] = ()

    def part(self, name: str) -> str:
        """A named part of the path, "" where there is none of this name."""
        return dict(self.parts).get(name, "")

    def with_query(self, query: Mapping[str, str]) -> Address:
        """The same page with another query."""
        return self._replace(query=tuple(sorted(query.items())))

    @property
    def path(self) -> str:
        """As the server has it, quoted."""
        return self.route.format_map({name: quote(value, safe="") for name, value in self.parts})

    @property
    def search(self) -> str:
        """The query as text, without the question mark."""
        return urlencode(self.query)


def address(route: str, query: Mapping[str, str] | None = None, **parts: str) -> Address:
    """The address of a page; the order in which its parts and its query are given makes no difference."""
    return Address(route, tuple(sorted(parts.items())), tuple(sorted((query or {}).items())))


def file_part(text: str) -> str:
    """Text as a part of a file's name, on any system: no separator, no colon, no leading or final dot, no device.

    What can't stand there is written by its number, a colon as a hyphen. Two texts may give one name.
    """
    text = text.replace(":", "-")
    part = "".join(c if c in _PLAIN else f"~{ord(c):x}~" for c in text)
    if part.startswith("."):
        part = f"~2e~{part[1:]}"
    if part.endswith("."):
        part = f"{part[:-1]}~2e~"
    if not part or _DEVICES.match(part):
        part = f"~{part}"
    if len(part) > _LONGEST:
        part = f"{part[: _LONGEST - 17]}~{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    return part


class Files:
    """The file of every exported page; where two would have one name, also in another case, the later gets a number."""

    def __init__(self, addresses: Iterable[Address]) -> None:
        self._stems: dict[Address, str] = {}
        taken = set[str]()
        for one in addresses:
            if one in self._stems:
                continue
            stem = plain = _stem(one)
            number = 1
            while stem.casefold() in taken:
                number += 1
                stem = f"{plain}~{number}"
            taken.add(stem.casefold())
            self._stems[one] = stem

    def __iter__(self) -> Iterator[Address]:
        return iter(self._stems)

    def __len__(self) -> int:
        return len(self._stems)

    def __contains__(self, one: Address) -> bool:
        return one in self._stems

    def name(self, one: Address) -> str:
        """The page's file, relative to the export, with / between its parts."""
        return self._stems[one] + (_kind(one) or ".html")

    def twin(self, one: Address) -> str:
        """The file of the page's data."""
        return f"{self._stems[one]}.json"


def _kind(one: Address) -> str:
    """How the name of a file that is no page ends, as its route does; "" for a page."""
    return next((kind for kind in (".svg", ".csv") if one.route.endswith(kind)), "")


def _stem(one: Address) -> str:
    given = dict(one.parts)
    route = one.route.removesuffix(_kind(one)).strip("/")
    words = [given[word[1:-1]] if word.startswith("{") else word for word in route.split("/") if word]
    parts = [file_part(word) for word in words] or ["index"]
    return "/".join(parts) + "".join(f".{file_part(name)}-{file_part(value)}" for name, value in one.query)


class Asked(NamedTuple):
    """What a link asks for: a page, or with ``twin`` its data, and a place in it."""

    address: Address
    twin: bool
    fragment: str


class Routes:
    """Which route a link leads to."""

    def __init__(self, routes: Iterable[str]) -> None:
        self._patterns = [(route, compile_path(route)[0]) for route in routes]

    def asked(self, link: str, at: Address) -> Asked | None:
        """What a link on the page ``at`` asks for; None for one that no route answers."""
        split = urlsplit(link)
        path = split.path or at.path
        twin = path.endswith(".json")
        path = path.removesuffix(".json")
        for route, pattern in self._patterns:
            if found := pattern.match("/" if twin and path == "/index" else path):
                parts = {name: unquote(value) for name, value in found.groupdict().items()}
                return Asked(address(route, dict(parse_qsl(split.query)), **parts), twin, split.fragment)
        return None


@lru_cache(maxsize=4096)
def relative(target: str, folder: str) -> str:
    """The way from a folder of the export to one of its files, as a link."""
    return quote(posixpath.relpath(target, folder or "."), safe="/@~+")
