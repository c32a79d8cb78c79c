"""A random direction: what a probe must be better than."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from assay.errors import FitError
from assay.fit.probes.base import Line, LinearProbe, Rows, class_means, generator, oriented


class RandomDirection(LinearProbe):
    """A random unit vector; labels settle no more than its sign, and that it is 0 half-way between the class means.

    Without labels it is 0 at the mean of all rows.
    """

    method: ClassVar[str] = "random"
    uses_labels: ClassVar[bool] = False

    def __init__(self, random_state: int | None = 0) -> None:
        self.random_state = random_state

    def _learn(self, rows: Rows) -> Line:
        weights = generator(self.random_state, 4).normal(size=rows.x.shape[1])
        weights /= np.linalg.norm(weights)
        middle = rows.x.mean(0) if rows.positive is None else sum(class_means(rows)) / 2
        return oriented(Line(weights, -float(middle @ weights)), rows)


def orthogonal_random(d: int, k: int, seed: int) -> Float[NDArray[np.float64], "{k} {d}"]:
    """``k`` random orthonormal rows of ``d`` entries, each uniform on the sphere.

    QR of a Gaussian matrix, with the signs of Mezzadri 2007 (Notices of the AMS 54).

    Raises:
        FitError: more rows than dimensions.
    """
    if not 1 <= k <= d:
        raise FitError(f"there are 1 to {d} orthogonal directions in {d} dimensions. Got {k} instead.")
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(d, k)))
    return (q * np.sign(np.diag(r))).T
