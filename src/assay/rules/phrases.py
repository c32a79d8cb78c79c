"""Rules in plain English.

Two uses: a printed line quotes every string exactly, spaces included; a sentence is for reading, and so leaves out the
spaces around a string, names strings that differ in nothing else once, and says what rules have in common once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from assay.rules.classes import fold

LONGEST = 280
_LONGEST_STRING = 24

_SUBJECTS = {
    "token": "the token",
    "form": "the token",
    "flag": "the token",
    "word": "the word so far",
    "stem": "the word so far",
    "previous token": "the previous token",
    "previous word": "the previous word",
    "second last": "the token two back",
    "third last": "the token three back",
}
_BAG_VERBS = {
    "nearby": ("is among the previous 8 tokens", "is not among the previous 8 tokens"),
    "earlier": ("came earlier", "did not come earlier"),
}
_ORDER = (*_SUBJECTS, *_BAG_VERBS)
_VERBS = {"starts": "start", "ends": "end", "contains": "contain", "mixes": "mix"}
_ADJECTIVES = (
    "capitalised",
    "capitalised after a space",
    "all capitals",
    "in small letters",
    "two or three letters long",
    "four or five letters long",
    "six to eight letters long",
    "nine or more letters long",
    "made of letters",
    "only spaces",
    "without ASCII letters",
)
_NUMBERED = ("first", "second", "third", "end")
_MARKS = {"\n": "⏎", "\t": "⇥", "\r": "␍"}


class Said(NamedTuple):
    """A condition as words see it: its slot, and the strings or the name."""

    slot: str
    any_of: tuple[str, ...]
    named: str
    negated: bool


class Clause(NamedTuple):
    """What one or several rules say with one sign: conditions that all hold, and how many rules they came from."""

    rises: bool
    when: tuple[Said, ...]
    rules: int


@lru_cache(2**16)
def quoted(text: str) -> str:
    """A token's text in curly quotes, with its spaces, and with what can't be printed made visible."""
    shown = (_MARKS.get(c) or (c if c.isprintable() else c.encode("unicode_escape").decode()) for c in text)
    return "“" + "".join(shown) + "”"


def conditions_phrase(when: Sequence[Said], most: int, exact: bool) -> str:
    """Conditions in words, joined by "and"; a subject that stays the same is said once."""
    ranked = sorted(when, key=lambda said: _ORDER.index(said.slot))
    parts: list[str] = []
    last = ""
    for said in ranked:
        subject, predicate = _phrase(said, most, exact)
        parts.append(predicate if subject == last else f"{subject} {predicate}")
        last = subject
    return _joined(parts, "and")


def _phrase(said: Said, most: int, exact: bool) -> tuple[str, str]:
    """Subject and predicate of one condition."""
    if said.slot in _BAG_VERBS:
        return _bag_phrase(said, most, exact)
    subject = _SUBJECTS[said.slot]
    if said.slot == "flag":
        article = "the " if said.named.split()[0] in _NUMBERED else ""
        return subject, f"is {'not ' if said.negated else ''}{article}{said.named}"
    case = " in any case" if said.slot == "form" else ""
    form = "a form of " if said.slot == "stem" else ""
    if said.named:
        return subject, _class_predicate(said.named, said.negated) + case
    return subject, f"is {'not ' if said.negated else ''}{form}{_listing(said.any_of, most, exact)}{case}"


def _bag_phrase(said: Said, most: int, exact: bool) -> tuple[str, str]:
    verb, negated_verb = _BAG_VERBS[said.slot]
    if said.named:
        return _class_noun(said.named, said.negated), verb
    strings = _listing(said.any_of, most, exact)
    if not said.negated:
        return strings, verb
    return (strings, negated_verb) if len(said.any_of) == 1 else (f"none of {strings}", verb)


def _class_predicate(name: str, negated: bool) -> str:
    first, _, rest = name.partition(" ")
    if first in _VERBS:
        return f"does not {_VERBS[first]} {rest}" if negated else name
    what = name if name in _ADJECTIVES else _with_article(name)
    return f"is not {what}" if negated else f"is {what}"


def _class_noun(name: str, negated: bool) -> str:
    if name in _ADJECTIVES or name.split()[0] in _VERBS:
        return f"{'no' if negated else 'a'} token that {_class_predicate(name, False)}"
    return f"no {name}" if negated else _with_article(name)


def _with_article(name: str) -> str:
    return f"an {name}" if name[0].lower() in "aeio" else f"a {name}"


def _listing(strings: Sequence[str], most: int, exact: bool) -> str:
    distinct = strings if exact else _plain(tuple(strings))
    shown = [quoted(text if exact else _cut(text, _LONGEST_STRING)) for text in distinct[:most]]
    extra = len(distinct) - most
    if extra > 0:
        shown.append(f"{extra} more")
    return _joined(shown, "or")


@lru_cache(2**10)
def _plain(strings: tuple[str, ...]) -> Sequence[str]:
    """Strings without the spaces around them; of those that differ in nothing else the first."""
    plain: dict[str, str] = {}
    for text in strings:
        plain.setdefault(fold(text), text.strip() or text)
    return tuple(plain.values())


def _joined(parts: Sequence[str], word: str) -> str:
    return f" {word} ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def merged(rules: Sequence[tuple[float, tuple[Said, ...]]]) -> list[Clause]:
    """Rules as clauses, in their order: rules of one sign that differ in one list of strings only are one clause."""
    clauses: dict[object, Clause] = {}
    for i, (value, when) in enumerate(rules):
        if value == 0:
            continue
        lists = [said for said in when if said.any_of and not said.negated]
        rest = frozenset(said for said in when if said not in lists)
        key = (value > 0, lists[0].slot, rest) if len(lists) == 1 else i
        if key in clauses:
            before = clauses[key]
            when = tuple(_union(said, lists[0]) if said.any_of and not said.negated else said for said in before.when)
            clauses[key] = Clause(before.rises, when, before.rules + 1)
        else:
            clauses[key] = Clause(value > 0, when, 1)
    return list(clauses.values())


def _union(said: Said, other: Said) -> Said:
    return said._replace(any_of=tuple(dict.fromkeys((*said.any_of, *other.any_of))))


def sentence(rules: Sequence[tuple[float, tuple[Said, ...]]], most_clauses: int, most_listed: int) -> str:
    """Rules, given as value and conditions, as one sentence of at most :data:`LONGEST` characters.

    The first ``most_clauses`` clauses are said, with at most ``most_listed`` strings a list; fewer where it would get
    too long. What is left out is counted.
    """
    clauses = merged(rules)
    if not clauses:
        return "Nothing in the left context predicts it."
    shown = min(most_clauses, len(clauses))
    fewest = min(2, most_listed)
    sizes = [(k, n) for k in range(shown, 0, -1) for n in range(most_listed, fewest - 1, -1)]
    texts = (_sentence(clauses, k, n) for k, n in sizes)
    return next((text for text in texts if len(text) <= LONGEST), None) or _cut(_sentence(clauses, 1, 1), LONGEST)


def _sentence(clauses: Sequence[Clause], most_clauses: int, most_listed: int) -> str:
    said = clauses[:most_clauses]
    parts: list[str] = []
    for verb, rises in (("rises", True), ("falls", False)):
        phrases = [conditions_phrase(clause.when, most_listed, exact=False) for clause in said if clause.rises == rises]
        if phrases:
            parts.append(f"it {verb} when " + ", or when ".join(phrases))
    rest = sum(clause.rules for clause in clauses[most_clauses:])
    if rest:
        parts.append(f"{rest} more {'rules refine' if rest > 1 else 'rule refines'} this")
    text = "; ".join(parts)
    return text[0].upper() + text[1:] + "."
