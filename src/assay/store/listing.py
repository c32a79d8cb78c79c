"""Lists of units with their claims, from the index of a run: what can be asked for, and how it is asked in SQL.

Every list is found on narrow tables first; texts are fetched for the page's rows alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from assay.errors import UsageError

SORTS: Mapping[str, str] = {
    "place": "u.n",
    "r": "c.r",
    "margin": "c.r - c.best_null",
    "context": "c.r_context",
    "lookup": "c.r - c.lookup",
    "behaviour": "c.behaviour",
    "firing": "u.firing_rate",
    "bits": "c.bits",
    "skew": "u.skew",
}
"""What a list of units can be sorted by."""

KINDS: Mapping[str, str] = {
    "any": "1",
    "supported": "c.verdict = 'supported'",
    "predicts": "c.verdict = 'predicts'",
    "refuted": "c.verdict = 'refuted'",
    "undecided": "c.verdict = 'undecided'",
    "void": "c.verdict = 'void'",
    "surprising": "c.r >= 0.4 AND c.surplus_hi IS NOT NULL AND c.behaviour <= c.noise",
}
"""What units can be drawn from: a verdict, or ``surprising``: high r, and behaviour no better than the noise arm's."""

RANKED = 5_000  # claims that a search by words may fit and still be put in the order of how well they do
_UNIT = "u.unit, u.layer, u.kind, u.idx, u.firing_rate, u.sd"
_CLAIM = """c.claim, c.explainer, t.text, c.bits, c.r, c.r_lo, c.r_hi, c.best_null, c.lookup, c.r_context, c.behaviour,
c.behaviour_lo, c.behaviour_hi, c.behaviour_null, c.noise, c.verdict, t.reason"""
_PEAK = "p.token, p.count AS peaks, p.of AS exemplars, p.side, p.peak"

Ask = Callable[[str, Sequence[Any]], list[Any]]


class Asked(NamedTuple):
    """Which units are listed. ``words``: of explanations; ``token``: on which they fire; both empty for no search."""

    explainer: str
    sort: str = "place"
    descending: bool = False
    kind: str = "any"
    layer: int | None = None
    low: float | None = None
    high: float | None = None
    words: str = ""
    token: str = ""
    start: int = 0
    most: int = 50


class Listed(NamedTuple):
    """One page of a list: its rows, and how many there are in all."""

    rows: list[dict[str, Any]]
    total: int


class Among(NamedTuple):
    """Units beyond which a list does not go: a condition on ``u``, and its values."""

    condition: str
    values: Sequence[Any]


class _Found(NamedTuple):
    """SQL that finds the rows of a list: a query that counts them, and one that gives units, claims and peaks.

    ``rows`` are in order, and so can be cut; ``order`` puts those of a page, called f, in the same order again.
    """

    total: str
    values: Sequence[Any]
    rows: str
    row_values: Sequence[Any]
    order: str


def listed(ask: Ask, asked: Asked, number: int | None, among: Among | None = None) -> Listed:
    """A page of the list of units, each with its claim by one explainer.

    A search by words is in the order of how well they fit, one by token in the order of how many of a unit's exemplars
    fire there, unless a sort is asked for. Words that fit more than :data:`RANKED` claims leave the order as it is.

    Args:
        ask: carries out a query.
        number: of the explainer, by which its words are found; None for an explainer without claims.
        among: leaves other units out.

    Raises:
        UsageError: an unknown sort or kind.
    """
    known(KINDS, "kind", asked.kind)
    known(SORTS, "sort", asked.sort)
    if asked.words and number is None:
        return Listed([], 0)
    given = (asked.layer, asked.low, asked.high, among)
    filtered = asked.kind != "any" or any(part is not None for part in given)
    if filtered or asked.sort != "place" or (asked.words and asked.token):
        found = _by_columns(asked, number, filtered, among)
    elif asked.words:
        found = _by_words(ask, asked, number)
    elif asked.token:
        found = _by_token(asked)
    else:
        found = _all(asked)
    total = ask(found.total, found.values)[0][0]
    columns = f"{_UNIT}, {_CLAIM}" + (f", {_PEAK}" if asked.token else "")
    joined = "CROSS JOIN units u ON u.n = f.unit" + (" CROSS JOIN peaks p ON p.rowid = f.peak" if asked.token else "")
    joined += " LEFT JOIN claims c ON c.claim = f.claim LEFT JOIN texts t ON t.claim = f.claim"
    query = f"SELECT {columns} FROM ({found.rows} LIMIT ? OFFSET ?) f {joined} ORDER BY {found.order}"
    rows = ask(query, [*found.row_values, asked.most, asked.start])
    return Listed([dict(row) for row in rows], total)


def _all(asked: Asked) -> _Found:
    order = "DESC" if asked.descending else "ASC"
    rows = f"""SELECT u.n AS unit, c.claim FROM units u
        LEFT JOIN claims c ON c.unit = u.n AND c.explainer = ? ORDER BY u.n {order}"""
    return _Found("SELECT count(*) FROM units", [], rows, [asked.explainer], f"f.unit {order}")


def _by_words(ask: Ask, asked: Asked, number: int | None) -> _Found:
    words = f"words{number}"
    count, match = f"SELECT count(*) FROM {words} WHERE {words} MATCH ?", matching(asked.words)
    place = "rank" if ask(count, [match])[0][0] <= RANKED else "rowid"
    rows = f"""SELECT c.unit, c.claim, w.{place} AS place FROM {words} w JOIN claims c ON c.claim = w.rowid
        WHERE {words} MATCH ? ORDER BY w.{place}"""
    return _Found(count, [match], rows, [match], "f.place")


def _by_token(asked: Asked) -> _Found:
    form = one_form(asked.token)
    rows = """SELECT p.unit, p.rowid AS peak, p.count AS place, p.height,
        (SELECT claim FROM claims WHERE unit = p.unit AND explainer = ?) AS claim
        FROM peaks p WHERE p.form = ? ORDER BY p.count DESC, p.height DESC"""
    count = "SELECT count(*) FROM peaks WHERE form = ?"
    return _Found(count, [form], rows, [asked.explainer, form], "f.place DESC, f.height DESC")


def _by_columns(asked: Asked, number: int | None, filtered: bool, among: Among | None) -> _Found:
    """Any combination: tables joined as far as they are needed."""
    tables, values = "units u LEFT JOIN claims c ON c.unit = u.n AND c.explainer = ?", list[Any]([asked.explainer])
    where = [KINDS[asked.kind]]
    if asked.token:
        tables += " JOIN peaks p ON p.unit = u.n AND p.form = ?"
        values.append(one_form(asked.token))
    if asked.words:
        where.append(f"c.claim IN (SELECT rowid FROM words{number} WHERE words{number} MATCH ?)")
        values.append(matching(asked.words))
    for column, test, value in (("u.layer", "=", asked.layer), ("c.r", ">=", asked.low), ("c.r", "<", asked.high)):
        if value is not None:
            where.append(f"{column} {test} ?")
            values.append(value)
    if among is not None:
        where.append(among.condition)
        values += among.values
    condition, column, order = " AND ".join(where), SORTS[asked.sort], "DESC" if asked.descending else "ASC"
    peak = ", p.rowid AS peak" if asked.token else ""
    rows = f"""SELECT u.n AS unit, c.claim{peak}, {column} AS place FROM {tables}
        WHERE {condition} ORDER BY {column} IS NULL, {column} {order}, u.n"""
    counted = filtered or asked.words or asked.token
    count = f"SELECT count(*) FROM {tables} WHERE {condition}" if counted else "SELECT count(*) FROM units"
    return _Found(count, values if counted else [], rows, values, f"f.place IS NULL, f.place {order}, f.unit")


def one_form(text: str) -> str:
    """What tokens are looked up by: without space around, in one case."""
    return text.strip().casefold() or text


def matching(words: str) -> str:
    """A search as people type it, as FTS5 reads it: every word must occur, the last one may go on.

    What is typed is never read as FTS5's own language; text without a letter or digit matches nothing.
    """
    quoted = ['"' + word.replace('"', '""') + '"' for word in words.replace("\0", " ").split()]
    return " ".join(quoted) + ("*" if quoted else '""')


def known(table: Mapping[str, str], what: str, name: str) -> str:
    """What stands in the table under a name.

    Raises:
        UsageError: no such name.
    """
    if name not in table:
        raise UsageError(f"no {what} {name!r}; there are {', '.join(table)}")
    return table[name]
