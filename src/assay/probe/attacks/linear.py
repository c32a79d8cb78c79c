"""Linear readers, logistic and support vector, of many sets of labels and under many penalties at once."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.special import expit

from assay.probe.attacks.arena import FOLDS, Arena

PENALTIES = (10.0, 1.0, 0.1, 0.01)  # on |w|² / 2, beside the sum of the rows' losses, for rows of mean squared length 1
STEPS = 300
GAP = 1e-5  # of loss a row, by which a fit may miss the minimum


class Loss(NamedTuple):
    """A loss of the margin, what is said times the sign of the label.

    ``slope``: its derivative. ``curvature``: a bound on its second derivative.
    """

    value: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    slope: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    curvature: float


LOGISTIC = Loss(lambda margin: np.logaddexp(0.0, -margin), lambda margin: -expit(-margin), 0.25)
SQUARED_HINGE = Loss(
    lambda margin: np.square(np.maximum(0.0, 1 - margin)), lambda margin: -2 * np.maximum(0.0, 1 - margin), 2.0
)


class Readers(NamedTuple):
    """m linear readers: ``x @ weights + offsets``; weights (p, m), offsets (m,)."""

    weights: Float[NDArray[np.float64], "p m"]
    offsets: Float[NDArray[np.float64], " m"]

    def says(self, x: Float[np.ndarray, "n p"]) -> Float[NDArray[np.float64], "n m"]:
        """What each reader says of each row; above 0 is label 1."""
        return x @ self.weights + self.offsets


def fit_readers(
    x: Float[np.ndarray, "n p"], signs: Float[np.ndarray, "n m"], penalties: Float[np.ndarray, " m"], loss: Loss
) -> Readers:
    """For each column of signs the weights that minimise the sum of losses + penalty / 2 |w|²; offsets go free.

    Accelerated gradient steps (Nesterov 1983, restarted as in O'Donoghue and Candès 2015) in the coordinates in which a
    bound on the curvature (Böhning and Lindsay 1988) is diagonal: one decomposition of x serves all m problems. Steps
    end when every problem is about :data:`GAP` a row from its minimum, or after :data:`STEPS`.
    """
    n = len(x)
    centre = x.mean(0)
    turned, values, back = _axes(x - centre)
    curved = loss.curvature * values[:, None] + penalties
    weights, offsets = np.zeros((len(values), signs.shape[1])), np.zeros(signs.shape[1])
    ahead_weights, ahead_offsets, speed = weights, offsets, np.ones(signs.shape[1])
    for _ in range(STEPS):
        slope = loss.slope((turned @ ahead_weights + ahead_offsets) * signs) * signs
        down = turned.T @ slope + penalties * ahead_weights
        down_offset = slope.sum(0)
        step, step_offset = down / curved, down_offset / (loss.curvature * n)
        new, new_offsets = ahead_weights - step, ahead_offsets - step_offset
        moved, moved_offsets = new - weights, new_offsets - offsets
        uphill = np.einsum("pm,pm->m", down, moved) + down_offset * moved_offsets > 0
        next_speed = (1 + np.sqrt(1 + 4 * speed * speed)) / 2
        carry = np.where(uphill, 0.0, (speed - 1) / next_speed)
        ahead_weights, ahead_offsets = new + carry * moved, new_offsets + carry * moved_offsets
        weights, offsets, speed = new, new_offsets, np.where(uphill, 1.0, next_speed)
        if (np.einsum("pm,pm->m", down, step) + down_offset * step_offset).max() < GAP * n:
            break
    weights = back @ weights
    return Readers(weights, offsets - centre @ weights)


def linear_scores(arena: Arena, loss: Loss) -> Float[NDArray[np.float64], "sets n"]:
    """What is said of each row by a reader that never saw its group, for each set of labels.

    The penalty of the reader of a fold is the best of :data:`PENALTIES` for that set of labels, by the loss on each of
    the other folds of readers that saw neither it nor the fold.
    """
    n, sets = len(arena.x), len(arena.labels)
    signs, count = arena.signs, len(PENALTIES)
    penalties = np.repeat(PENALTIES, sets)
    losses = np.zeros((FOLDS, count, sets))
    for pair in combinations(range(FOLDS), 2):
        fitted = ~np.isin(arena.folds, pair)
        readers = fit_readers(arena.x[fitted], np.tile(signs[fitted], count), penalties, loss)
        for fold, other in (pair, pair[::-1]):
            held = arena.folds == other
            margins = readers.says(arena.x[held]) * np.tile(signs[held], count)
            losses[fold] += loss.value(margins).sum(0).reshape(count, sets)
    scores = np.empty((sets, n))
    for (fitted, held), lost in zip(arena.splits(), losses, strict=True):
        chosen = np.array(PENALTIES)[lost.argmin(0)]
        scores[:, held] = fit_readers(arena.x[fitted], signs[fitted], chosen, loss).says(arena.x[held]).T
    return scores


def _axes(x: Float[np.ndarray, "n p"]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """x in the coordinates of its principal axes, the sum of squares along each, and the axes as columns."""
    n, p = x.shape
    if n < p:
        values, left = np.linalg.eigh(x @ x.T)
        kept = values > n * np.finfo(np.float64).eps * values[-1]
        values, left = values[kept], left[:, kept]
        turned = left * np.sqrt(values)
        return turned, values, x.T @ (left / np.sqrt(values))
    values, axes = np.linalg.eigh(x.T @ x)
    return x @ axes, np.maximum(values, 0.0), axes
