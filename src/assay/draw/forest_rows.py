"""The rows of a forest plot, and what each says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from assay.draw.words import counted, plain, score_text

NULLS, REFERENCES = "nulls", "references"
VERDICTS = ("supported", "predicts", "undecided", "refuted", "void")
_LONGEST = 80  # letters of a label


class ForestRow(NamedTuple):
    """One score. ``value`` None is unscored; ``lo`` and ``hi`` None or NaN: no interval.

    ``nulls`` and ``references`` by name; None among them is left out. Rows of one ``group`` stand under its name.
    ``verdict`` gives shape and colour; ``link`` is where the label leads to.
    """

    label: str
    value: float | None
    lo: float | None = None
    hi: float | None = None
    nulls: Mapping[str, float | None] = {}
    references: Mapping[str, float | None] = {}
    group: str = ""
    verdict: str = ""
    link: str = ""


class Line(NamedTuple):
    """A line of the plot, ``at`` from the top: a row as shown, or, without one, the name of a group."""

    at: int
    label: str
    row: ForestRow | None

    @property
    def numbers(self) -> str:
        """The score and its interval."""
        if self.row is None:
            return ""
        if not finite([self.row.value]):
            return "unscored"
        bounds = f" [{score_text(self.row.lo)}, {score_text(self.row.hi)}]" if has_interval(self.row) else ""
        return score_text(self.row.value) + bounds

    @property
    def said(self) -> str:
        """All that the row holds, in words."""
        if self.row is None:
            return self.label
        parts = [f"{plain(self.row.label)}: {self.numbers}", *filter(None, [plain(self.row.verdict)])]
        for kind, side in ((NULLS, self.row.nulls), (REFERENCES, self.row.references)):
            if side:
                scores = (f"{plain(name, _LONGEST)} {score_text(value)}" for name, value in side.items())
                parts.append(f"{kind} {', '.join(scores)}")
        return "; ".join(parts)


def placed(rows: Sequence[ForestRow]) -> list[Line]:
    """A line a row, and one a group's name before its rows."""
    lines: list[Line] = []
    group = ""
    for row in rows:
        if row.group and row.group != group:
            lines.append(Line(len(lines), plain(row.group, _LONGEST), None))
        group = row.group
        lines.append(Line(len(lines), plain(row.label, _LONGEST), row))
    return lines


def finite(values: Sequence[float | None]) -> list[float]:
    """Those that are numbers."""
    return [value for value in values if value is not None and math.isfinite(value)]


def has_interval(row: ForestRow) -> bool:
    """Whether both bounds are known."""
    return len(finite([row.lo, row.hi])) == 2


def described(rows: Sequence[ForestRow], score: str, zero: float, zero_name: str) -> str:
    """What a plot of these rows shows, in words and numbers."""
    scored = [(row.value, row) for row in rows if row.value is not None and math.isfinite(row.value)]
    said = f"Forest plot of {counted(len(rows), 'row')} of {score}"
    if scored:
        (high, best), (low, worst) = max(scored, key=_value), min(scored, key=_value)
        said += f", from {score_text(low)} ({plain(worst.label)}) to {score_text(high)} ({plain(best.label)})"
        above = sum(has_interval(row) and (row.lo or 0.0) > zero for _, row in scored)
        line = f"{zero_name} ({score_text(zero)})" if zero_name else score_text(zero)
        said += f". {counted(above, 'interval')} {'lies' if above == 1 else 'lie'} above {line}"
    counts = {name: sum(row.verdict == name for row in rows) for name in VERDICTS}
    verdicts = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    said += f". Verdicts: {verdicts}" if verdicts else ""
    unscored = len(rows) - len(scored)
    return f"{said}. {unscored:,} without a score." if unscored else f"{said}."


def _value(scored: tuple[float, ForestRow]) -> float:
    return scored[0]
