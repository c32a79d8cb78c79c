"""Single-token units, and trained minus twin with and without them.

A unit that fires on one token string alone is easily explained, in a trained model and in a randomised one, where the
embeddings alone make many such units (Heap et al. 2025, arXiv:2501.17727). A comparison that doesn't tell them apart
compares how many of them there are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.errors import UsageError
from assay.stats.bootstrap import Interval, interval

# The best token carries no less than all the others together: adding them can at most double what is explained.
SINGLE = 0.5
# Of next to nothing even all is nothing: a table of that one token must reach an r of .1, hence its square.
LEAST = 0.01
# A token that occurs less often can't be told from an outlier: one extreme activation is no habit.
FEWEST = 5
# Of K tokens without any effect the best gains about 2 ln K times the variance; this much more is no accident.
BEYOND_CHANCE = 10.0

_BLOCK = 128  # units at once, so that temporaries stay small


class TokenSums(NamedTuple):
    """Counts and sums of activations by token string.

    ``counts``: (tokens,) occurrences. ``sums``: (units, tokens) sums of activations over them. ``squares``: (units,)
    sums of squared activations over all.
    """

    counts: Int[np.ndarray, " tokens"]
    sums: Float[np.ndarray, "units tokens"]
    squares: Float[np.ndarray, " units"]


class TokenShares(NamedTuple):
    """How much of a unit the identity of the token says.

    ``explained``: (units,) share of the variance that a mean for every token string explains, adjusted for the
    number of strings (Kelley's epsilon squared), so that it is 0 on average where the token says nothing.
    ``single``: (units,) share of that which the best single string carries alone, 0 to 1; 0 where no string stands
    out. ``alone``: (units,) what that string explains of the variance. ``best``: (units,) its number, -1 where none
    stands out.
    """

    explained: Float[np.ndarray, " units"]
    single: Float[np.ndarray, " units"]
    alone: Float[np.ndarray, " units"]
    best: Int[np.ndarray, " units"]

    @property
    def is_single(self) -> Bool[np.ndarray, " units"]:
        """(units,) whether one string carries half or more of what all explain, and a hundredth of the variance."""
        return (self.single >= SINGLE) & (self.alone >= LEAST)


def token_sums(ids: Int[np.ndarray, " n"], activations: Float[np.ndarray, "n units"]) -> TokenSums:
    """Sum activations by token string; ``ids`` number the strings (tokens that are spelt alike share a number).

    Numbers that don't occur up to the highest one get a count of 0.
    """
    counts = np.bincount(ids)
    units = activations.shape[1]
    sums, squares = np.zeros((units, len(counts))), np.zeros(units)
    for start in range(0, units, _BLOCK):
        block = np.ascontiguousarray(activations[:, start : start + _BLOCK].T, dtype=np.float64)
        squares[start : start + _BLOCK] = np.square(block).sum(1)
        for unit, values in enumerate(block, start=start):
            sums[unit] = np.bincount(ids, weights=values, minlength=len(counts))
    return TokenSums(counts, sums, squares)


def token_shares(table: TokenSums) -> TokenShares:
    """How much of each unit the token says, and how much of that one token alone.

    With n tokens in all, n_t of string t with mean m_t, and overall mean m: the strings together explain
    sum n_t (m_t - m)^2, less (K - 1) times the variance within strings, which K strings explain of pure noise. String t
    alone explains n_t (m_t - m)^2 n / (n - n_t), less 2 ln K times that variance, the gain of the luckiest.

    Raises:
        UsageError: no more tokens than strings, from which no variance within strings can be had.
    """
    seen = table.counts > 0
    counts = table.counts[seen].astype(np.float64)
    n, k = counts.sum(), len(counts)
    if n <= k:
        raise UsageError(f"{int(n):,} tokens of {k:,} strings say nothing of how much a string explains; record more")
    names = np.flatnonzero(seen)
    units = len(table.sums)
    explained, single, alone = np.zeros(units), np.zeros(units), np.zeros(units)
    best = np.full(units, -1, dtype=np.int64)
    candidate = (counts >= FEWEST) & (counts < n)
    for start in range(0, units, _BLOCK):
        rows = slice(start, start + _BLOCK)
        sums = table.sums[rows][:, seen].astype(np.float64)
        mean = sums.sum(1, keepdims=True) / n
        between = (sums - counts * mean) ** 2 / counts
        total = table.squares[rows] - n * mean[:, 0] ** 2
        total[total <= 1e-12 * table.squares[rows]] = 0.0
        noise = np.maximum(total - between.sum(1), 0.0) / (n - k)
        together = between.sum(1) - (k - 1) * noise
        gains = np.where(candidate, between * n / np.where(candidate, n - counts, 1.0), 0.0)
        luckiest = 2 * np.log(k)
        top = gains.argmax(1)
        gain = gains[np.arange(len(top)), top]
        stands_out = (total > 0) & (gain > (luckiest + BEYOND_CHANCE) * noise) & (gain > 0)
        gain = gain - luckiest * noise
        share = gain / np.maximum(together, gain, where=stands_out, out=np.ones_like(gain))
        explained[rows] = np.divide(together, total, where=total > 0, out=np.zeros_like(total))
        single[rows] = np.where(stands_out, share, 0.0)
        alone[rows] = np.divide(gain, total, where=stands_out, out=np.zeros_like(total))
        best[rows] = np.where(stands_out, names[top], -1)
    return TokenShares(explained, single, alone, best)


class Difference(NamedTuple):
    """Trained minus twin in one stratum: numbers of units that were scored, mean scores, their difference."""

    stratum: str
    n_trained: int
    n_twin: int
    trained: float
    twin: float
    difference: Interval


STRATA = ("all", "single token", "other")


def trained_minus_twin(
    trained: Float[np.ndarray, " n"],
    twin: Float[np.ndarray, " m"],
    trained_single: Bool[np.ndarray, " n_strata"],
    twin_single: Bool[np.ndarray, " m_strata"],
    *,
    replicates: int = 2000,
    seed: int = 0,
) -> list[Difference]:
    """Differences of mean scores over all units, over the single-token units of each model, and over the others.

    The units of a twin are other units, whatever their numbers, so the two sides are resampled apart: the interval is
    a bootstrap over units. It speaks for other units of these two models on the same text, not for another draw of the
    twin and not for other documents. Units without a score (NaN) are left out and not counted.

    Raises:
        UsageError: scores and strata that differ in length, or an infinite score.
    """
    if len(trained) != len(trained_single) or len(twin) != len(twin_single):
        raise UsageError(
            f"each score needs its stratum: got {len(trained)} and {len(twin)} scores, "
            f"{len(trained_single)} and {len(twin_single)} strata"
        )
    found: list[Difference] = []
    for i, stratum in enumerate(STRATA):
        left, right = (
            _scored(scores if stratum == "all" else scores[single == (stratum == "single token")])
            for scores, single in ((trained, trained_single), (twin, twin_single))
        )
        draw = np.random.default_rng([seed, i])
        means = _resampled_means(left, replicates, draw), _resampled_means(right, replicates, draw)
        values = (_mean(left), _mean(right))
        gap = interval(values[0] - values[1], means[0] - means[1])
        found.append(Difference(stratum, len(left), len(right), *values, gap))
    return found


def paired_difference(
    first: Float[np.ndarray, " n"], second: Float[np.ndarray, " m"], *, replicates: int = 2000, seed: int = 0
) -> Interval:
    """Mean of first minus second where both are scores of the same units, such as one unit's on two texts.

    The same units are resampled on both sides. Units that lack either score are left out. Not for twins: their units
    are others (:func:`trained_minus_twin`).

    Raises:
        UsageError: different numbers of units, or an infinite score.
    """
    if len(first) != len(second):
        raise UsageError(f"paired scores must be of the same units; got {len(first)} and {len(second)}")
    return mean_over_units(first - second, replicates=replicates, seed=seed)


def mean_over_units(scores: Float[np.ndarray, " n"], *, replicates: int = 2000, seed: int = 0) -> Interval:
    """Mean score of units, which are resampled: how far it would move with other units, on the same documents.

    Units without a score are left out.

    Raises:
        UsageError: an infinite score.
    """
    kept = _scored(scores)
    return interval(_mean(kept), _resampled_means(kept, replicates, np.random.default_rng(seed)))


def _scored(scores: Float[np.ndarray, " n"]) -> Float[np.ndarray, " k"]:
    if np.isinf(scores).any():
        raise UsageError("a score is infinite; write NaN where there is none")
    return scores[~np.isnan(scores)].astype(np.float64)


def _mean(scores: Float[np.ndarray, " n"]) -> float:
    return float(scores.mean()) if len(scores) else float("nan")


def _resampled_means(
    scores: Float[np.ndarray, " n"], replicates: int, draw: np.random.Generator
) -> Float[np.ndarray, " replicates"]:
    """Means of resamples; NaN where there are fewer than two scores, from which nothing can be resampled."""
    if len(scores) < 2:
        return np.full(replicates, np.nan)
    rows = max(1, 4_000_000 // len(scores))
    parts = [
        scores[draw.integers(0, len(scores), (min(rows, replicates - done), len(scores)))].mean(1)
        for done in range(0, replicates, rows)
    ]
    return np.concatenate(parts)
