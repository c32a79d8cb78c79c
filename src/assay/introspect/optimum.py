"""The best linear reader of a patched neuron: the ceiling that a causal slope is held against.

A neuron's write is small beside what else varies in the residual, so even whoever reads the residual in the best
linear way sees a patch dimly: the slope of such a reader is its R², not 1. What a reporter's slope is a share of is
this one's, on the same patches.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from assay.fit.ridge import Ridge, fit_ridge
from assay.introspect.baselines import Parts
from assay.introspect.neurons import Neuron
from assay.introspect.regimes import doses

DRAWS = 4  # patches of each sentence


class Optimum(NamedTuple):
    """``reader``: a ridge on the residual after the neuron."""

    reader: Ridge

    def says(self, patched: Float[np.ndarray, "n d_model"]) -> Float[NDArray[np.float64], " n"]:
        """The digit that it reads from each residual, unrounded."""
        return self.reader.predict(patched)[:, 0]


def linear_optimum(regime: str, neuron: Neuron, residual: Parts, values: Parts, patch: Parts, seed: int) -> Optimum:
    """Fit it on patches of the fit split.

    ``residual``: (n, d_model) a split, after the neuron, unpatched. ``values``: (n,) a split, the neuron's own.
    ``patch``: for each split the function that gives what a change of the neuron in every sentence, (n,), adds to the
    residual, (n, d_model).
    """
    rng = np.random.default_rng([seed, 7])
    both: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    for x, own, adds in ((residual.fit, values.fit, patch.fit), (residual.choose, values.choose, patch.choose)):
        given = [doses(regime, [neuron], own[:, None], rng) for _ in range(DRAWS)]
        seen = np.concatenate([x + adds(one.change[:, 0]) for one in given])
        both.append((seen, np.concatenate([one.digits for one in given]).astype(np.float64)))
    (x, y), (x_choose, y_choose) = both
    return Optimum(fit_ridge(x, y, x_choose, y_choose))
