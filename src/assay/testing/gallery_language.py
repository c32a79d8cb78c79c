"""The language of the planted gallery: richer than that of :mod:`assay.testing.planted_language`, and as exact.

Two tongues, quotes, brackets, amounts of money, years, negation, names that come back. A document opens with one
:data:`START` and has at most 64 tokens, so that a window of that length is a document and everything that counts for a
unit is in it. Every draw comes from one seeded generator.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from assay.testing.language import SPECIAL, drawn, make_tokenizer

if TYPE_CHECKING:
    from assay.text import Document

START = "¶"
LENGTH = 64  # tokens of a document, at most
_LEAST = 44  # and about at least

_WORDS = {
    "weekday": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "month": "January February March April June August September October",
    "colour": "red blue green white black grey yellow purple",
    "number": "1 2 3 4 5 6 7 8 9",
    "determiner": "the a my every this that",
    "starter": "The A My In On Then Who What Der Die Das",
    "ing": "walking singing reading cooking waiting sleeping painting digging",
    "ed": "jumped laughed waited looked turned stopped danced painted",
    "noun": "dog house garden river lamp table horse letter boat window stone bridge",
    "adjective": "old small quiet warm broken strange deep new",
    "adverb": "slowly quietly badly gladly loudly",
    "preposition": "on in near with under behind",
    "conjunction": "and but",
    "auxiliary": "was had is",
    "negation": "not never no",
    "name": "Anna Boris Clara David Erik Fatima Grace Henry Ivan Julia Karl Lena",
    "verb": "cost said saw",
    "topic": "storm flood",
    "rare": "quartz",
    "german noun": "Hund Haus Garten Brief Fenster Tisch",
    "german article": "der die das",
    "german verb": "ist war hat",
    "german adjective": "rot alt klein kalt",
    "german link": "nicht und",
    "currency": "$ € £",
    "open": "(",
    "open quote": "“",
}

KINDS: dict[str, tuple[str, ...]] = {
    **{kind: tuple(" " + word for word in words.split()) for kind, words in _WORDS.items()},
    "opener": tuple(_WORDS["starter"].split()),
    "digit": tuple("0123456789"),
    "close": (")",),
    "close quote": ("”",),
    "mark": (",", ".", "!", "?"),
    "newline": ("\n",),
    "start": (START,),
}
"""Tokens by kind. ``opener`` is a starter at the head of a line (no space), ``digit`` continues a number."""

VOCABULARY: tuple[str, ...] = (*SPECIAL, *(token for tokens in KINDS.values() for token in tokens))
TOKEN_ID = {token: i for i, token in enumerate(VOCABULARY)}

_ENGLISH = (
    (1.5, "On weekday , name auxiliary ing preposition determiner noun end"),
    (1.2, "The adjective noun ed preposition determiner noun end"),
    (1.0, "In month number , determiner noun auxiliary colour end"),
    (0.8, "In number digit digit digit , name ed determiner noun adverb end"),
    (1.3, "My noun cost currency digit digit end"),
    (0.6, "The boat cost currency digit digit digit , determiner noun cost number end"),
    (1.2, "name ed determiner colour noun adverb end"),
    (1.0, "name auxiliary negation ing preposition determiner adjective noun end"),
    (1.2, "The noun auxiliary negation adjective and determiner noun auxiliary adjective end"),
    (0.9, "name said , open_quote determiner noun ed adverb end close_quote"),
    (0.9, "name said , open_quote determiner adjective noun auxiliary negation adjective end close_quote"),
    (1.1, "The noun open determiner adjective noun close ed adverb end"),
    (0.8, "name open number noun and number colour noun close auxiliary ing end"),
    (0.9, "Who ed determiner noun preposition determiner noun ?"),
    (0.8, "Then name , name and name ed adverb end"),
    (0.8, "Then determiner noun ed conjunction ed on weekday end"),
    (0.6, "What auxiliary name ing ?"),
    (0.6, "A colour noun auxiliary ing preposition determiner adjective noun end"),
    (0.5, "My horse saw number colour noun and determiner adjective dog end"),
)
_GERMAN = (
    (2.0, "Der german_noun german_verb german_adjective end"),
    (1.2, "Die german_noun german_verb nicht german_adjective und das german_noun german_verb german_adjective end"),
    (1.0, "name german_verb nicht german_adjective end"),
    (1.2, "Das german_noun german_verb number german_adjective german_noun end"),
)
_TOPIC = ((1.0, "The topic auxiliary adjective end"), (1.0, "Then determiner topic ed end"))
_ENDS = ((0.8, "."), (0.1, "!"), (0.1, "?"))
_ZIPF = {kind: tuple((1 / (i + 3), token) for i, token in enumerate(tokens)) for kind, tokens in KINDS.items()}
_SWITCH, _STAY = 0.13, 0.5  # chances that a sentence is the first German one, and that another follows
_TOPICAL = 0.35  # share of documents with a topic
_RARE = 0.08  # share of documents that hold the rare word, once
_CAST = 3  # names that a document prefers
_PREFERRED = 0.7


def tokenizer() -> Any:
    """A ``transformers.PreTrainedTokenizerFast`` over :data:`VOCABULARY`; unknown words become ``<|unknown|>``."""
    return make_tokenizer(VOCABULARY, r" ?[A-Za-z]+| ?[0-9]|\n| ?[^\sA-Za-z0-9]| ")


def gallery_corpus(seed: int = 0, documents: int = 1000) -> list[Document]:
    """Random documents of some 44 to 64 tokens; the same arguments give the same text."""
    from assay.text import Document

    names = [f"gallery-{seed}-{i:05d}" for i in range(documents)]
    texts = ("".join(tokens) for tokens in gallery_tokens(seed, documents))
    return [Document(id=name, text=text, family=name) for name, text in zip(names, texts, strict=True)]


def gallery_tokens(seed: int, documents: int) -> list[list[str]]:
    """The tokens of :func:`gallery_corpus`, a list a document."""
    rng = np.random.default_rng([seed, documents, 41])
    return [_document(rng) for _ in range(documents)]


@cache
def sample_ids(documents: int = 600) -> NDArray[np.int64]:
    """(documents, 64) token ids of some text that no gallery's corpus has, -1 behind its end: for statistics."""
    ids = np.full((documents, LENGTH), -1)
    for row, tokens in enumerate(gallery_tokens(2**20, documents)):
        ids[row, : len(tokens)] = [TOKEN_ID[token] for token in tokens]
    return ids


def _document(rng: np.random.Generator) -> list[str]:
    cast = tuple(KINDS["name"][i] for i in rng.choice(len(KINDS["name"]), _CAST, replace=False))
    tokens, opens, german = [START], True, False
    if rng.random() < _TOPICAL:
        tokens += _sentence(rng, drawn(rng, _TOPIC), cast, opens)
        opens = False
    while True:
        german = bool(rng.random() < (_STAY if german else _SWITCH))
        template = _template(rng, _GERMAN if german else _ENGLISH, opens)
        sentence = _sentence(rng, template, cast, opens)
        if len(tokens) + len(sentence) + 1 > LENGTH:
            if len(tokens) >= _LEAST:
                break
            continue
        tokens += sentence
        opens = bool(rng.random() < 0.25)
        if opens:
            tokens.append("\n")
    nouns = [i for i, token in enumerate(tokens) if token in KINDS["noun"]]
    if nouns and rng.random() < _RARE:
        tokens[int(rng.choice(nouns))] = KINDS["rare"][0]
    return tokens


def _template(rng: np.random.Generator, weighted: tuple[tuple[float, str], ...], opens: bool) -> str:
    """A template; at the head of a line one that begins with a starter, for names have no form without a space."""
    while True:
        template = drawn(rng, weighted)
        if not opens or not template.startswith("name"):
            return template


def _sentence(rng: np.random.Generator, template: str, cast: tuple[str, ...], opens: bool) -> list[str]:
    tokens: list[str] = []
    for place, part in enumerate(template.split()):
        kind = part.replace("_", " ")
        if part == "end":
            tokens.append(drawn(rng, _ENDS))
        elif kind == "name":
            preferred = rng.random() < _PREFERRED
            tokens.append(cast[int(rng.integers(_CAST))] if preferred else drawn(rng, _ZIPF["name"]))
        elif kind in KINDS:
            tokens.append(drawn(rng, _ZIPF[kind]))
        elif part in KINDS["mark"]:
            tokens.append(part)
        else:
            tokens.append(part if opens and place == 0 else " " + part)
    return tokens
