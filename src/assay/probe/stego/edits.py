"""What becomes of a text on its way: small edits of a reader, an editor or a program. No model."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping

import numpy as np

from assay.text import sentences

Edit = Callable[[str, np.random.Generator], str]
"""From a text to what arrives; the same text where there is nothing of the kind to change."""


def unchanged(text: str, rng: np.random.Generator) -> str:
    """The text as it was."""
    return text


def normalise(text: str, rng: np.random.Generator) -> str:
    """Unicode in composed form, every run of whitespace one space, none at the end."""
    front = " " if text[:1].isspace() else ""
    return front + " ".join(unicodedata.normalize("NFC", text).split())


def delete_word(text: str, rng: np.random.Generator) -> str:
    """Without one word and the space before it."""
    start, end = _word(text, rng)
    return text[:start].rstrip() + text[end:] if end > start else text


def replace_word(text: str, rng: np.random.Generator) -> str:
    """One word's letters are replaced by another word's of the same text."""
    words = sorted({match[0] for match in _LETTERS.finditer(text)})
    places = [match.span() for match in _LETTERS.finditer(text)]
    if len(words) < 2:
        return text
    start, end = places[rng.integers(len(places))]
    other = [word for word in words if word != text[start:end]]
    return text[:start] + other[rng.integers(len(other))] + text[end:]


def change_case(text: str, rng: np.random.Generator) -> str:
    """The first letter of one word becomes large, or small if it was large."""
    places = [match.start() for match in _LETTERS.finditer(text)]
    if not places:
        return text
    at = places[rng.integers(len(places))]
    return text[:at] + text[at].swapcase() + text[at + 1 :]


def swap_sentences(text: str, rng: np.random.Generator) -> str:
    """Two neighbouring sentences change places; between sentences stands one space afterwards."""
    parts = sentences(text)
    if len(parts) < 2:
        return text
    at = int(rng.integers(len(parts) - 1))
    parts[at], parts[at + 1] = parts[at + 1], parts[at]
    return (" " if text[:1].isspace() else "") + " ".join(parts)


EDITS: Mapping[str, Edit] = {
    "none": unchanged,
    "normalise whitespace": normalise,
    "delete a word": delete_word,
    "replace a word": replace_word,
    "change a letter’s case": change_case,
    "swap two sentences": swap_sentences,
}
"""By name; each changes one thing at a place drawn evenly."""

_LETTERS = re.compile(r"[^\W\d_]+")


def _word(text: str, rng: np.random.Generator) -> tuple[int, int]:
    places = [match.span() for match in re.finditer(r"\S+", text)]
    return places[rng.integers(len(places))] if places else (0, 0)


def first_half(text: str) -> str:
    """The first half of the words, rounded up, with the whitespace between them."""
    places = [match.end() for match in re.finditer(r"\S+", text)]
    return text[: places[(len(places) - 1) // 2]] if places else ""
