"""Evidence as any lab has it: plain rows, a forest plot of them, and a table that is sorted by links."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from assay.errors import UsageError
from assay.explain.verdict_words import VERDICTS

PER_PAGE = 60
_LONGEST = 200  # letters of a name in an address
_SHORT = 48  # letters of a label that leave a narrow plot room
_NARROW, _WIDE = 720, 960  # pixels


class EvidenceRow(NamedTuple):
    """One score of one claim.

    ``label`` names the row, ``claim`` is the sentence that was tested. ``verdict`` is one of the store's, ``word`` the
    lab's own for it. ``nulls`` decide, ``references`` inform; both by name, None where there is no number.
    ``link``: where the label leads to. ``more``: further columns of the lab.
    """

    label: str
    check: str
    measure: str
    value: float | None
    lo: float | None = None
    hi: float | None = None
    n: int | None = None
    nulls: Mapping[str, float | None] = {}
    references: Mapping[str, float | None] = {}
    claim: str = ""
    verdict: str = ""
    word: str = ""
    reason: str = ""
    unscored: str = ""
    group: str = ""
    link: str = ""
    more: Mapping[str, Any] = {}


class Column(NamedTuple):
    """A column of a table. ``kind`` says how its values are written: see ``cell`` in ``evidence_parts.html``."""

    key: str
    name: str
    kind: str = "text"
    gloss: str = ""

    @property
    def sortable(self) -> bool:
        """Whether rows have an order by it."""
        return self.kind not in ("sentence", "named", "fine_named")


class Table(NamedTuple):
    """One page of a table: its columns, its rows by the columns' keys, and how many there are in all.

    ``sorts``: the columns by which rows can be sorted with a link.
    """

    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]]
    total: int
    page: int = 1
    pages: int = 1
    sort: str = ""
    descending: bool = False
    sorts: Sequence[str] = ()


class Section(NamedTuple):
    """A part of a page: a figure, a table, or both. ``figure``: ``svg`` and what it shows in words."""

    title: str
    note: str = ""
    figure: Mapping[str, str] | None = None
    table: Table | None = None


class Choice(NamedTuple):
    """One of several things to look at: the name of the query's part, its values with their names, which is chosen."""

    name: str
    title: str
    options: Sequence[tuple[str, str]]
    chosen: str


EVIDENCE = (
    Column("value", "value", "score"),
    Column("interval", "95 % interval", "interval"),
    Column("n", "n", "count", "documents or sentences that it was measured on"),
    Column("nulls", "nulls", "named", "what a meaningless claim gets; these decide"),
    Column("references", "references", "named", "what a simpler or richer method gets; these inform"),
    Column("verdict", "verdict", "verdict"),
    Column("reason", "why", "sentence"),
)
"""The columns that evidence has of any lab, behind what a row is called."""


def as_row(row: EvidenceRow) -> dict[str, Any]:
    """The row by the keys of :data:`EVIDENCE` and of its own further columns."""
    return {**row._asdict(), **row.more, "interval": row.value, "reason": row.reason or row.unscored}


def paged(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], query: Mapping[str, str], page: int) -> Table:
    """Rows sorted as the query asks, within their groups, and one page of them.

    Raises:
        UsageError: a sort that no column has.
    """
    sort, down = query.get("sort", ""), query.get("order", "down") == "down"
    known = [column.key for column in columns if column.sortable]
    if sort:
        if sort not in known:
            raise UsageError(f"no sort {sort[:_LONGEST]!r}; there are {', '.join(known)}")
        rows = _sorted(rows, sort, down)
    pages = max(1, -(-len(rows) // PER_PAGE))
    start = PER_PAGE * (min(page, pages) - 1)
    return Table(columns, rows[start : start + PER_PAGE], len(rows), min(page, pages), pages, sort, down, known)


def _sorted(rows: Sequence[Mapping[str, Any]], sort: str, down: bool) -> list[Mapping[str, Any]]:
    """By one key within groups, which keep their order; what has no value comes last."""
    groups = list(dict.fromkeys(row.get("group", "") for row in rows))
    known = sorted((row for row in rows if row.get(sort) is not None), key=lambda row: row[sort], reverse=down)
    known += [row for row in rows if row.get(sort) is None]
    return sorted(known, key=lambda row: groups.index(row.get("group", "")))


def forest(
    rows: Sequence[Mapping[str, Any]], score: str, *, zero_name: str = "", domain: tuple[float, float] | None = None
) -> dict[str, str] | None:
    """The forest plot of such rows; None where there is nothing to draw."""
    from assay.draw import ForestRow, forest_plot

    if not any(row["value"] is not None for row in rows):
        return None
    drawn = [
        ForestRow(
            row["label"],
            row["value"],
            row["lo"],
            row["hi"],
            {name: value for name, value in row["nulls"].items() if value is not None},
            {name: value for name, value in row["references"].items() if value is not None},
            row["group"],
            row["verdict"],
            row["link"],
        )
        for row in rows
    ]
    width = _WIDE if any(len(row["label"]) > _SHORT for row in rows) else _NARROW
    figure = forest_plot(drawn, score=score, zero_name=zero_name, domain=domain, width=width)
    return {"svg": figure.svg, "alternative": figure.alternative}


def counted(rows: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """How many claims came to which word, the commonest first; pairs of a store's verdict and a lab's word."""
    counts = Counter(rows)
    return [
        {"verdict": verdict, "word": word or verdict, "count": count}
        for (verdict, word), count in sorted(counts.items(), key=lambda one: -one[1])
    ]


def meanings(counts: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What the store's verdicts among these mean."""
    return {name: meaning for name, (_, meaning) in VERDICTS.items() if any(name == one["word"] for one in counts)}


def chosen(query: Mapping[str, str], name: str, options: Sequence[str]) -> str:
    """The value of a part of the query that must be one of these; the first by default.

    Raises:
        UsageError: it is none of them.
    """
    value = query.get(name) or (options[0] if options else "")
    if options and value not in options:
        raise UsageError(f"no {name} {value[:_LONGEST]!r}; there are {', '.join(options)}")
    return value
