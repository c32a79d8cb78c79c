"""Sentences of running text, by punctuation."""

from __future__ import annotations

import re

_CLOSING = "\"'\u201d\u2019»)\\]*_"
_OPENING = "\"'\u201c\u2018«([*_"
# a full stop, question or exclamation mark, what closes after it, and then space
_END = re.compile(rf"[.!?…]+[{_CLOSING}]*(?=\s)")
_ENDED = re.compile(rf"[.!?…:][{_CLOSING}]*\s*$")
_LAST_WORD = re.compile(rf"[^\s{re.escape(_OPENING)}]+$")
_INITIAL = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]")
_LIST_MARK = re.compile(r"\s*(?:[-*+•#>|]|\d{1,3}[.)]\s|[A-Za-z][.)]\s)")
_ITEM_NUMBER = re.compile(r"\d{1,3}")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ABBREVIATIONS = _words(
    "mr mrs ms mx dr prof rev hon st gen col capt lt sgt cmdr messrs mt vs cf ca approx viz e.g i.e est dept eds "
    "jan feb mar apr jun jul aug sep sept oct nov dec"
)
_MAY_END = _words("etc inc ltd co corp al sr jr ave blvd a.m p.m u.s u.k")  # a capital after these decides
_BEFORE_NUMBER = _words("fig figs eq eqs sec ch vol vols no nos pp ed")  # a digit after these decides
_REACH = 40  # characters before a stop in which its word is looked for
_WRAPPED = 50  # a line of this many characters may have been broken for width


def sentences(text: str) -> list[str]:
    """The sentences of ``text``, stripped, in order: all of its characters but the whitespace between them.

    A sentence ends after ``.``, ``!``, ``?`` or ``…`` and what closes it, unless the stop belongs to an
    abbreviation, an initial or a list number, or a lower-case word follows; at a blank line; and at a line break,
    unless the line looks broken for width (50 characters or more without an end, and no list mark follows).
    """
    return [sentence for block in _blocks(text) for sentence in _split(block)]


def _blocks(text: str) -> list[str]:
    blocks: list[str] = []
    previous = ""
    for line in text.splitlines():
        stripped = line.strip()
        runs_on = (
            len(previous.strip()) >= _WRAPPED and not _ENDED.search(previous) and not _LIST_MARK.match(line)
        ) or (previous.strip() and stripped[:1].islower() and not _LIST_MARK.match(line))
        if stripped and runs_on:
            blocks[-1] += "\n" + stripped
        elif stripped:
            blocks.append(stripped)
        previous = line
    return blocks


def _split(block: str) -> list[str]:
    found: list[str] = []
    start = 0
    for match in _END.finditer(block):
        if _ends(block, start, match):
            found.append(block[start : match.end()].strip())
            start = match.end()
    rest = block[start:].strip()
    return [*found, rest] if rest else found


def _ends(block: str, start: int, match: re.Match[str]) -> bool:
    """Whether the mark found ends the sentence that began at ``start``."""
    after = block[match.end() : match.end() + _REACH].lstrip().lstrip(_OPENING)[:1]
    if after.islower():
        return False
    if match[0] != ".":
        return True
    before = block[max(start, match.start() - _REACH) : match.start()].lstrip()
    last = _LAST_WORD.search(before)
    word = last[0].lower() if last else ""
    if word in _MAY_END:
        return after.isupper()
    if word in _BEFORE_NUMBER:
        return not after.isdigit()
    if word in _ABBREVIATIONS or (_INITIAL.fullmatch(word) and word != "i"):
        return False
    return not (word == before and _ITEM_NUMBER.fullmatch(word))
