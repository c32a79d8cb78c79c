"""Representation reading: the main direction of the differences of pairs."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from assay.errors import FitError
from assay.fit.probes.base import Line, LinearProbe, Rows, generator, oriented
from assay.fit.probes.pairing import pair_rows, random_pairs


class LAT(LinearProbe):
    """First principal component of the differences of pairs (linear artificial tomography; Zou et al. 2023).

    Labels settle which end is the positive one (the positive rows have the higher mean); without them it is the one at
    which the entry of the largest size is above 0. The probe is 0 at the mean of all rows. Without pairs, rows are
    paired at random.

    The component of ``D.T @ D``, not centred, is the same whichever row of a pair comes first. Centred and in a fixed
    order, "positive minus negative", it is another thing: centring takes away the mean difference, which is what was
    looked for, and leaves the noise (at a signal-to-noise ratio of 1 the cosine to the truth is about 0). Centred and
    in random order, the mean that is taken away is near 0 by lot, and the result nearly that of not centring.

    Args:
        shuffle: draw which row of a pair comes first. If not, the positive one does, or, where labels don't say, the
            one that stands first in X.
        centre: take the mean off the differences.
        random_state: seed of both lots.
    """

    method: ClassVar[str] = "lat"
    uses_labels: ClassVar[bool] = False

    def __init__(self, shuffle: bool = True, centre: bool = False, random_state: int | None = 0) -> None:
        self.shuffle = shuffle
        self.centre = centre
        self.random_state = random_state

    def _learn(self, rows: Rows) -> Line:
        rng = generator(self.random_state, 2)
        pairs = random_pairs(len(rows.x), rng) if rows.pairs is None else pair_rows(rows.pairs)
        if not len(pairs):
            raise FitError("no two rows are a pair; LAT needs pairs, or None to draw them")
        first, second = pairs.T
        differences = rows.x[first] - rows.x[second]
        if self.shuffle:
            differences *= rng.choice([-1.0, 1.0], (len(pairs), 1))
        elif rows.positive is not None:
            differences *= np.where(rows.positive[second] & ~rows.positive[first], -1.0, 1.0)[:, None]
        if self.centre:
            differences -= differences.mean(0)
        weights = _first_component(differences)
        return oriented(Line(weights, -float(rows.x.mean(0) @ weights)), rows)


def _first_component(differences: Float[np.ndarray, "m d"]) -> Float[NDArray[np.float64], " d"]:
    """The unit vector along which the mean square is the largest; its entry of the largest size is above 0."""
    m, d = differences.shape
    if m < d:
        found = np.linalg.eigh(differences @ differences.T)[1][:, -1] @ differences
    else:
        found = np.linalg.eigh(differences.T @ differences)[1][:, -1]
    size = float(np.linalg.norm(found))
    if not differences.any() or not size:
        raise FitError("the two rows of every pair are equal, or all pairs differ by the same: no direction is left")
    return found / size * np.sign(found[np.abs(found).argmax()])
