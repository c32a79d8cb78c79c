"""Named classes of token text: what a rule may call by name instead of listing tokens.

A class is a predicate on one string: word lists (``words.toml``) match the word without the spaces around it, in any
case; shape and morphology classes look at the string as it stands, leading space included.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files

import numpy as np
from jaxtyping import Float32

Member = Callable[[str], bool]

_SUFFIXES = (
    "ing ed ly s es tion ment ness ity er or est al ous ive able ful less ism ist ance ence ary ic y en ion th age"
).split()
_PREFIXES = "un re in dis pre con de ex non over under out sub trans inter be en".split()


def _matches(pattern: str) -> Member:
    compiled = re.compile(pattern, re.DOTALL)
    return lambda text: compiled.fullmatch(text) is not None


_SHAPES: dict[str, Member] = {
    "starts a word": _matches(r"\s+\w.*"),
    "starts with a letter without a space": _matches(r"[A-Za-z]+.*"),
    "capitalised": _matches(r"\s*[A-Z][a-z].*"),
    "capitalised after a space": _matches(r"\s+[A-Z][a-z].*"),
    "all capitals": _matches(r"\s*[A-Z]{2,}"),
    "single capital letter": _matches(r"\s*[A-Z]"),
    "single small letter": _matches(r"\s*[a-z]"),
    "in small letters": _matches(r"\s*[a-z]+"),
    "two or three letters long": _matches(r"\s*[A-Za-z]{2,3}"),
    "four or five letters long": _matches(r"\s*[A-Za-z]{4,5}"),
    "six to eight letters long": _matches(r"\s*[A-Za-z]{6,8}"),
    "nine or more letters long": _matches(r"\s*[A-Za-z]{9,}"),
    "number in digits": _matches(r"\s*\d+"),
    "made of letters": _matches(r"\s*[A-Za-z]+"),
    "punctuation mark": _matches(r"\s*[^\w\s]+\s*"),
    "end of sentence mark": _matches(r"\s*[.!?]+[\"'”’)]*\s*"),
    "full stop": _matches(r"\s*\.+"),
    "exclamation or question mark": _matches(r"\s*[!?]+"),
    "comma": _matches(r"\s*,[\"”’']?"),
    "colon": _matches(r"\s*:+"),
    "semicolon": _matches(r"\s*;"),
    "dash": _matches(r"\s*[-–—]+"),
    "contains a double quote": _matches(r".*[\"“”].*"),
    "single quote": _matches(r"\s*['‘’`]+"),
    "ends in an opening bracket": _matches(r".*[(\[{<]\s*"),
    "starts with a closing bracket": _matches(r"\s*[)\]}>].*"),
    "slash, star or similar sign": _matches(r"\s*[/*#|_~^\\]+"),
    "operator sign": _matches(r"\s*[-+*/=<>%&|!]+"),
    "contains a line break": _matches(r".*\n.*"),
    "contains a blank line": _matches(r".*\n\s*\n.*"),
    "only spaces": _matches(r"[ \t]+"),
    "without ASCII letters": _matches(r"[^A-Za-z]+"),
    "contains a non-ASCII sign": _matches(r".*[^\x00-\x7f].*"),
    "mixes letters and other signs": _matches(r"(?=.*[A-Za-z])(?=.*[^A-Za-z\s]).*"),
    "Roman numeral": _matches(r"\s*[IVXLC]{1,6}"),
    "currency sign": _matches(r"\s*[$€£¥]"),
    "starts with a vowel": _matches(r"\s*[aeiouAEIOU].*"),
}


@cache
def _tests() -> tuple[dict[str, Member], dict[str, list[str]]]:
    """Classes by shape as tests, and classes by word list as the words of each."""
    shapes = dict(_SHAPES)
    for suffix in _SUFFIXES:
        shapes[f"ends in -{suffix}"] = _matches(rf"\s*[A-Za-z]{{2,}}{suffix}")
    for prefix in _PREFIXES:
        shapes[f"starts with {prefix}-"] = _matches(rf"\s*(?i:{prefix})[a-z]{{2,}}")
    source = files("assay.rules").joinpath("words.toml").read_text(encoding="utf-8")
    listed: dict[str, str] = tomllib.loads(source)
    return shapes, {name: words.split() for name, words in listed.items()}


@cache
def class_names() -> tuple[str, ...]:
    """Every named class, in a fixed order."""
    shapes, lists = _tests()
    return (*shapes, *lists)


def word_lists() -> dict[str, list[str]]:
    """The classes that are lists, each with its words."""
    return {name: list(words) for name, words in _tests()[1].items()}


@cache
def _listed_in() -> dict[str, list[int]]:
    """For every listed word, the indices of its classes."""
    shapes, lists = _tests()
    found: dict[str, list[int]] = {}
    for i, words in enumerate(lists.values()):
        for word in words:
            found.setdefault(word, []).append(len(shapes) + i)
    return found


def fold(text: str) -> str:
    """A token's text without the spaces around it and in lower case; text of spaces alone stays as it is."""
    return text.strip().lower() or text


@cache
def _classes_of(text: str) -> tuple[int, ...]:
    shapes, _ = _tests()
    listed = _listed_in().get(fold(text).replace("’", "'"), ())
    return (*(i for i, member in enumerate(shapes.values()) if member(text)), *listed)


def membership(texts: Sequence[str]) -> Float32[np.ndarray, "k c"]:
    """Which of ``texts`` (k) belong to which class (c): a (k, c) array of zeros and ones."""
    table = np.zeros((len(texts), len(class_names())), dtype=np.float32)
    for row, text in enumerate(texts):
        table[row, list(_classes_of(text))] = 1
    return table
