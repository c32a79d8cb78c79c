"""Recursive CCS: one direction after the other, each in what those before have left."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from assay.errors import FitError
from assay.fit.probes.base import Line, Rows, oriented
from assay.fit.probes.ccs import CCS, search

_ROUNDING = 1e-10  # of the largest range of a coordinate


class RecursiveCCS(CCS):
    """CCS, then CCS on rows from which what was found is projected out, and so on (Roger 2023, "What discovering
    latent knowledge did and did not find").

    As a probe it is its first direction, the same as CCS with the same settings. How far the later ones do as well is
    the point: on easy sets twenty orthogonal directions match CCS, random ones too (:func:`orthogonal_random`).

    Args:
        n_directions: how many; at most d.
        normalize, shuffle, n_init, l2, random_state: as in :class:`CCS`, for each direction.

    After ``fit``: ``directions_`` (k, d) orthonormal rows in the coordinates of X, each turned to the positive side
    where labels are given; ``intercepts_`` (k,), with which a direction says ``x @ direction + intercept``, above 0
    for positive; ``losses_`` (k,) the loss of each, and ``loss_`` the first.
    """

    method: ClassVar[str] = "ccs_recursive"

    def __init__(
        self,
        n_directions: int = 10,
        normalize: str | None = "joint",
        shuffle: bool = True,
        n_init: int = 10,
        l2: float | int = 0.01,
        random_state: int | None = 0,
    ) -> None:
        super().__init__(normalize, shuffle, n_init, l2, random_state)
        self.n_directions = n_directions

    def decisions(self, X: Any) -> Float[NDArray[np.float64], "n k"]:  # noqa: N803
        """What each direction says of each row of X, (n, d).

        Raises:
            FitError: NaN or infinite X, or another width than it was fitted to.
        """
        check_is_fitted(self)
        return self._validated(X, reset=False) @ self.directions_.T + self.intercepts_

    def _learn(self, rows: Rows) -> Line:
        d = rows.x.shape[1]
        if not 1 <= self.n_directions <= d:
            raise FitError(
                f"n_directions must be from 1 to the {d} dimensions of X. Got {self.n_directions!r} instead."
            )
        found = np.empty((0, d))
        lines: list[Line] = []
        losses: list[float] = []
        for _ in range(self.n_directions):
            left = _without(rows.x, found)
            if np.ptp(left, axis=0).max() <= _ROUNDING * np.ptp(rows.x, axis=0).max():
                raise FitError(f"after {len(lines)} directions nothing is left of X; lower n_directions")
            one = search(rows._replace(x=left), self)
            weights = _without(_without(one.line.weights[None], found), found)[0]
            size = float(np.linalg.norm(weights))
            lines.append(oriented(Line(weights, one.line.intercept), rows))
            losses.append(float(one.losses.min()))
            found = np.vstack([found, lines[-1].weights / size])
        self.directions_, self.losses_, self.loss_ = found, np.array(losses), losses[0]
        self.intercepts_ = np.array([line.intercept / np.linalg.norm(line.weights) for line in lines])
        return lines[0]


def _without(x: Float[np.ndarray, "n d"], directions: Float[np.ndarray, "k d"]) -> Float[NDArray[np.float64], "n d"]:
    """Rows without what lies along orthonormal directions."""
    return x - x @ directions.T @ directions
