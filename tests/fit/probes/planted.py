"""Rows in which a concept lies along a direction that is known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Planted(NamedTuple):
    x: NDArray[np.float64]
    y: NDArray[np.int64]
    pairs: NDArray[np.int64]
    truth: NDArray[np.float64]


def unit(rng, d):
    vector = rng.normal(size=d)
    return vector / np.linalg.norm(vector)


def cosine(a, b):
    return float(abs(a @ b) / np.linalg.norm(a) / np.linalg.norm(b))


def planted(n, d, snr, seed=0, share=0.5, sd=1.0):
    """Rows ``5 + snr * sign * truth + noise``; no pairs."""
    rng = np.random.default_rng([seed, 101])
    truth, y = unit(rng, d), (rng.random(n) < share).astype(np.int64)
    x = 5 + snr * np.outer(2 * y - 1, truth) + sd * rng.normal(size=(n, d))
    return Planted(x, y, np.full(n, -1), truth)


def negations(m, d, snr, seed=0, topic=1.0, second=0.0, ordered=False):
    """m pairs of rows ``topic + snr * sign * truth + noise`` of opposite sign, one after the other.

    ``second``: how far the second row of each is moved along a direction of its own, as by a "not". ``ordered``: the
    positive row comes first.
    """
    rng = np.random.default_rng([seed, 102])
    truth = unit(rng, d)
    first = np.ones(m, bool) if ordered else rng.random(m) < 0.5
    y = np.stack([first, ~first], 1).reshape(-1).astype(np.int64)
    x = np.repeat(topic * rng.normal(size=(m, d)), 2, 0)
    x += snr * np.outer(2 * y - 1, truth) + rng.normal(size=(2 * m, d))
    x += second * np.outer(np.tile([0.0, 1.0], m), not_direction(d, seed))
    return Planted(x, y, np.repeat(np.arange(m), 2), truth)


def not_direction(d, seed=0):
    return unit(np.random.default_rng([seed, 103]), d)
