"""Concept data of one's own: a .csv or .jsonl file with texts, labels and groups."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from assay.errors import CorpusError
from assay.text.concepts.data import ConceptData, Item
from assay.text.readers import check_encodable, decode

SUFFIXES = frozenset({".csv", ".jsonl"})

_OPTIONAL = ("pair", "template", "answer")


class _Row(NamedTuple):
    item: Item
    place: str


def read_concept(path: Path, group: str) -> ConceptData:
    """The set in a file; see :func:`assay.text.concepts.load_concept`."""
    try:
        text = decode(path.read_bytes(), path)
    except OSError as error:
        raise CorpusError(f"{path}: can't be read ({error.strerror or error})") from error
    records = _csv_records(text, path) if path.suffix.lower() == ".csv" else _json_records(text, path)
    rows = [_Row(_item(fields, place, group), place) for fields, place in records]
    if not rows:
        raise CorpusError(f"{path}: no rows in it; give a row for each text, with text, label and group")
    _check_pairs(rows)
    kept = _distinct(rows)
    only = {item.label for item in kept}
    if len(only) == 1:
        raise CorpusError(f"{path}: all {len(kept):,} texts have the label {only.pop()}; a concept needs both 0 and 1")
    dropped = len(rows) - len(kept)
    source = f"the file {path.name}" + (f"; {dropped:,} rows that stood there before were dropped" if dropped else "")
    return ConceptData(path.stem, tuple(kept), f"label 1 in {path.name}", source)


def _csv_records(text: str, path: Path) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Rows as objects with their places; the first row names the columns."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    names: list[str] = []
    start = 1
    try:
        for cells in reader:
            place = f"{path} line {start}"
            start = reader.line_num + 1
            if not cells:
                continue
            if not names:
                names = [cell.strip() for cell in cells]
                if len(set(names)) < len(names):
                    raise CorpusError(f"{place}: two columns have one name; give each its own: {', '.join(names)}")
                continue
            if len(cells) != len(names):
                raise CorpusError(
                    f"{place}: {len(cells)} values for {len(names)} columns; put text with commas in quotes"
                )
            yield dict(zip(names, cells, strict=True)), place
    except csv.Error as error:
        raise CorpusError(f"{path} line {reader.line_num}: not CSV that can be read ({error})") from error


def _json_records(text: str, path: Path) -> Iterator[tuple[Mapping[str, Any], str]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line or line.isspace():
            continue
        place = f"{path} line {number}"
        try:
            fields: Any = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise CorpusError(f"{place}: not JSON that can be read ({' '.join(str(error).split())})") from error
        if not isinstance(fields, dict):
            raise CorpusError(f"{place}: must be an object with text, label and group. Got {_kind(fields)} instead")
        yield cast(Mapping[str, Any], fields), place


def _item(fields: Mapping[str, Any], place: str, group: str) -> Item:
    for name in ("text", "label"):
        if name not in fields:
            raise CorpusError(f"{place}: no column {name!r}; there are {', '.join(map(repr, fields)) or 'none'}")
    text = fields["text"]
    if not isinstance(text, str):
        raise CorpusError(f"{place}: the text must be a string. Got {_kind(text)} instead")
    if not text or text.isspace():
        raise CorpusError(f"{place}: an empty text; fill it in or remove the row")
    pair, template, answer = (_name(fields.get(name), name, place) for name in _OPTIONAL)
    item = Item(text, _label(fields["label"], place), _group(fields, group, place), pair, template, answer)
    for value in (item.text, item.group, pair, template, answer):
        check_encodable(value, place)
    return item._replace(level=_level(fields.get("level"), place))


def _label(value: Any, place: str) -> int:
    number = isinstance(value, int) and not isinstance(value, bool)
    spelled = str(value).strip() if number or isinstance(value, str) else ""
    if spelled in ("0", "1"):
        return int(spelled)
    raise CorpusError(f"{place}: the label must be 0 or 1. Got {value!r:.60} instead")


def _group(fields: Mapping[str, Any], column: str, place: str) -> str:
    if column == "text":
        return _spelled(fields["text"])
    if column not in fields:
        raise CorpusError(
            f"{place}: no column {column!r} with what may not be split between learning and testing; add it, or name "
            f"another as group ('text' if no two rows belong together); there are {', '.join(map(repr, fields))}"
        )
    name = _name(fields[column], column, place)
    if not name or name.isspace():
        raise CorpusError(f"{place}: an empty {column!r}; name the row's group")
    return name


def _name(value: Any, column: str, place: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value)
    raise CorpusError(f"{place}: {column!r} must be a string or a whole number. Got {_kind(value)} instead")


def _level(value: Any, place: str) -> int:
    spelled = _name(value, "level", place).strip() or "0"
    if spelled.isascii() and spelled.isdigit():
        return int(spelled)
    raise CorpusError(f"{place}: the level must be a whole number from 0. Got {value!r:.60} instead")


def _check_pairs(rows: Sequence[_Row]) -> None:
    members: dict[str, list[_Row]] = {}
    for row in rows:
        if row.item.pair:
            members.setdefault(row.item.pair, []).append(row)
    for pair, found in members.items():
        place = found[0].place
        texts = {_spelled(row.item.text) for row in found}
        if len(texts) != 2 or {row.item.label for row in found} != {0, 1}:
            labels = " ".join(str(row.item.label) for row in found)
            raise CorpusError(
                f"{place}: a pair is two texts, one of each label. Got {len(texts)} texts with labels {labels} in the "
                f"pair {pair!r}; mend it or leave its 'pair' empty"
            )
        if len({row.item.group for row in found}) > 1:
            raise CorpusError(f"{place}: the pair {pair!r} stands in two groups, so a split would tear it; give it one")


def _distinct(rows: Sequence[_Row]) -> list[Item]:
    """The items, those left out that repeat one before them."""
    known: dict[str, _Row] = {}
    for row in rows:
        before = known.setdefault(_spelled(row.item.text), row)
        if before.item.label != row.item.label:
            raise CorpusError(f"{row.place}: the text of {before.place} again, with the other label; decide on one")
        if before.item.group != row.item.group:
            raise CorpusError(
                f"{row.place}: the text of {before.place} again, in another group, so that it would be learnt from and "
                "tested on; remove one, or give both one group"
            )
        if before.item.pair != row.item.pair:
            raise CorpusError(f"{row.place}: the text of {before.place} again, in another pair; remove one")
    return [row.item for row in known.values()]


def _spelled(text: str) -> str:
    return " ".join(text.split())


def _kind(value: object) -> str:
    return "null" if value is None else type(value).__name__
