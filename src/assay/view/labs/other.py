"""The page of a run that no lab of this version has made: what was asked, what it came to, and its tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from assay.store.run import Run
from assay.store.schema import TABLES
from assay.view.evidence import Column, Section, Table
from assay.view.labs.lab import Told, lab_page
from assay.view.opened import Opened
from assay.view.pages import Ask, Page

_MOST = 200  # rows of a table
_KINDS = {"double": "number", "float": "number", "int32": "count", "int64": "count"}
_LONGEST = 400  # letters of a value


def other_page(opened: Opened, ask: Ask) -> Page:
    """The spec and the summary of the result as names and values, and the first rows of every table."""
    run = opened.run
    sections = [_values("What was asked", {**(run.spec.get("asked") or {})})]
    if run.has("result.json"):
        result = run.result()
        sections.append(_values("What it came to", result.get("summary") or result))
    names = [name.removesuffix(".parquet") for name in sorted(run.files) if name.endswith(".parquet")]
    sections += [_table(run, name) for name in names if name in TABLES and "/" not in name]
    words = [f"This viewer has no page of its own for what “assay {run.spec['verb']}” makes; this is what is stored."]
    return lab_page(run, ask, Told(f"A run of assay {run.spec['verb']}", words, sections))


def _values(title: str, found: Mapping[str, Any]) -> Section:
    rows: list[Mapping[str, Any]] = [{"name": str(name), "value": _short(value)} for name, value in found.items()]
    columns = (Column("name", "name"), Column("value", "value", "plain"))
    return Section(title, "", None, Table(columns, rows, len(rows)) if rows else None)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _table(run: Run, name: str) -> Section:
    table = run.table(name)
    columns = [Column(field.name, field.name, _KINDS.get(str(field.type), "plain")) for field in table.schema]
    rows = [
        {key: _short(value) if isinstance(value, str) else value for key, value in row.items()}
        for row in table.slice(0, _MOST).to_pylist()
    ]
    more = f"The first {_MOST} of {table.num_rows:,} rows." if table.num_rows > _MOST else ""
    return Section(f"Table {name}", more, None, Table(columns, rows, table.num_rows))
