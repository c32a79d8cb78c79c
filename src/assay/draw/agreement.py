"""Do people choose the explanation that a score puts first?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from assay.draw.figures import Figure
from assay.draw.forest import forest_plot
from assay.draw.forest_rows import ForestRow

CHANCE = 0.5


class AgreementRow(NamedTuple):
    """One score: in which ``share`` of ``n`` choices the chosen explanation had the higher score; None if n is 0."""

    score: str
    share: float | None
    lo: float | None
    hi: float | None
    n: int


def agreement_plot(rows: Sequence[AgreementRow], *, width: int = 720) -> Figure:
    """Concordance of people's choices with each score, with 95 % intervals, beside chance.

    Raises:
        ValueError: no row.
    """
    lines = [ForestRow(f"{row.score} (n = {row.n:,})", row.share, row.lo, row.hi) for row in rows]
    return forest_plot(
        lines,
        score="share of people’s choices that agree",
        zero=CHANCE,
        zero_name="chance",
        domain=(0.0, 1.0),
        width=width,
    )
