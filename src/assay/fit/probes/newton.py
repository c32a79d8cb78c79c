"""L2-penalised logistic regression to the last digit, by Newton's method."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from assay.errors import FitError

FINE = 1e-13  # stop when half the Newton decrement is below this share of what is minimised
COARSE = 1e-3
_MOST_STEPS = 200
_SHORTEST = 1e-12  # of a step
_FLAT = 1e-9  # curvature of the intercept where every row is decided beyond doubt, as a share of the most there is


def newton_logistic(
    x: Float[np.ndarray, "n d"],
    positive: Bool[np.ndarray, " n"],
    c: float,
    start: Float[np.ndarray, " d_and_1"] | None = None,
    tolerance: float = FINE,
) -> Float[NDArray[np.float64], " d_and_1"]:
    """Weights and, last, the intercept that minimise ``|w|^2 / 2 + c * (sum of the rows' log losses in nats)``.

    The intercept is not penalised. Damped Newton steps: O(n d^2) each, and fewer than ten from zero as a rule.

    Args:
        start: where to begin, such as the solution for another c.
        tolerance: :data:`FINE` or :data:`COARSE`.

    Raises:
        FitError: no convergence.
    """
    n, d = x.shape
    rows = np.hstack([x, np.ones((n, 1))])
    sign = np.where(positive, 1.0, -1.0)
    penalty = np.append(np.ones(d), 0.0)
    flat = np.append(np.zeros(d), _FLAT * c * n)
    found: NDArray[np.float64] = np.zeros(d + 1) if start is None else np.array(start, np.float64)

    def loss(at: Float[np.ndarray, " d_and_1"]) -> float:
        return float(penalty @ (at * at)) / 2 + c * float(np.logaddexp(0.0, -sign * (rows @ at)).sum())

    now = loss(found)
    for _ in range(_MOST_STEPS):
        wrong = np.exp(-np.logaddexp(0.0, sign * (rows @ found)))  # the chance given to the other class
        gradient = penalty * found - c * (rows.T @ (sign * wrong))
        weighted = rows * np.sqrt(c * wrong * (1 - wrong))[:, None]
        curved = weighted.T @ weighted
        curved[np.diag_indices(d + 1)] += penalty + flat
        step = np.linalg.solve(curved, gradient)
        slope = float(gradient @ step)
        length = 1.0
        while (then := loss(found - length * step)) > now - 1e-4 * length * slope and length > _SHORTEST:
            length /= 2
        if length <= _SHORTEST:
            return found  # rounding is all that is left
        found, now = np.asarray(found - length * step, np.float64), then
        if slope <= 2 * tolerance * now:
            return found
    raise FitError(f"logistic regression has not converged in {_MOST_STEPS} steps at C={c:g}; give a smaller C")


def log_losses(
    x: Float[np.ndarray, "n d"], positive: Bool[np.ndarray, " n"], solution: Float[np.ndarray, " d_and_1"]
) -> Float[NDArray[np.float64], " n"]:
    """Of each row, in nats."""
    return np.logaddexp(0.0, np.where(positive, -1.0, 1.0) * (x @ solution[:-1] + solution[-1]))
