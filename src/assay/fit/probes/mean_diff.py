"""The mean difference."""

from __future__ import annotations

from typing import ClassVar

from assay.fit.probes.base import Line, LinearProbe, Rows, class_means


class MeanDifference(LinearProbe):
    """Mean of the positive rows minus mean of the others; it is 0 half-way between both.

    ("Mass-mean probe" in Marks and Tegmark 2023.) The direction to which an L2 penalty leads every logistic probe.
    """

    method: ClassVar[str] = "mean_diff"

    def _learn(self, rows: Rows) -> Line:
        positive, negative = class_means(rows)
        weights = positive - negative
        return Line(weights, -float((positive + negative) @ weights) / 2)
