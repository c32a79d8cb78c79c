"""Fitting the references that rules must beat.

Estimates are shrunk towards what is known without them: a token's mean towards the overall mean, a pair's towards its
token's mean, with ``PRIOR`` pseudo-observations (empirical Bayes with a fixed prior strength).
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Float64
from numpy.typing import NDArray

from assay.core.jit import spread
from assay.rules.lookup import Lookup
from assay.rules.lookup_kernels import PRIOR, Estimates, Groups, fit_tokens
from assay.rules.reference_kernels import Seen
from assay.rules.rule import HEADER_BITS, VALUE_BITS
from assay.rules.view import View

Floats = NDArray[np.float64]

_ROUNDING = 1e-6  # a table's own bits, a long sum, must buy it again
_CHUNK = 16  # units that a thread takes at a time


class LookupLearner:
    """Fits lookups for many units on one view: the groupings by token and by pair are made once.

    Args:
        view: the fit split.
        vocabulary: size of the vocabulary, for description lengths.
    """

    def __init__(self, view: View, vocabulary: int) -> None:
        self.vocabulary = vocabulary
        self._token, previous = view.keys("token"), view.keys("previous token")
        size = len(self._token.names)
        codes, self._pair = np.unique(previous.ids * size + self._token.ids, return_inverse=True)
        self._first: NDArray[np.int64] = codes // size
        self._second: NDArray[np.int64] = codes % size
        self._counts = np.bincount(self._token.ids, minlength=size).astype(float)
        self._pair_counts = np.bincount(self._pair, minlength=len(codes)).astype(float)

    def fit(self, target: Float[np.ndarray, " tokens"], *, pairs: bool, bits: float | None) -> Lookup:
        """The best table of at most ``bits`` (unlimited: None), with or without pairs.

        Entries are chosen greedily by the squared error they remove per bit, given those chosen before; a pair is
        worth what it removes beyond its token's entry, if that entry is in the table, else beyond the base.

        Args:
            target: (tokens,) activations on the fit split.
        """
        base = float(target.mean(dtype=np.float64))
        centred = target.astype(np.float64) - base
        sums = _sums(self._token.ids, centred, len(self._counts))
        means = sums / (self._counts + PRIOR)
        gains = _gain(sums, self._counts, means)
        gains[0] = 0  # a token without text can't be looked up
        order = np.argsort(-gains, kind="stable")[: int((gains > 0).sum())]
        budget = math.inf if bits is None else budget_for(bits)
        cost, _ = self.costs
        if not pairs:
            count = len(order) if bits is None else int(budget // cost)
            return self._table(order[:count], order[:0], means, means[:0], base)
        pair_sums = _sums(self._pair, centred, len(self._pair_counts))
        prior = means[self._second]
        values = (pair_sums + PRIOR * prior) / (self._pair_counts + PRIOR)
        if bits is None:
            over_token = self._over_token(pair_sums, values, means)
            return self._table(order, np.flatnonzero(over_token > 0), means, values, base)
        tokens, chosen = self._greedy(sums, means, pair_sums, values, budget)
        return self._table(tokens, chosen, means, values, base)

    def fit_many(self, targets: Float[np.ndarray, "units tokens"], bits: Float[np.ndarray, " units"]) -> list[Lookup]:
        """For each unit what :meth:`fit` gives without pairs for so many bits, on all processors.

        Args:
            targets: (units, tokens) activations on the fit split.
            bits: (units,) the most each table may have.
        """
        cost, _ = self.costs
        sizes = np.array([min(int(budget_for(float(own)) // cost), len(self._counts)) for own in bits], np.int64)
        picks = np.zeros((len(targets), int(sizes.max(initial=0))), np.int64)
        means, bases = np.zeros(picks.shape), np.zeros(len(targets))

        def work(first: int, last: int) -> None:
            span = slice(first, last)
            bases[span] = bases_of(targets[span])
            rows = np.ascontiguousarray(targets[span])
            fit_tokens(self.groups, rows, bases[span], self.estimates(), picks[span], means[span], sizes[span])

        spread(work, len(targets), chunk=_CHUNK)
        names = self._token.names
        return [
            Lookup(
                {names[token]: _rounded(base + mean) for token, mean in zip(own[:size], worth[:size], strict=True)},
                base,
                self.vocabulary,
            )
            for own, worth, size, base in zip(
                picks.tolist(), means.tolist(), sizes.tolist(), bases.tolist(), strict=True
            )
        ]

    @property
    def costs(self) -> tuple[float, float]:
        """Bits of an entry of a token, and of a pair."""
        name = math.log2(self.vocabulary)
        return 1 + VALUE_BITS + name, 1 + VALUE_BITS + 2 * name

    @cached_property
    def groups(self) -> Groups:
        """The view as the kernels read it."""
        order = np.argsort(self._second, kind="stable")
        number = np.empty(len(order), np.int32)
        number[order] = np.arange(len(order))
        second = self._second[order]
        return Groups(
            token=self._token.ids.astype(np.int32),
            pair=number[self._pair],
            counts=self._counts,
            pair_counts=self._pair_counts[order],
            start=np.searchsorted(second, np.arange(len(self._counts) + 1)),
            second=second.astype(np.int32),
            known=((self._first[order] > 0) & (second > 0)).astype(np.uint8),
            rank=order.astype(np.int64),
        )

    def estimates(self) -> Estimates:
        """Working space of one thread."""
        tokens, pairs = len(self._counts), len(self._pair_counts)
        return Estimates(
            **{name: np.zeros(tokens) for name in ("sums", "means", "gains", "best_gain", "counts")},
            **{name: np.zeros(pairs) for name in ("pair_sums", "values", "over_base", "over_token")},
            best=np.zeros(tokens, np.int64),
            listed=np.zeros(tokens, np.uint8),
            taken=np.zeros(tokens + pairs, np.uint8),
        )

    def seen(self, view: View) -> Seen:
        """Another view by this one's tokens and pairs."""
        names, other = self._token.names, view.keys("token")
        index = {name: i for i, name in enumerate(names)}
        number = np.array([index.get(name, -1) for name in other.names])
        token, before = number[other.ids], number[view.keys("previous token").ids]
        codes = self._first * len(names) + self._second
        code = np.where((token < 0) | (before < 0), -1, before * len(names) + token)
        at = np.searchsorted(codes, code).clip(max=len(codes) - 1)
        of_pair = np.empty(len(codes), np.int64)
        of_pair[self.groups.rank] = np.arange(len(codes))
        pair = np.where(codes[at] == code, of_pair[at], len(codes))
        token = np.maximum(token, 0)
        return Seen(
            token=token.astype(np.int32),
            pair=pair.astype(np.int32),
            token_start=_starts(token, len(names)),
            token_rows=np.argsort(token, kind="stable").astype(np.int32),
            pair_start=_starts(pair, len(codes) + 1),
            pair_rows=np.argsort(pair, kind="stable").astype(np.int32),
        )

    def _over_token(self, pair_sums: Floats, values: Floats, means: Floats) -> Floats:
        """What each pair removes beyond its token's entry; pairs with nothing on either side are worth nothing."""
        prior = means[self._second]
        gain = _gain(pair_sums - self._pair_counts * prior, self._pair_counts, values - prior)
        return np.where((self._first > 0) & (self._second > 0), gain, 0.0)

    def _greedy(
        self, sums: Floats, means: Floats, pair_sums: Floats, values: Floats, budget: float
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The tokens and the pairs that a table of ``budget`` bits holds."""
        costs = np.repeat(self.costs, [len(sums), len(pair_sums)])
        sums, counts = sums.copy(), self._counts.copy()  # of the occurrences that no chosen pair covers
        over_token = self._over_token(pair_sums, values, means)
        over_base = np.where((self._first > 0) & (self._second > 0), _gain(pair_sums, self._pair_counts, values), 0.0)
        gains = np.concatenate([_gain(sums, counts, means), over_base])
        gains[0] = 0
        chosen: list[int] = []
        while True:
            pick = int(np.argmax(np.where(costs <= budget, gains / costs, 0.0)))
            if gains[pick] <= 0 or costs[pick] > budget:
                break
            chosen.append(pick)
            budget -= float(costs[pick])
            gains[pick] = -math.inf
            if pick < len(sums):
                followers = np.flatnonzero((self._second == pick) & np.isfinite(gains[len(sums) :]))
                gains[len(sums) + followers] = over_token[followers]
                continue
            pair = pick - len(sums)
            token = int(self._second[pair])
            sums[token] -= pair_sums[pair]
            counts[token] -= self._pair_counts[pair]
            if math.isfinite(gains[token]):
                gains[token] = _gain(sums[token], counts[token], means[token])
        picks = np.array(chosen, dtype=np.intp)
        return picks[picks < len(sums)], picks[picks >= len(sums)] - len(sums)

    def _table(
        self, tokens: NDArray[np.intp], pairs: NDArray[np.intp], means: Floats, values: Floats, base: float
    ) -> Lookup:
        names = self._token.names
        entries: dict[str | tuple[str, str], float] = {names[int(i)]: _rounded(base + means[i]) for i in tokens}
        for i in pairs:
            entries[names[int(self._first[i])], names[int(self._second[i])]] = _rounded(base + values[i])
        return Lookup(entries, base, self.vocabulary)


def _sums(ids: NDArray[np.int64], values: Floats, size: int) -> Floats:
    return np.bincount(ids, values, minlength=size).astype(np.float64)


def _rounded(value: Any) -> float:
    return float(f"{value:.6g}")


def _gain(sums: Any, counts: Any, values: Any) -> Any:
    """Squared error removed by predicting ``values`` for groups with these residual sums and counts."""
    return 2 * values * sums - values**2 * counts


def budget_for(bits: float) -> float:
    """Bits that are left for entries."""
    return max(bits - HEADER_BITS, 0.0) + _ROUNDING


def bases_of(targets: Float[np.ndarray, "units tokens"]) -> Float64[np.ndarray, " units"]:
    """(units,) the mean of each."""
    return np.array([target.mean(dtype=np.float64) for target in targets], np.float64)


def _starts(kinds: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(np.bincount(kinds, minlength=size))])
