"""Scores that others publish, for comparison with them only: they can't see an explanation that is too broad."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Shaped

from assay.errors import UsageError
from assay.stats.correlation import moment_sums, pearson


def top_and_random_r(
    predicted: Float[np.ndarray, " n"],
    activations: Float[np.ndarray, " n"],
    windows: Shaped[np.ndarray, " n"],
    seed: int = 0,
    each: int = 5,
) -> float:
    """Pearson's r over the ``each`` windows with the largest activations and as many random others.

    ``windows`` names the excerpt of each token. The score of Bills et al. 2023 (OpenAI). Half the tokens it looks at
    come from where the unit fires most, so firings predicted elsewhere hardly count. NaN when the activation is
    constant over the windows drawn.

    Raises:
        UsageError: fewer windows than the score needs.
    """
    names, window = np.unique(windows, return_inverse=True)
    window = window.reshape(-1)
    if names.size < 2 * each:
        raise UsageError(f"top-and-random r needs {2 * each} windows; got {names.size}")
    peaks = np.full(names.size, -np.inf)
    np.maximum.at(peaks, window, activations)
    order = np.argsort(-peaks, kind="stable")
    others = np.random.default_rng(seed).choice(order[each:], each, replace=False)
    seen = np.isin(window, np.concatenate([order[:each], others]))
    sums = moment_sums(predicted[seen], activations[seen], np.zeros(int(seen.sum()), dtype=np.int64), 1)
    return float(pearson(sums[0]))
