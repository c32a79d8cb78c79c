"""Symmetric matrices between 0 and 1 of a given trace, held by the few eigenvectors that stand out."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

SAME = 1e-12  # eigenvalues closer than this to the common one are taken for it
BESIDE = 1e-9  # share of a column's length below which nothing of it is beside the basis


class Fantope(NamedTuple):
    """``common * (I - V Vᵀ) + V diag(values) Vᵀ``: 0 <= A <= I, with the same trace k after every step.

    ``basis``: V, (d, r), orthonormal. ``values``: (r,). ``common``: the eigenvalue of all that is orthogonal to V.
    These are the convex hull of the projections onto k dimensions.
    """

    basis: Float[NDArray[np.float64], "d r"]
    values: Float[NDArray[np.float64], " r"]
    common: float

    def beside(self, columns: Float[np.ndarray, "d m"]) -> Float[NDArray[np.float64], "d m"]:
        """(I - A) columns."""
        along = (self.values - self.common)[:, None] * (self.basis.T @ columns)
        return (1.0 - self.common) * columns - self.basis @ along

    def step(self, left: Float[np.ndarray, "d m"], right: Float[np.ndarray, "d m"], rate: float) -> Fantope:
        """The point of the set nearest to ``A + rate / 2 (left rightᵀ + right leftᵀ)``.

        Exactly that of a decomposition of the whole matrix: outside of the span of V, left and right nothing changes
        but the common eigenvalue, so only a matrix of order r + 2 m is decomposed.
        """
        d, r = self.basis.shape
        wide = _extended(self.basis, np.concatenate([left, right], 1))
        a, b = wide.T @ left, wide.T @ right
        small = rate / 2 * (a @ b.T + b @ a.T)
        diagonal = np.full(wide.shape[1], self.common)
        diagonal[:r] = self.values
        small[np.diag_indices_from(small)] += diagonal
        values, vectors = np.linalg.eigh(small)
        others = d - len(values)
        trace = self.values.sum() + (d - r) * self.common
        shift = _shift(values, self.common, others, float(trace))
        values = np.clip(values - shift, 0.0, 1.0)
        common = float(np.clip(self.common - shift, 0.0, 1.0)) if others else 0.0
        apart = np.abs(values - common) > SAME
        return Fantope(wide @ vectors[:, apart], values[apart], common)

    def top(self, k: int) -> Float[NDArray[np.float64], "d k"]:
        """The eigenvectors of the k largest eigenvalues; what V lacks is filled up with any directions beside it."""
        order = np.argsort(self.values)[::-1]
        order = order[self.values[order] > self.common][:k]
        return (
            _extended(self.basis[:, order], np.eye(len(self.basis)))[:, :k] if len(order) < k else self.basis[:, order]
        )


def _extended(basis: NDArray[np.float64], columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """The basis and, after it, an orthonormal basis of what the columns have beside it (Gram and Schmidt, twice)."""
    d, r = basis.shape
    wide = np.empty((d, min(d, r + columns.shape[1])))
    wide[:, :r] = basis
    for column in columns.T:
        length = math.sqrt(column @ column)
        if r == d or not length:
            continue
        rest = column / length
        for _ in range(2):  # once leaves rounding along the basis where little is beside it
            rest = rest - wide[:, :r] @ (rest @ wide[:, :r])
        length = math.sqrt(rest @ rest)
        if length > BESIDE:
            wide[:, r] = rest / length
            r += 1
    return wide[:, :r]


def _shift(values: NDArray[np.float64], common: float, others: int, trace: float) -> float:
    """What all eigenvalues are lowered by so that, cut to 0 and 1, they sum to ``trace``.

    Between the places where one of them is cut the sum is a straight line in the shift (Vu et al. 2013, lemma 4.1).
    """
    every = np.append(values, common) if others else values
    weights = np.ones(len(every))
    if others:
        weights[-1] = others
    knots = np.sort(np.concatenate([every - 1, every]))
    sums = np.clip(every - knots[:, None], 0.0, 1.0) @ weights
    after = int(np.searchsorted(-sums, -trace))
    if after == 0:
        return float(knots[0])
    before = after - 1
    drop = sums[before] - sums[after]
    return float(knots[before] + (sums[before] - trace) / drop * (knots[after] - knots[before]))
