"""The lookups beside many explanations as predictions, without the tables of thousands of entries that make them.

Importing this module imports numba.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32

from assay.core.jit import spread
from assay.rules.lookup_learner import LookupLearner, bases_of, budget_for
from assay.rules.reference_kernels import Picked, fit_tables, look_up
from assay.rules.view import View

REFERENCES = ("lookup", "bigram", "lookup_full", "bigram_full")
_CHUNK = 8  # units that a thread takes at a time


class References:
    """Fits the four references of many units once and predicts them on several views; what depends on no unit is kept.

    Args:
        learner: of the fit split.
        views: where to predict.
    """

    def __init__(self, learner: LookupLearner, views: Sequence[View]) -> None:
        self._learner, self._views = learner, [learner.seen(view) for view in views]

    def predict(
        self, targets: Float[np.ndarray, "units tokens"], bits: Float[np.ndarray, " units"]
    ) -> list[dict[str, Float32[np.ndarray, "units seen"]]]:
        """For each view what four lookups predict there, by the names of :data:`REFERENCES`.

        ``lookup`` and ``bigram`` have at most ``bits``, the others as many entries as remove anything. They are those
        of :meth:`LookupLearner.fit`, but for the rounding of a table's values to six digits.

        Args:
            targets: (units, tokens) activations on the fit split.
            bits: (units,) of the explanations that they stand beside.
        """
        groups, (cost, pair_cost) = self._learner.groups, self._learner.costs
        budgets = np.array([budget_for(float(own)) for own in bits], np.float64)
        out = [np.empty((len(REFERENCES), len(targets), len(seen.token)), np.float32) for seen in self._views]

        def work(first: int, last: int) -> None:
            rows, own = np.ascontiguousarray(targets[first:last]), budgets[first:last]
            bases, unit = bases_of(rows), self._learner.estimates()
            most = min(int(own.max() // cost), len(unit.taken))
            picked = _new_picked(len(rows), most, len(groups.counts), len(groups.second))
            fit_tables(groups, rows, bases, own, cost, pair_cost, unit, picked)
            for seen, lines in zip(self._views, out, strict=True):
                look_up(seen, picked, bases, first, last, lines)

        spread(work, len(targets), chunk=_CHUNK)
        return [dict(zip(REFERENCES, lines, strict=True)) for lines in out]


def reference_predictions(
    learner: LookupLearner, targets: Float[np.ndarray, "units tokens"], bits: Float[np.ndarray, " units"], view: View
) -> dict[str, Float32[np.ndarray, "units seen"]]:
    """:meth:`References.predict` on one view."""
    return References(learner, [view]).predict(targets, bits)[0]


def _new_picked(units: int, most: int, tokens: int, pairs: int) -> Picked:
    return Picked(
        token=np.empty((units, tokens), np.float32),
        pair=np.zeros((units, pairs + 1), np.float32),
        tokens=np.empty((units, most), np.int64),
        both=np.empty((units, most), np.int64),
        pairs=np.empty((units, most), np.int64),
        sizes=np.zeros((units, 3), np.int64),
        values=np.empty((units, most), np.float32),
    )
