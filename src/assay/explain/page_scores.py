"""Scores as a page shows them: in words, and as a dot on a line beside nulls and references."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

_STRIP = (-0.25, 1.0)


class Strip(NamedTuple):
    """A score on a line from -0.25 to 1, in per cent of its width; ``low`` and ``high`` are None without interval."""

    at: float
    low: float | None
    high: float | None
    nulls: list[float]
    references: list[float]


class ScoreRow(NamedTuple):
    """One measure of one claim."""

    name: str
    gloss: str
    value: str
    interval: str
    nulls: str
    references: str
    unscored: str
    strip: Strip | None


def score_text(value: float | None) -> str:
    """A score with two decimals and a proper minus; a dash where there is none."""
    if value is None or math.isnan(value):
        return "–"
    text = f"{value:.2f}"
    return "0.00" if text == "-0.00" else text.replace("-", "−")


def score_row(
    name: str,
    gloss: str,
    value: float | None,
    low: float | None = None,
    high: float | None = None,
    *,
    nulls: Mapping[str, float | None] | None = None,
    references: Mapping[str, float | None] | None = None,
    unscored: str = "",
    on_line: bool = True,
) -> ScoreRow:
    """One measure as a row; ``on_line`` where its scale is that of the line, -0.25 to 1."""
    nulls, references = ({key: v for key, v in (given or {}).items() if v is not None} for given in (nulls, references))
    strip = None
    if value is not None and on_line:
        bounds = [None if bound is None else _percent(bound) for bound in (low, high)]
        sides = [[_percent(v) for v in side.values()] for side in (nulls, references)]
        strip = Strip(_percent(value), bounds[0], bounds[1], sides[0], sides[1])
    return ScoreRow(
        name,
        gloss,
        score_text(value) if on_line or value is None else f"{value:g}",
        f"{score_text(low)} to {score_text(high)}" if low is not None and high is not None else "",
        _listed(nulls),
        _listed(references),
        unscored,
        strip,
    )


def _percent(value: float) -> float:
    low, high = _STRIP
    return round(100 * (min(max(value, low), high) - low) / (high - low), 1)


def _listed(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {score_text(value)}" for name, value in scores.items())
