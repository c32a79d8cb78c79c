"""What is settled on the choose split, for many units at once: lines and thresholds. Importing it imports numba."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int

from assay.core.jit import spread
from assay.stats.many_choose_kernels import apply_lines, choose_thresholds, fit_lines
from assay.stats.many_layout import check_finite, check_rows, one_a_unit, rows_together


class Lines(NamedTuple):
    """A :class:`~assay.stats.calibrate.Calibration` of each of u units."""

    slopes: Float[np.ndarray, " u"]
    intercepts: Float[np.ndarray, " u"]


def many_calibrate(
    predicted: Float32[np.ndarray, "m n"],
    activations: Float32[np.ndarray, "u n"],
    *,
    least_slope: float = -np.inf,
    rows: Int[np.ndarray, " u"] | None = None,
    threads: int | None = None,
) -> Lines:
    """The least-squares line of each unit; see :func:`~assay.stats.calibrate.calibrate`.

    Args:
        predicted: (m, n) on the choose split, one row a unit unless ``rows`` says otherwise.
        activations: (u, n) there.
        least_slope: no line gets a slope below this many standard deviations of the activation for one of the
            prediction; with a small positive number no prediction is turned round. A constant prediction keeps slope 0.
        rows: (u,) the row of ``predicted`` that is asserted of each unit.
        threads: as many as the machine has if None.

    Raises:
        UsageError: shapes that don't fit, values that are NaN or infinite.
    """
    rows = check_rows(predicted, activations, rows)
    predicted, activations = rows_together(predicted), rows_together(activations)
    lines, finite = np.empty((2, len(activations))), np.empty(len(activations), bool)
    spread(
        lambda first, last: fit_lines(predicted, activations, rows, least_slope, first, last, lines, finite),
        len(activations),
        threads,
    )
    check_finite("predicted and activations", finite)
    return Lines(*lines)


def many_calibrated(
    predicted: Float32[np.ndarray, "m n"],
    lines: Lines,
    *,
    rows: Int[np.ndarray, " u"] | None = None,
    threads: int | None = None,
) -> Float32[np.ndarray, "u n"]:
    """Predictions on the activations' scale, rounded to float32 after all else."""
    predicted, units = rows_together(predicted), len(lines.slopes)
    made = np.empty((units, predicted.shape[1]), np.float32)
    rows = check_rows(predicted, made, rows)
    spread(lambda first, last: apply_lines(predicted, rows, *lines, first, last, made), units, threads)
    return made


def many_best_threshold(
    predicted: Float32[np.ndarray, "m n"],
    activations: Float32[np.ndarray, "u n"],
    fire_above: Float[np.ndarray, " u"],
    *,
    lines: Lines | None = None,
    rows: Int[np.ndarray, " u"] | None = None,
    threads: int | None = None,
) -> Float[np.ndarray, " u"]:
    """:func:`~assay.stats.firing.best_threshold` of each unit, on the scale of its line; NaN where nothing fires.

    Args:
        predicted: (m, n) on the choose split, not calibrated if there are ``lines``.
        activations: (u, n) there.
        fire_above: (u,) a unit fires above this.
        lines: applied first, in float64.
        rows: (u,) the row of ``predicted`` that is asserted of each unit.
        threads: as many as the machine has if None.

    Raises:
        UsageError: shapes that don't fit.
    """
    rows, units = check_rows(predicted, activations, rows), len(activations)
    predicted, activations = rows_together(predicted), rows_together(activations)
    slopes, intercepts = (np.ones(units), np.zeros(units)) if lines is None else lines
    slopes, intercepts = one_a_unit("slopes", slopes, units), one_a_unit("intercepts", intercepts, units)
    out, levels = np.empty(units), one_a_unit("fire_above", fire_above, units)
    spread(
        lambda first, last: choose_thresholds(
            predicted, activations, rows, levels, slopes, intercepts, first, last, out
        ),
        units,
        threads,
    )
    return out
