"""What a model can be steered to: texts to learn it from, prompts to see it at, and words to score it by."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property

from snowballstemmer.english_stemmer import EnglishStemmer

from assay.errors import UsageError

TEXT, CHAT = "text", "chat"
REPLIES, REQUESTS = "replies", "requests"
PARTS = (TEXT, REPLIES, REQUESTS)

_NAME = re.compile(r"[\w.-]+")
_SHORT = 4
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class Behaviour:
    """A behaviour.

    ``pairs``: contrast pairs, the text with the behaviour first. ``prompts``: neutral ones, each about something else,
    at which the behaviour is scored: by how much likelier the next word is one of ``more`` than one of ``less``, or,
    where there are ``choices``, by how much likelier the prompt goes on with the first of its two choices than with the
    second. ``loaded``: prompts that call for the behaviour.

    ``style``: "text", prompts are beginnings of sentences, or "chat", they are a user's requests. ``of``: what pairs
    are: "text", "replies" of an assistant, or "requests" of a user. ``actadd``: two short prompts whose difference is
    added at the front; ``arithmetic``: two words. ``instruction`` asks for the behaviour. ``classified``: further pairs
    that a classifier of continuations learns from. ``pattern``: a regular expression that a continuation with the
    behaviour matches, "" where no format is meant.

    Raises:
        UsageError: nothing to learn from, score by or score at, a form that is not as said, a pattern that is none, or
            a word that is learnt from and scored.
    """

    name: str
    about: str
    pairs: tuple[tuple[str, str], ...]
    prompts: tuple[str, ...]
    actadd: tuple[str, str]
    arithmetic: tuple[str, str]
    instruction: str
    more: tuple[str, ...] = ()
    less: tuple[str, ...] = ()
    choices: tuple[tuple[str, str], ...] = ()
    loaded: tuple[str, ...] = ()
    classified: tuple[tuple[str, str], ...] = ()
    pattern: str = ""
    style: str = TEXT
    of: str = TEXT
    source: str = "written for assay"

    def __post_init__(self) -> None:
        for kind, got, known in (("style", self.style, (TEXT, CHAT)), ("of", self.of, PARTS)):
            if got not in known:
                raise UsageError(f"{kind} of the concept {self.name} must be {' or '.join(known)}. Got {got!r}.")
        if not _NAME.fullmatch(self.name):
            raise UsageError(f"the name of a concept must be letters, digits, - and _. Got {self.name!r}.")
        if not self.pairs:
            raise UsageError(f"the concept {self.name} has no pairs, so there is nothing to learn from; give some")
        texts = (*_flat(self.pairs), *_flat(self.classified), *_flat(self.choices), *self.prompts, *self.loaded)
        for text in (*texts, *self.actadd):
            if not text.strip():
                raise UsageError(f"a text of the concept {self.name} is empty; give one, or leave it out")
        if twice := [text for text, count in Counter(self.prompts).items() if count > 1]:
            raise UsageError(f"a prompt of the concept {self.name} stands there twice: {twice[0]!r}; take one out")
        if self.choices and len(self.choices) != len(self.prompts):
            raise UsageError(
                f"the concept {self.name} has {len(self.choices)} choices and {len(self.prompts)} prompts; give as many"
            )
        if not self.choices and not (self.more and self.less):
            raise UsageError(f"the concept {self.name} needs words to score by, in 'more' and 'less', or 'choices'")
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise UsageError(f"the pattern of the concept {self.name} is no regular expression: {error}") from error
        if shared := self.shared_words():
            raise UsageError(
                f"the concept {self.name} is learnt from and scored by the same words: {', '.join(shared)}; take them "
                "out of one of both"
            )

    @cached_property
    def sha256(self) -> str:
        """Hash of all of it."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def shared_words(self) -> list[str]:
        """Scored words whose stem stands in what is learnt from: pairs, short prompts, words, the instruction."""
        learnt = stems((*_flat(self.pairs), *self.actadd, *self.arithmetic, self.instruction))
        words = [word for word in (*self.more, *self.less) if stems([word]) & learnt]
        both = long_stems(_flat(self.choices)) & long_stems((*_flat(self.pairs), *self.actadd, *self.arithmetic))
        return [*words, *sorted(both)]


def stems(texts: Iterable[str]) -> set[str]:
    """Stems of all words of some texts, in lower case."""
    stemmer = EnglishStemmer()
    return {stemmer.stemWord(word) for text in texts for word in _WORD.findall(text.lower())}


def long_stems(texts: Iterable[str]) -> set[str]:
    """Stems of the words of more than four letters: choices are whole phrases, and share "the" with all texts."""
    return stems(word for text in texts for word in _WORD.findall(text) if len(word) > _SHORT)


def _flat(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    for pair in pairs:
        yield from pair
