"""Numbers and names as figures and tables say them."""

from __future__ import annotations

import math
import re

from assay.draw.heat import visible

_UNWRITABLE = re.compile("[\ud800-\udfff\ufffe\uffff]")  # XML has no place for them
_LONGEST = 300


def plain(text: str, longest: int = _LONGEST) -> str:
    """Text of a model or a person, fit for a label: control and direction characters visible, cut where too long."""
    shown = _UNWRITABLE.sub("�", visible(text[: longest + 1]))
    return f"{shown[: longest - 1]}…" if len(shown) > longest else shown


def score_text(value: float | None) -> str:
    """A score with two decimals and a proper minus; a dash where there is none."""
    return number(value, 2)


def number(value: float | None, decimals: int) -> str:
    """A number with a proper minus and without a signed zero; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def short(value: float | None) -> str:
    """A number of any size with three significant digits and a proper minus; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.3g}".replace("-", "−") if value else "0"


def counted(count: int, noun: str) -> str:
    """``1 unit``, ``2,048 units``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
