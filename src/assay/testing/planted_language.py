"""The small language that planted models speak: a vocabulary of word kinds, a tokenizer and a grammar.

Words carry their leading space as in byte-pair vocabularies (``" the"``), so that "starts a word" and
"continues a word" mean here what they mean in a real model. Sentences are drawn from templates, words of a
kind by Zipf's law; every draw comes from one seeded generator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from assay.testing.language import SPECIAL, drawn, make_tokenizer

if TYPE_CHECKING:
    from assay.text import Document


_WORDS = {
    "weekday": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "month": "January February March April May June July August September October November December",
    "colour": "red blue green white black grey brown yellow purple",
    "number": "1 2 3 4 5 6 7 8 9",
    "determiner": "the a my every this that",
    "starter": "The A My In On Then",
    "ing": "walking singing reading cooking waiting sleeping painting digging",
    "ed": "jumped laughed waited looked turned stopped called danced",
    "noun": "dog house garden river lamp table horse letter boat window stone bridge",
    "adjective": "old small quiet warm broken strange",
    "adverb": "slowly again today loudly",
    "preposition": "on in near with under behind",
    "conjunction": "and but",
    "auxiliary": "was had is",
    "name": "Anna Boris Clara David Erik Fatima Grace",
    "rare": "quartz",
}

KINDS: dict[str, tuple[str, ...]] = {
    **{kind: tuple(" " + word for word in words.split()) for kind, words in _WORDS.items()},
    "opener": tuple(_WORDS["starter"].split()),
    "digit": tuple("0123456789"),
    "mark": (",", ".", "!", "?"),
    "newline": ("\n",),
}
"""Tokens by kind. ``opener`` is a starter at the head of a line (no space), ``digit`` continues a number."""

VOCABULARY: tuple[str, ...] = (*SPECIAL, *(token for tokens in KINDS.values() for token in tokens))

_TEMPLATES = (
    (3.0, "On weekday , name auxiliary ing preposition determiner noun end"),
    (3.0, "The adjective noun ed preposition determiner noun end"),
    (2.0, "In month number digit , determiner noun auxiliary colour end"),
    (1.0, "In month , name auxiliary number noun conjunction determiner colour noun end"),
    (3.0, "Then name ed number noun , but determiner noun ed adverb end"),
    (3.0, "My noun auxiliary ing adverb preposition name end"),
    (3.0, "A colour noun auxiliary ing preposition determiner adjective noun end"),
    (2.0, "Then determiner noun ed conjunction ed on weekday end"),
    (2.0, "On month number , determiner colour noun ed adverb end"),
)
_ENDS = ((0.8, "."), (0.12, "!"), (0.08, "?"))
_ZIPF = {kind: tuple((1 / (i + 2), token) for i, token in enumerate(tokens)) for kind, tokens in KINDS.items()}
_RARE_DOCUMENTS = 7  # documents that hold the rare word, once each


def tokenizer() -> Any:
    """A ``transformers.PreTrainedTokenizerFast`` over :data:`VOCABULARY`; unknown words become ``<|unknown|>``."""
    return make_tokenizer(VOCABULARY, r" ?[A-Za-z]+| ?[0-9]|\n|[^\sA-Za-z0-9]| ")


def planted_corpus(seed: int = 0, documents: int = 400, words: int = 60) -> list[Document]:
    """Random documents of about ``words`` tokens each; the rare word stands once in the first seven at most."""
    from assay.text import Document

    texts = ["".join(tokens) for tokens in planted_tokens(seed, documents, words)]
    names = [f"planted-{seed}-{i:04d}" for i in range(documents)]
    return [Document(id=name, text=text, family=name) for name, text in zip(names, texts, strict=True)]


def planted_tokens(seed: int, documents: int, words: int) -> list[list[str]]:
    """The tokens of :func:`planted_corpus`, a list a document."""
    rng = np.random.default_rng([seed, documents, words])
    return [_document(rng, words, rare=i < _RARE_DOCUMENTS) for i in range(documents)]


def _document(rng: np.random.Generator, words: int, rare: bool) -> list[str]:
    tokens: list[str] = []
    opens = True
    while len(tokens) < words:
        tokens += _sentence(rng, drawn(rng, _TEMPLATES).split(), opens)
        opens = bool(rng.random() < 0.3)
        if opens and len(tokens) < words:
            tokens.append("\n")
    if rare:
        nouns = [i for i, token in enumerate(tokens) if i > 0 and token in KINDS["noun"]]
        tokens[int(rng.choice(nouns))] = KINDS["rare"][0]
    return tokens


def _sentence(rng: np.random.Generator, template: list[str], opens: bool) -> list[str]:
    tokens: list[str] = []
    for place, part in enumerate(template):
        if part == "end":
            tokens.append(drawn(rng, _ENDS))
        elif part in KINDS:
            tokens.append(drawn(rng, _ZIPF[part]))
        elif part == ",":
            tokens.append(part)
        else:
            tokens.append(part if opens and place == 0 else " " + part)
    return tokens
