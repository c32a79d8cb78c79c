"""A page of the server made into one that opens from a disk: links lead to files, and what needs a server is gone."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from html import escape
from html.parser import HTMLParser
from itertools import accumulate
from typing import NamedTuple

SERVER = "server"  # the class of what needs one
AWAY = "not in this export"
_VOID = frozenset("area base br col embed hr img input link meta source track wbr".split())
_LINKS = ("href", "src", "xlink:href")
_POLICY = (
    "default-src 'none'; style-src 'self' file:; img-src 'self' file:; script-src {scripts}; "
    "form-action 'self' file:; base-uri 'none'"
)
_HEADERS_ONLY = "frame-ancestors"  # a directive that browsers refuse, loudly, to take from a page

Attributes = Mapping[str, str | None]


class Link(NamedTuple):
    """Where a link of the server's page leads in the export. Without ``to``: nowhere, and ``never``: nor in any."""

    to: str = ""
    never: bool = False


class Ways(NamedTuple):
    """What the page of an export may lead to.

    ``link``: for the address of a page or file of the viewer; ``search``: for the address that the form of a search
    is sent to; ``scripts``: by address, the text of those that need no server.
    """

    link: Callable[[str], Link]
    search: Callable[[str], Link]
    scripts: Mapping[str, str]


def exported(html: str, ways: Ways, note: str = "", policy: str = _POLICY) -> str:
    """The page as it stands in an export; ``note``, if there is one, is said below its heading.

    ``policy``: which contents the page may have, ``{scripts}`` for those that are put into it.

    Links that lead nowhere become plain text, or go, with what they hold, where no export could follow them. What has
    the class ``server`` goes; so do forms, but for searches, and scripts, but for those of ``ways``, which are put into
    the page: browsers load no modules from a disk.
    """
    made = _Pass(html, ways, note, policy)
    made.feed(html)
    made.close()
    return made.page()


class _Gone(NamedTuple):
    """The element that is being left out: where it starts, and what stands in its place."""

    tag: str
    start: int
    instead: str


class _Pass(HTMLParser):
    """Reads a page once and notes what is to be changed where; what is left alone keeps every byte."""

    def __init__(self, html: str, ways: Ways, note: str, policy: str) -> None:
        super().__init__(convert_charrefs=False)
        self._html, self._ways, self._note = html, ways, note
        self._policy = "; ".join(part for part in policy.split("; ") if not part.startswith(_HEADERS_ONLY))
        self._lines = [0, *accumulate(len(line) + 1 for line in html.split("\n"))]
        self._edits: list[tuple[int, int, str]] = []
        self._gone: _Gone | None = None
        self._depth, self._drawing = 0, 0
        self._head, self._charset = 0, '<meta charset="utf-8">'  # where the policy goes, and what must stand before it
        self._texts: list[str] = []  # of each open link: what stands in the place of its end tag, "" for the tag itself
        self._hashes: list[str] = []

    def page(self) -> str:
        """The page with all changes made."""
        scripts = " ".join(self._hashes) or "'none'"
        policy = self._policy.replace("{scripts}", scripts)
        meta = f'{self._charset}\n<meta http-equiv="Content-Security-Policy" content="{policy}">'
        parts, at = list[str](), 0
        for start, end, text in sorted([*self._edits, (self._head, self._head, meta)]):
            parts += [self._html[at:start], text]
            at = end
        return "".join([*parts, self._html[at:]])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Change, leave out or leave alone the element that starts here."""
        self._starts(tag, dict(attrs), tag in _VOID)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """The same for one that is closed at once."""
        self._starts(tag, dict(attrs), True)

    def handle_endtag(self, tag: str) -> None:
        """End what started with it."""
        start = self._place()
        end = self._html.index(">", start) + 1
        if self._gone is not None:
            self._depth -= tag == self._gone.tag
            if not self._depth:
                self._edits.append((self._gone.start, end, self._gone.instead))
                self._gone = None
        elif tag == "svg":
            self._drawing -= 1
        elif tag == "a" and self._texts and (instead := self._texts.pop()):
            self._edits.append((start, end, instead))
        elif tag == "h1" and self._note:
            self._edits.append((end, end, f'\n<p class="notice">{escape(self._note)}</p>'))
            self._note = ""

    def handle_decl(self, decl: str) -> None:
        """A page without a word on its encoding gets one behind its type."""
        if self._charset:
            self._head = self._html.index(">", self._place()) + 1

    def _place(self) -> int:
        line, column = self.getpos()
        return self._lines[line - 1] + column

    def _starts(self, tag: str, given: Attributes, alone: bool) -> None:
        if self._gone is not None:
            self._depth += tag == self._gone.tag and not alone
            return
        self._drawing += tag == "svg" and not alone
        classes = (given.get("class") or "").split()
        if tag == "form":
            self._form(given, classes)
        elif tag == "script":
            self._script(given)
        elif SERVER in classes:
            self._leave_out(tag, alone)
        elif any(name in given for name in _LINKS):
            self._link(tag, given, alone)
        elif tag == "a":
            self._texts.append("")
        elif tag == "meta" and "charset" in given:
            self._head, self._charset = self._place() + len(self.get_starttag_text() or ""), ""

    def _form(self, given: Attributes, classes: list[str]) -> None:
        found = self._ways.search(given.get("action") or "") if given.get("role") == "search" else Link()
        if not found.to:
            self._leave_out("form", False)
            return
        kept = " ".join(name for name in classes if name != SERVER)
        self._replace("form", {**given, "class": kept, "action": found.to}, False)

    def _script(self, given: Attributes) -> None:
        if given.get("type") == "application/json":
            return
        text = self._ways.scripts.get(given.get("src") or "")
        if text is None:
            self._leave_out("script", False)
            return
        self._hashes.append(f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'")
        self._leave_out("script", False, f"<script>{text}</script>")

    def _link(self, tag: str, given: Attributes, alone: bool) -> None:
        names = [name for name in _LINKS if name in given]  # drawings have both ways to write a link
        found = self._ways.link(given[names[0]] or "")
        if found.to:
            if found.to != given[names[0]]:
                self._replace(tag, {**given, **dict.fromkeys(names, found.to)}, alone)
            if tag == "a":
                self._texts.append("")
        elif tag != "a" or found.never:
            self._leave_out(tag, alone)
        else:
            plain = "g" if self._drawing else "span"
            self._texts.append(f"</{plain}>")
            kept = {key: value for key, value in given.items() if key in ("class", "aria-current", "transform")}
            self._replace(plain, kept if self._drawing else {**kept, "title": AWAY}, False)

    def _replace(self, tag: str, given: Attributes, alone: bool) -> None:
        written = "".join(
            f' {name}="{escape(value)}"' if value is not None else f" {name}" for name, value in given.items()
        )
        raw, start = self.get_starttag_text() or "", self._place()
        self._edits.append((start, start + len(raw), f"<{tag}{written}{'/' if raw.endswith('/>') else ''}>"))

    def _leave_out(self, tag: str, alone: bool, instead: str = "") -> None:
        start = self._place()
        if alone:
            self._edits.append((start, start + len(self.get_starttag_text() or ""), instead))
        else:
            self._gone, self._depth = _Gone(tag, start, instead), 1
