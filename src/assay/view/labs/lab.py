"""What the pages of all labs have: words about what was asked, counts, sections, thresholds, the run's own files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from assay.store.run import Run
from assay.view.evidence import Choice, Section, meanings
from assay.view.pages import Ask, Page

FILES = {"page.html": ("page", "the page that was stored with the run"), "figure.svg": ("figure.svg", "its figure")}


class Told(NamedTuple):
    """What a lab's page says.

    ``counts``: see :func:`assay.view.evidence.counted`. ``thresholds``: name, value and what it is.
    """

    title: str
    words: Sequence[str]
    sections: Sequence[Section]
    counts: Sequence[Mapping[str, Any]] = ()
    thresholds: Sequence[tuple[str, Any, str]] = ()
    choices: Sequence[Choice] = ()


def lab_page(run: Run, ask: Ask, told: Told, path: str = "") -> Page:
    """The page; ``path`` is where it stands below the run."""
    return Page(
        "lab.html",
        {
            "run": run.id,
            "path": path,
            "verb": run.spec["verb"],
            "title": told.title,
            "words": list(told.words),
            "provenance": provenance(run),
            "counts": list(told.counts),
            "meanings": meanings(told.counts),
            "sections": list(told.sections),
            "thresholds": [{"name": name, "value": value, "gloss": gloss} for name, value, gloss in told.thresholds],
            "choices": list(told.choices),
            "files": stored_files(run),
            "query": {name: value for name, value in ask.query.items() if value and name != "page"},
        },
    )


def stored_files(run: Run) -> list[dict[str, str]]:
    """The pages and figures that were stored with the run, with the paths at which they are shown."""
    return [{"path": path, "says": says} for name, (path, says) in FILES.items() if run.has(name)]


def provenance(run: Run) -> dict[str, Any]:
    """Where the run comes from; of a run of a foreign version what there is of it."""
    spec = run.spec
    subject, corpus, git = ((spec.get(name) or {}) for name in ("subject", "corpus", "git"))
    return {
        "subject": subject.get("name"),
        "numerics": " on ".join(str(subject[name]) for name in ("dtype", "device") if subject.get(name)),
        "why": subject.get("reason"),
        "fingerprint": subject.get("fingerprint"),
        "corpus": corpus.get("name"),
        "splits": corpus.get("splits_sha256"),
        "started": spec.get("started"),
        "command": command(spec.get("argv") or []),
        "commit": git.get("commit"),
        "dirty": git.get("dirty"),
    }


def command(argv: Sequence[Any]) -> str:
    """What was typed, without the path of the program."""
    if not argv:
        return ""
    return " ".join([str(argv[0]).rpartition("/")[2], *map(str, argv[1:])])


def listed(names: Sequence[Any], most: int = 8) -> str:
    """Names in a sentence; of many the first ones and how many others there are."""
    shown = ", ".join(map(str, names[:most]))
    return f"{shown} and {len(names) - most:,} others" if len(names) > most else shown


def number(value: Any) -> str:
    """A count with its thousands apart; whatever else it is, as it stands."""
    return f"{value:,}" if isinstance(value, int) else str(value)
