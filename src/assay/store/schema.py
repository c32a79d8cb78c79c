"""The tables of a run, and what may stand in them.

A column that is not marked as nullable is never null. Where a score could not be had, its value is null and
``unscored`` says why: NaN is refused, since it would sort and average like a number.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

SCHEMA = 1  # of the run directory as a whole; bump when a reader of the old one would misread the new

VERDICTS = ("supported", "predicts", "refuted", "undecided", "void")


def _required(**columns: pa.DataType) -> list[pa.Field]:
    return [pa.field(name, kind, nullable=False) for name, kind in columns.items()]


def _optional(**columns: pa.DataType) -> list[pa.Field]:
    return [pa.field(name, kind, nullable=True) for name, kind in columns.items()]


_INT, _LONG, _REAL, _TEXT = pa.int32(), pa.int64(), pa.float64(), pa.string()

UNITS = pa.schema(
    [
        *_required(unit=_TEXT, layer=_INT, kind=_TEXT, index=_INT, count=_LONG),
        *_required(mean=_REAL, sd=_REAL, skew=_REAL, kurtosis=_REAL, min=_REAL, max=_REAL),
        *_required(q01=_REAL, q50=_REAL, q99=_REAL, firing_rate=_REAL, role=_TEXT),
    ]
)
CLAIMS = pa.schema(
    [
        *_required(claim=_INT, unit=_TEXT, explainer=_TEXT, version=_INT, role=_TEXT),
        *_required(text=_TEXT, rules=_TEXT, lines=_TEXT, bits=_REAL, calibration=_TEXT),
        *_required(rival=_TEXT),
        *_optional(threshold=_REAL),
    ]
)
EVIDENCE = pa.schema(
    [
        *_required(claim=_INT, check=_TEXT, measure=_TEXT),
        *_optional(value=_REAL, lo=_REAL, hi=_REAL),
        *_required(n=_INT, nulls=_TEXT, references=_TEXT),
        *_optional(d=_REAL, d_lo=_REAL, d_hi=_REAL, p_support=_REAL, p_refute=_REAL, verdict=_TEXT),
        *_required(reason=_TEXT),
        *_optional(unscored=_TEXT),
        *_required(version=_INT),
    ]
)
TOKENS = pa.schema(_required(id=_INT, text=_TEXT))
JOINT = pa.schema(  # only in runs in which many units were replaced at once
    [
        *_required(layer=_INT, site=_TEXT, share=_REAL, units=_INT, explainer=_TEXT, held_at_mean=_INT),
        *_required(tokens=_INT, documents=_INT, measure=_TEXT),
        *_optional(value=_REAL, lo=_REAL, hi=_REAL),
        *_required(nulls=_TEXT),
        *_optional(noise_equal_r=_REAL, d=_REAL, d_lo=_REAL, d_hi=_REAL, recovered_from_zero=_REAL),
        *_required(mean_ablation=_REAL, zero_ablation=_REAL, reason=_TEXT),
        *_optional(unscored=_TEXT),
        *_required(version=_INT),
    ]
)
RELATED = pa.schema(
    [
        *_required(unit=_TEXT, side=_TEXT, other=_TEXT, layer=_INT, kind=_TEXT, index=_INT, chosen_by=_TEXT),
        *_optional(effect=_REAL, effect_lo=_REAL, effect_hi=_REAL, signed=_REAL, signed_lo=_REAL, signed_hi=_REAL),
        *_optional(best_null=_REAL, strength=_REAL, net=_REAL, beyond=pa.bool_()),
        *_required(reason=_TEXT),
    ]
)
NEIGHBOURS = pa.schema(  # in runs that explain: the strongest neurons of each unit and side, by weights alone
    [
        *_required(unit=_TEXT, side=_TEXT, place=_INT, other=_TEXT, layer=_INT, index=_INT),
        *_required(strength=_REAL, net=_REAL, null=_REAL),
    ]
)
REPORTS = pa.schema(  # only in runs of `assay report`: a row a cell
    [
        *_required(model=_TEXT, layer=_INT, layers_left=_INT, unit=_TEXT, stratum=_TEXT, topology=_TEXT),
        *_required(regime=_TEXT, trainable=_TEXT, sentences=_INT),
        *_optional(bits=_REAL, bits_lo=_REAL, bits_hi=_REAL, spearman=_REAL, r2=_REAL, digit_mass=_REAL),
        *_optional(over_text=_REAL, over_text_lo=_REAL, over_text_hi=_REAL, gap_closed=_REAL),
        *_optional(causal_slope=_REAL, optimal_slope=_REAL, optimal_r2=_REAL, relative_slope=_REAL),
        *_optional(
            relative_slope_lo=_REAL,
            relative_slope_hi=_REAL,
            specificity=_REAL,
            optimal_specificity=_REAL,
            gain=_REAL,
            drift=_REAL,
        ),
        *_required(verdict=_TEXT, reason=_TEXT),
        *_optional(text=_REAL, other_model=_REAL, blind=_REAL, shuffled=_REAL, probe_before=_REAL, probe_after=_REAL),
    ]
)

TABLES: Mapping[str, pa.Schema] = {
    "units": UNITS,
    "claims": CLAIMS,
    "evidence": EVIDENCE,
    "tokens": TOKENS,
    "joint": JOINT,
    "related": RELATED,
    "neighbours": NEIGHBOURS,
    "reports": REPORTS,
}

_ALLOWED: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("units", "role"): ("target", "companion"),
    ("claims", "role"): ("claim", "control"),
    ("evidence", "verdict"): VERDICTS,
    ("related", "side"): ("upstream", "downstream"),
    ("neighbours", "side"): ("upstream", "downstream"),
}
_SCORES: Mapping[str, list[str]] = {  # tables of scores, and the columns that say what was scored
    "evidence": ["claim", "check", "measure", "value", "unscored"],
    "joint": ["site", "share", "explainer", "measure", "value", "unscored"],
}
_JSON: Mapping[tuple[str, str], type] = {
    ("claims", "rules"): object,
    ("claims", "lines"): list,
    ("claims", "calibration"): dict,
    ("evidence", "nulls"): dict,
    ("evidence", "references"): dict,
    ("joint", "nulls"): dict,
}


def build_table(name: str, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows as a checked table ``name``.

    Raises:
        ValueError: a row has other keys than the schema, or a value that may not stand there.
    """
    schema = TABLES[name]
    names = set(schema.names)
    for i, row in enumerate(rows):
        if set(row) != names:
            missing, extra = set(schema.names) - set(row), set(row) - set(schema.names)
            raise ValueError(f"{name} row {i}: missing {sorted(missing)}, unknown {sorted(extra)}")
    table = pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
    check_table(name, table)
    return table


def check_table(name: str, table: pa.Table) -> None:
    """Check a table against the schema called ``name``.

    Raises:
        ValueError: other columns or types, a null or NaN where none may be, a word outside the fixed set,
            text that should be JSON and is not, or a null score without its reason.
    """
    schema = TABLES[name]
    if not table.schema.equals(schema):
        raise ValueError(f"{name}: columns must be {schema.names} of the declared types. Got:\n{table.schema}")
    for field in schema:
        column = table.column(field.name)
        if column.null_count and not field.nullable:
            raise ValueError(f"{name}.{field.name} has {column.null_count} nulls and may have none")
        if pt.is_floating(field.type) and not _all(pc.is_finite, column):
            raise ValueError(f"{name}.{field.name} has a NaN or an infinity; write null where there is no number")
        words = _ALLOWED.get((name, field.name))
        if words and (strange := set(column.drop_null().to_pylist()) - set(words)):
            raise ValueError(f"{name}.{field.name} must be one of {words}. Got {sorted(strange)} instead.")
        if shape := _JSON.get((name, field.name)):
            for text in dict.fromkeys(column.to_pylist()):
                _check_json(f"{name}.{field.name}", text, shape)
    if name in _SCORES:
        _check_unscored(name, table.select(_SCORES[name]))


def _all(test: Callable[[Any], Any], column: Any) -> bool:
    return bool(pc.all(test(column.drop_null()), min_count=0).as_py())


def _check_json(place: str, text: str, shape: type) -> None:
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        raise ValueError(f"{place} must be JSON: {error}. Got {text[:60]!r} instead.") from error
    if not isinstance(value, shape):
        raise ValueError(f"{place} must be a JSON {shape.__name__}. Got {text[:60]!r} instead.")


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON number")


def _check_unscored(name: str, table: pa.Table) -> None:
    for row in table.to_pylist():
        if row.get("check") != "claim" and (row["value"] is None) != (row["unscored"] is not None):
            which = ", ".join(f"{key} {row[key]}" for key in row if key not in ("value", "unscored", "check"))
            raise ValueError(
                f"{name} of {which}: a value and 'unscored' exclude each other, "
                f"and one must be there. Got value={row['value']} and unscored={row['unscored']!r}."
            )
