"""The references that rules must beat: a value for each token, or for each pair of tokens, and nothing else.

Estimates are shrunk towards what is known without them: a token's mean towards the overall mean, a pair's towards its
token's mean, with ``PRIOR`` pseudo-observations (empirical Bayes with a fixed prior strength).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.rules.rule import HEADER_BITS, VALUE_BITS, quoted
from assay.rules.view import View

PRIOR = 2.0


@dataclass(frozen=True)
class Lookup:
    """A table from the token's text, or from the pair (previous token, token), to a value; ``base`` elsewhere.

    ``entries`` maps a text, or a pair of texts, to the value that stands in the place of the base; a pair comes
    before its token.
    """

    entries: dict[str | tuple[str, str], float]
    base: float
    vocabulary: int
    kind: str = field(default="lookup", init=False)

    def predict(self, view: View) -> NDArray[np.float32]:
        """Predicted activation at every token of the view: (tokens,)."""
        token, previous = view.keys("token"), view.keys("previous token")
        table = np.array([self.entries.get(name, self.base) for name in token.names], dtype=np.float32)
        out = table[token.ids]
        index = {name: i for i, name in enumerate(token.names)}
        size = len(token.names)
        pairs = {
            index[key[0]] * size + index[key[1]]: value
            for key, value in self.entries.items()
            if isinstance(key, tuple) and key[0] in index and key[1] in index
        }
        if pairs:
            known = np.sort(np.fromiter(pairs, dtype=np.int64))
            values = np.array([pairs[int(code)] for code in known], dtype=np.float32)
            code = previous.ids * size + token.ids
            at = np.searchsorted(known, code).clip(max=len(known) - 1)
            hit = known[at] == code
            out[hit] = values[at[hit]]
        return out

    @property
    def bits(self) -> float:
        """Description length: every entry costs its token or tokens at log2(vocabulary), and its value."""
        name = math.log2(self.vocabulary)
        return HEADER_BITS + sum(
            1 + VALUE_BITS + name * (2 if isinstance(key, tuple) else 1) for key in self.entries
        )

    def lines(self) -> list[str]:
        """One line an entry, strongest first."""
        ranked = sorted(self.entries.items(), key=lambda item: -abs(item[1] - self.base))
        return [f"{value:+.3g} on {_shown(key)}" for key, value in ranked]

    def sentence(self, most: int = 6) -> str:
        """The table's strongest entries as one sentence."""
        ranked = sorted(self.entries.items(), key=lambda item: -abs(item[1] - self.base))
        if not ranked:
            return "A constant."
        rest = len(ranked) - min(most, len(ranked))
        shown = ", ".join(f"{_shown(key)} ({value:+.2g})" for key, value in ranked[:most])
        return f"A table of tokens: {shown}" + (f" and {rest} more." if rest else ".")

    def to_json(self) -> dict[str, Any]:
        """As plain data; :meth:`from_json` reads it back."""
        rows = [[list(key) if isinstance(key, tuple) else key, value] for key, value in self.entries.items()]
        return {"kind": "lookup", "base": self.base, "vocabulary": self.vocabulary, "entries": rows}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Lookup:
        """Read what :meth:`to_json` wrote."""
        rows = data["entries"]
        entries = {tuple(key) if isinstance(key, list) else key: float(value) for key, value in rows}
        return cls(entries, float(data["base"]), int(data["vocabulary"]))


def _shown(key: str | tuple[str, str]) -> str:
    return quoted(key) if isinstance(key, str) else f"{quoted(key[1])} after {quoted(key[0])}"


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
        self._first, self._second = codes // size, codes % size
        self._counts = np.bincount(self._token.ids, minlength=size).astype(float)
        self._pair_counts = np.bincount(self._pair).astype(float)

    def fit(self, target: NDArray[np.float32], *, pairs: bool, bits: float | None) -> Lookup:
        """The best table of at most ``bits`` (unlimited: None), with or without pairs.

        Entries are chosen greedily by the squared error they remove per bit; a pair is worth what it removes beyond
        its token's entry, if that entry is in the table, else beyond the base.

        Args:
            target: (tokens,) activations on the fit split.
        """
        base = float(target.mean())
        centred = target - base
        sums = np.bincount(self._token.ids, centred, minlength=len(self._counts))
        means = sums / (self._counts + PRIOR)
        gains = _gain(sums, self._counts, means)
        budget = math.inf if bits is None else bits - HEADER_BITS
        cost = 1 + VALUE_BITS + math.log2(self.vocabulary)
        order = [int(i) for i in np.argsort(-gains) if gains[i] > 0]
        if not pairs:
            count = len(order) if bits is None else int(budget // cost)
            return self._table(order[:count], [], means, np.zeros(0), base)
        return self._with_pairs(centred, means, gains, order, budget, cost, base)

    def _with_pairs(
        self,
        centred: NDArray[np.float32],
        means: NDArray[np.float64],
        gains: NDArray[np.float64],
        order: list[int],
        budget: float,
        cost: float,
        base: float,
    ) -> Lookup:
        sums = np.bincount(self._pair, centred, minlength=len(self._pair_counts))
        prior = means[self._second]
        values = (sums + PRIOR * prior) / (self._pair_counts + PRIOR)
        over_token = _gain(sums - self._pair_counts * prior, self._pair_counts, values - prior)
        pair_cost = cost + math.log2(self.vocabulary)
        if math.isinf(budget):
            return self._table(order, [int(i) for i in np.flatnonzero(over_token > 0)], means, values, base)
        tokens: list[int] = []
        best_pairs = np.argsort(-over_token)
        rate = np.concatenate([gains[order] / cost, over_token[best_pairs] / pair_cost])
        chosen_pairs: list[int] = []
        for pick in np.argsort(-rate, kind="stable"):
            is_token = pick < len(order)
            spend = cost if is_token else pair_cost
            if budget < spend or rate[pick] <= 0:
                if budget < cost:
                    break
                continue
            budget -= spend
            if is_token:
                tokens.append(order[pick])
            else:
                chosen_pairs.append(int(best_pairs[pick - len(order)]))
        return self._table(tokens, chosen_pairs, means, values, base)

    def _table(
        self,
        tokens: list[int],
        pairs: list[int],
        means: NDArray[np.float64],
        values: NDArray[np.float64],
        base: float,
    ) -> Lookup:
        names = self._token.names
        entries: dict[str | tuple[str, str], float] = {
            names[i]: round(base + float(means[i]), 5) for i in tokens if names[i]
        }
        for i in pairs:
            first, second = names[self._first[i]], names[self._second[i]]
            if first and second:
                entries[first, second] = round(base + float(values[i]), 5)
        return Lookup(entries, base, self.vocabulary)


def _gain(
    sums: NDArray[np.float64], counts: NDArray[np.float64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Squared error removed by predicting ``values`` for groups with these residual sums and counts."""
    return 2 * values * sums - values**2 * counts
