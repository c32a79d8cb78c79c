"""Sets of concept data by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from assay.errors import UnknownName, UsageError
from assay.text.concepts import declined, facts, gender, numbers, sentiment, written
from assay.text.concepts.data import ConceptData
from assay.text.concepts.files import SUFFIXES, read_concept

GROUP = "group"

_HINT = "(concept data is one of these names, or a .csv or .jsonl file with text, label and group)"

_SETS: Mapping[str, Callable[[], ConceptData]] = {
    "arithmetic": numbers.arithmetic,
    "cities": facts.cities,
    "comparisons": numbers.comparisons,
    "gender": gender.gender,
    "gender_hard": gender.gender_hard,
    "gender_written": written.gender_written,
    "neg_cities": facts.neg_cities,
    "neg_sentiment": sentiment.neg_sentiment,
    "neg_translations": facts.neg_translations,
    "requests": declined.requests,
    "requests_benign": declined.requests_benign,
    "requests_rephrased": declined.requests_rephrased,
    "sentiment": sentiment.sentiment,
    "sentiment_letters": sentiment.sentiment_letters,
    "smaller": numbers.smaller,
    "translations": facts.translations,
}


def concept_names() -> list[str]:
    """The names of the sets that come with the package, sorted."""
    return sorted(_SETS)


def load_concept(name: str, group: str = GROUP) -> ConceptData:
    """A set that comes with the package, by name, or one of your own, by the path of its file.

    A ``.csv`` file has a row with the names of its columns, a ``.jsonl`` file an object a line. Columns ``text``,
    ``label`` (0 or 1) and ``group``; optional ``pair``, ``template``, ``answer``, ``level``; others are left out.
    ``group`` names the column that holds the groups; "text" says that no two rows belong together. A row whose text
    (up to whitespace), label, group and pair stood there before is dropped; ``source`` says how many were.

    Raises:
        UnknownName: no such set or file.
        CorpusError: a file that can't be read, or without such a column; a row without text or group, with a label
            other than 0 and 1 or a level that is no whole number; a text that stands in two groups or pairs or has both
            labels; a pair that is not two rows of one group, one of each label; one class only. The message names file
            and line.
        UsageError: another column of groups for a set that comes with the package.
    """
    if name in _SETS:
        if group != GROUP:
            raise UsageError(f"the groups of {name} come with it; leave group out. Got {group!r}")
        return _made(name)
    path = Path(name).expanduser()
    if path.suffix.lower() in SUFFIXES and path.is_file():
        return read_concept(path, group)
    around = path.parent.iterdir() if path.parent.is_dir() else ()
    beside = sorted(p for p in around if p.suffix.lower() in SUFFIXES and p.is_file())
    files = [str(p) if p.is_absolute() or len(p.parts) > 1 else p.name for p in beside]
    raise UnknownName("concept data", name, [*concept_names(), *files], _HINT)


@cache
def _made(name: str) -> ConceptData:
    return _SETS[name]()
