"""What an experiment found, in one grammar: findings that are judged, tables, and panels of its figure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from assay.referee import MARGIN, CheckInput, judge_check
from assay.stats.bootstrap import Estimate
from assay.stats.undecided import too_few_documents

LINES, MATRIX = "lines", "matrix"


@dataclass(frozen=True)
class Finding:
    """One sentence that the numbers bear out, contradict, or leave open.

    ``check`` is what the verdict is made of; without one the finding describes and is not judged. ``value``, ``lo``
    and ``hi`` are as people know the measure, which may run the other way than the score of the check. ``published``:
    the figure that others gave, in words. ``nulls`` decide, ``references`` inform. ``unit``: what it is about, as units
    are named. ``result``: the row of the results that gets its verdict.
    """

    claim: str
    measure: str
    value: float | None
    lo: float | None = None
    hi: float | None = None
    n: int = 0
    nulls: Mapping[str, float | None] = field(default_factory=dict[str, "float | None"])
    references: Mapping[str, float | None] = field(default_factory=dict[str, "float | None"])
    published: str = ""
    check: CheckInput | None = None
    unscored: str = ""
    unit: str = ""
    result: int | None = None


class Panel(NamedTuple):
    """A panel of the figure.

    ``lines``: rows with x, y, series and, where known, lo and hi; of a series named in ``nulls`` only the dashed line.
    ``matrix``: rows with x, y, value and, where known, text.
    """

    kind: str
    title: str
    x: str
    y: str
    rows: Sequence[Mapping[str, Any]]
    nulls: Sequence[str] = ()
    log: bool = False


class Table(NamedTuple):
    """A table: titles of its columns, and rows of text and numbers. A number is a score, an int a count."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass
class Found:
    """Everything that an experiment found.

    ``results``: plain rows for machines. ``notes``: what a reader must know, a sentence each. ``controls``: claims that
    mean nothing; ``posing``: what these are, random probes if it is empty. ``more``: what the experiment has to show
    besides, by name.
    """

    title: str
    question: str
    results: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    findings: list[Finding] = field(default_factory=list[Finding])
    tables: list[Table] = field(default_factory=list[Table])
    panels: list[Panel] = field(default_factory=list[Panel])
    notes: list[str] = field(default_factory=list[str])
    summary: dict[str, Any] = field(default_factory=dict[str, Any])
    controls: list[CheckInput] = field(default_factory=list[CheckInput])
    more: dict[str, Any] = field(default_factory=dict[str, Any])
    posing: str = ""

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON, with the verdict of every finding that has a check."""
        judged = judge_check(
            {i: one.check for i, one in enumerate(self.findings) if one.check is not None},
            dict(enumerate(self.controls)),
        )
        rows: list[dict[str, Any]] = []
        for i, one in enumerate(self.findings):
            verdict = judged.claims.get(i)
            rows.append(
                {
                    "claim": one.claim,
                    "unit": one.unit,
                    "measure": one.measure,
                    **{name: number(getattr(one, name)) for name in ("value", "lo", "hi")},
                    "n": one.n,
                    "nulls": {name: number(value) for name, value in one.nulls.items()},
                    "references": {name: number(value) for name, value in one.references.items()},
                    "published": one.published,
                    "verdict": None if verdict is None else verdict.verdict.value,
                    "reason": one.unscored or ("described, not judged" if verdict is None else verdict.reason),
                    **{name: None if verdict is None else number(getattr(verdict, name)) for name in _JUDGED},
                    "unscored": one.unscored or None,
                }
            )
        for one, row in zip(self.findings, rows, strict=True):
            if one.result is not None:
                self.results[one.result] |= {"verdict": row["verdict"], "reason": row["reason"]}
        return {
            "title": self.title,
            "question": self.question,
            "results": self.results,
            "findings": rows,
            "tables": [table._asdict() for table in self.tables],
            "panels": [panel._asdict() for panel in self.panels],
            "notes": self.notes,
            **self.more,
            "summary": self.summary
            | {
                "verdicts": dict(Counter(_word(row) for row in rows)),
                "controls": {name: getattr(judged.summary, name) for name in ("n", "passed", "void")}
                | ({"posing": self.posing} if self.posing else {}),
            },
        }


def _word(row: Mapping[str, Any]) -> str:
    return row["verdict"] or ("unscored" if row["unscored"] else "described")


_JUDGED = ("d", "d_lo", "d_hi", "p_support", "p_refute")


def number(value: float | None) -> float | None:
    """A number as JSON has it: None for NaN and infinities."""
    return None if value is None or not math.isfinite(value) else float(value)


def scored(claim: str, measure: str, estimate: Estimate, null: Estimate | float, **more: Any) -> Finding:
    """A finding that a score is above its null; scale with a range of 1."""
    return _judged(claim, measure, estimate, _like(null, estimate), below=False, **more)


def scored_below(claim: str, measure: str, estimate: Estimate, null: Estimate | float, **more: Any) -> Finding:
    """A finding that a score is below its null."""
    return _judged(claim, measure, estimate, _like(null, estimate), below=True, **more)


def _like(null: Estimate | float, estimate: Estimate) -> Estimate:
    return null if isinstance(null, Estimate) else Estimate(null, np.full(len(estimate.replicates), null))


def _judged(claim: str, measure: str, estimate: Estimate, null: Estimate, below: bool, **more: Any) -> Finding:
    sign = -1.0 if below else 1.0
    name = more.pop("null_name", "null")
    reasons = more.pop("reasons", ())
    check = CheckInput(
        sign * estimate.value,
        {name: sign * null.value},
        sign * estimate.replicates,
        {name: sign * null.replicates},
        reasons,
    )
    bounds = estimate.interval()
    return Finding(claim, measure, *bounds, nulls={name: null.value}, check=check, **more)


def few_groups(count: int) -> tuple[str, ...]:
    """A reason not to judge where there are fewer groups than an interval needs (20)."""
    return too_few_documents(count, "groups")


def absent(estimate: Estimate, nulls: Mapping[str, float], reasons: tuple[str, ...] = ()) -> CheckInput:
    """The check that a score is nothing: less than the margin above every null."""
    known = {name: -(value + 2 * MARGIN) for name, value in nulls.items()}
    drawn = {name: np.full(len(estimate.replicates), value) for name, value in known.items()}
    return CheckInput(-estimate.value, known, -estimate.replicates, drawn, reasons)


def from_interval(value: float, lo: float, hi: float) -> Estimate:
    """An estimate of which only the 95 % interval is known, as a normal of its width: 1,000 evenly spaced quantiles."""
    spread = (hi - lo) / (2 * NormalDist().inv_cdf(0.975))
    return Estimate(value, np.array([value + spread * NormalDist().inv_cdf((i + 0.5) / 1000) for i in range(1000)]))
