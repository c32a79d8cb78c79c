"""Text that no template made: beginnings of sentences of the bundled corpus that go on with " she" or " he"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from assay.text.concepts.data import ConceptData, Item
from assay.text.concepts.drawn import shuffled, table
from assay.text.concepts.gender import HE, SHE
from assay.text.corpus import Document, load_corpus
from assay.text.sentences import sentences

WORDS = (5, 40)
OF_ONE_DOCUMENT = 2
BEFORE = 2  # sentences that a text may begin earlier

_PRONOUN = re.compile(r"(?<=[\w,;]) (she|he)\b(?![\u2019'/-])")
_PLAIN = re.compile(r"[\"\u201c]?[A-Z][A-Za-z0-9 ,;:.!?\"\u201c\u201d\u2019'-]*")
_WORD = re.compile(r"[A-Za-z]+")


def gender_written() -> ConceptData:
    """Beginnings of sentences that the default model wrote and went on with " she" or " he".

    A text begins with its sentence, or up to two sentences earlier if a word that tells the gender stands only there;
    where there is none, the sentence is left out. Level 1: all such words are of the gender of the pronoun; level 2:
    there are words of both. At most two texts are from one document, and as many go on with " she" as with " he".
    """
    women, men = _telling()
    found: dict[str, list[Item]] = {SHE: [], HE: []}
    seen: set[str] = set()
    for document in load_corpus("bundled").documents:
        new = {item.text: item for item in _items(document, women, men) if item.text not in seen}
        for item in shuffled(list(new.values()), "of one document")[:OF_ONE_DOCUMENT]:
            seen.add(item.text)
            found[item.answer].append(item)
    count = min(map(len, found.values()))
    chosen = {item for items in found.values() for item in shuffled(items, "balanced")[:count]}
    items = tuple(item for pronoun in (SHE, HE) for item in found[pronoun] if item in chosen)
    source = (
        "the bundled corpus, which smollm2-135m wrote: beginnings of sentences that contain a word that tells the "
        f"gender and go on with she or he, at most {OF_ONE_DOCUMENT} of one document"
    )
    return ConceptData("gender_written", items, "the text went on with she, not he", source)


def _telling() -> tuple[frozenset[str], frozenset[str]]:
    """Words, in lower case, and names, with a capital, that are said of women, and those that are said of men."""
    rows = [row for name in ("gendered.tsv", "roles.tsv", "names.tsv") for row in table(name)]
    return frozenset(female for female, _ in rows), frozenset(male for _, male in rows)


def _items(document: Document, women: frozenset[str], men: frozenset[str]) -> Iterator[Item]:
    if " she" not in document.text and " he" not in document.text:
        return
    parts = [" ".join(part.split()) for part in sentences(document.text)]
    for number, part in enumerate(parts):
        for match in _PRONOUN.finditer(part):
            told = women if match[1] == "she" else men
            text = _reaching(parts[max(0, number - BEFORE) : number], part[: match.start()], told)
            if text:
                level = 2 if _words(text) & (men if told is women else women) else 1
                yield Item(text, int(told is women), document.id, answer=match[0], level=level)


def _reaching(before: Sequence[str], start: str, told: frozenset[str]) -> str:
    """The start of a sentence, with as many of the sentences before it as it takes to meet a telling word, or ""."""
    for number in range(len(before) + 1):
        text = " ".join([*before[len(before) - number :], start])
        if len(text.split()) >= WORDS[0] and _words(text) & told:
            return text if len(text.split()) <= WORDS[1] and _PLAIN.fullmatch(text) else ""
    return ""


def _words(text: str) -> set[str]:
    found = set(_WORD.findall(text))
    return found | {word.lower() for word in found}
