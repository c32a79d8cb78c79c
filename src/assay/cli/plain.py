"""Text that models and corpora wrote is data: nothing in it may steer a terminal."""

from __future__ import annotations

import textwrap
import unicodedata

SENTENCE_LINES = 2
_VISIBLE = {"\n": "↵", "\r": "", "\t": " ", "\u2028": "↵", "\u2029": "↵"}


def plain(text: str) -> str:
    """``text`` on one line without control characters.

    Line breaks become ↵ and tabs a space. Everything else of Unicode's category C goes: escape sequences lose
    their ESC, and bidirectional overrides, zero-width characters and lone surrogates vanish.
    """
    return "".join(
        _VISIBLE.get(char, char) for char in text if char in _VISIBLE or unicodedata.category(char)[0] != "C"
    )


def cut(sentence: str, width: int) -> str:
    """``sentence`` on at most two lines of ``width``, with … where it was cut."""
    lines = textwrap.wrap(plain(sentence), width, max_lines=SENTENCE_LINES, placeholder=" …")
    return "\n".join(lines)
