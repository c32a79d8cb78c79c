"""What the forms of a word have in common: draw for drawing, drawn and drew.

Endings are taken off by the Snowball stemmer for English (Porter 2001); ``irregular.toml`` lists what has none.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

from snowballstemmer.english_stemmer import EnglishStemmer


@cache
def _irregular() -> dict[str, str]:
    source = files("assay.rules").joinpath("irregular.toml").read_text(encoding="utf-8")
    bases: dict[str, str] = tomllib.loads(source)
    return {form: base for base, forms in bases.items() for form in forms.split()}


@cache
def stem(word: str) -> str:
    """The stem of a folded word, in small letters, need not be a word; "" for what is not made of ASCII letters."""
    if not (word.isascii() and word.isalpha()):
        return ""
    return EnglishStemmer().stemWord(_irregular().get(word, word))
