"""Numbers and verdicts as a person reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text

STYLES = {
    "supported": "bold green",
    "predicts": "cyan",
    "refuted": "red",
    "undecided": "yellow",
    "void": "bold magenta",
}
ABSENT = "–"


def score_text(value: float | None) -> str:
    """A score with two decimals and no leading zero: .47, -.03, 1.00."""
    if value is None:
        return ABSENT
    text = f"{value:.2f}"
    if text in ("-0.00", "0.00"):
        return ".00"
    return text.replace("0.", ".", 1) if abs(float(text)) < 1 else text


def interval_text(lo: float | None, hi: float | None) -> str:
    """An interval of a score: [.41 .53]; empty where there is none."""
    return "" if lo is None or hi is None else f"[{score_text(lo)} {score_text(hi)}]"


def beside(value: float | None, lo: float | None = None, hi: float | None = None) -> Text:
    """A score and its interval; scores of a column stand below each other."""
    bounds = interval_text(lo, hi)
    return Text.assemble((f"{score_text(value):>4}", "bold"), *([(" " + bounds, "dim")] if bounds else []))


def took(summary: Mapping[str, Any]) -> str:
    """How long a run took, in whole seconds; of one that was broken off, since it was taken up."""
    return f"{summary['seconds']:,.0f} s" + (" since it was taken up" if summary.get("taken_up") else "")


def verdict_text(verdict: str | None) -> Text:
    """A verdict in its colour."""
    return Text(verdict or ABSENT, style=STYLES.get(verdict or "", ""))


def highest(values: Mapping[str, float | None] | None) -> float | None:
    """The highest of some nulls, leaving out those that were not scored; None if none was."""
    return max((value for value in (values or {}).values() if value is not None), default=None)


def listed(values: Mapping[str, float | None]) -> str:
    """Named scores on a line: constant .00, shuffled .01."""
    return ", ".join(f"{name} {score_text(value)}" for name, value in values.items())
