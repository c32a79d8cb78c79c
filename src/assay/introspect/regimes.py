"""What value the neuron has when the model is asked, and which number is then right.

NAT: its own value, and the decile of that. INT: it is patched to a random value, at one, three or ten times its
natural spread, and the decile of the patched value among all such patches is right, so that the text says nothing.
SWAP: it is patched to its value in another sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from scipy.special import ndtr

from assay.introspect.neurons import Neuron

INT: Mapping[str, float] = {"int": 1.0, "int3": 3.0, "int10": 10.0}
REGIMES = ("nat", *INT, "swap")


class Doses(NamedTuple):
    """``change``: (n, units) what is added to each neuron's value. ``digits``: (n, units) the right answers, 0 to 9."""

    change: Float[NDArray[np.float32], "n units"]
    digits: Int64[NDArray[np.int64], "n units"]

    def of(self, units: list[int]) -> Doses:
        """Those of some neurons only."""
        return Doses(self.change[:, units], self.digits[:, units])


def doses(
    regime: str,
    neurons: list[Neuron],
    values: Float[np.ndarray, "n units"],
    rng: np.random.Generator,
    far: Float[np.ndarray, "#n units"] | float = 1.0,
) -> Doses:
    """One patch and one answer for each sentence and neuron; ``values`` are the natural ones.

    ``far``: patched values are so many times as far from the mean as the regime says; most are then the first or the
    last digit, since the borders between digits stay where they are.
    """
    values = values.astype(np.float64)
    means, sds = (np.array([getattr(neuron, name) for neuron in neurons]) for name in ("mean", "sd"))
    if regime in INT:
        z = far * rng.standard_normal(values.shape)
        wanted = means + INT[regime] * sds * z
        return Doses((wanted - values).astype(np.float32), np.minimum((10 * ndtr(z)).astype(np.int64), 9))
    wanted = values
    if regime == "swap":
        others = np.stack([column[rng.permutation(len(column))] for column in values.T], 1)
        wanted = means + far * (others - means)
    digits = np.stack([neuron.digits(column) for neuron, column in zip(neurons, wanted.T, strict=True)], 1)
    return Doses((wanted - values).astype(np.float32), digits)


def lengths(regime: str, neurons: list[Neuron]) -> Float[NDArray[np.float64], " units"]:
    """How long a patch of one standard deviation of its regime is in the residual."""
    return np.array([INT.get(regime, 1.0) * neuron.sd * neuron.write_norm for neuron in neurons])
