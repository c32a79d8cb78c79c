"""Every labelling of d facts is a solution of CCS, where a fact and its negation are opposite one-hot vectors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int8
from numpy.typing import NDArray

from assay.errors import UsageError
from assay.fit.probes.ccs import ccs_loss

MOST_FACTS = 16


class SignVectors(NamedTuple):
    """One row for each of the 2^d sign vectors.

    ``signs``: (2^d, d), 1 or -1. ``losses``: (2^d,) the CCS loss of the weights ``scale * signs``. ``accuracies``:
    (2^d,) the share of the facts that they tell as planted, not folded.
    """

    signs: Int8[NDArray[np.int8], "count d"]
    losses: Float[NDArray[np.float64], " count"]
    accuracies: Float[NDArray[np.float64], " count"]


def sign_vectors(truth: Bool[np.ndarray, " d"], scale: float = 10.0) -> SignVectors:
    """Enumerate the probes that CCS can't tell apart.

    Fact i is embedded as +e_i and its negation as -e_i. Weights ``scale * s`` give log-odds of ``scale * s_i`` and
    ``-scale * s_i``: chances that sum to 1, one of them ``sigmoid(-scale)``. So each s has the loss
    ``sigmoid(-scale)^2``, which goes to 0, and their accuracies are those of d coins.

    Args:
        truth: which of the d facts hold, 1 to 16.
        scale: size of the weights.

    Raises:
        UsageError: no fact, or more than 2^d is to be enumerated for.
    """
    d = len(truth)
    if not 1 <= d <= MOST_FACTS:
        raise UsageError(f"sign vectors are enumerated for 1 to {MOST_FACTS} facts. Got {d}.")
    bits = np.arange(2**d)[:, None] >> np.arange(d) & 1
    signs = (2 * bits - 1).astype(np.int8)
    facts = np.eye(d)
    weights = scale * signs.T.astype(np.float64)
    losses = ccs_loss(facts @ weights, -facts @ weights)
    return SignVectors(signs, losses, ((signs > 0) == truth).mean(1))
