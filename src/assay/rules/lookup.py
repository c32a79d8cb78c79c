"""The references that rules must beat: a value for each token, or for each pair of tokens, and nothing else.

Estimates are shrunk towards what is known without them: a token's mean towards the overall mean, a pair's towards its
token's mean, with ``PRIOR`` pseudo-observations (empirical Bayes with a fixed prior strength).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Float32
from numpy.typing import NDArray

from assay.errors import UsageError
from assay.rules import reading
from assay.rules.phrases import quoted
from assay.rules.rule import HEADER_BITS, VALUE_BITS, VOCABULARY
from assay.rules.view import View

Floats = NDArray[np.float64]

PRIOR = 2.0
_ROUNDING = 1e-6  # a table's own bits, a long sum, must buy it again


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

    def predict(self, view: View) -> Float32[np.ndarray, " tokens"]:
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
        return HEADER_BITS + sum(1 + VALUE_BITS + name * (2 if isinstance(key, tuple) else 1) for key in self.entries)

    def lines(self) -> list[str]:
        """One line an entry, strongest first."""
        ranked = sorted(self.entries.items(), key=lambda item: -abs(item[1] - self.base))
        return [f"{value:+.3g} on {_shown(key)}" for key, value in ranked]

    def sentence(self, most: int = 6) -> str:
        """The table's strongest entries as one sentence."""
        ranked = sorted(self.entries.items(), key=lambda item: -abs(item[1] - self.base))
        if not ranked:
            return f"It is always {self.base:.2g}."
        shown = [f"{value:+.2g} on {_shown(key)}" for key, value in ranked[:most]]
        if len(ranked) > most:
            shown.append(f"so on for {len(ranked) - most} more")
        return f"It is {', '.join(shown[:-1])}{' and ' if len(shown) > 1 else ''}{shown[-1]}."

    def to_json(self) -> dict[str, Any]:
        """As plain data; :meth:`from_json` reads it back."""
        rows = [[list(key) if isinstance(key, tuple) else key, value] for key, value in self.entries.items()]
        return {"kind": "lookup", "base": self.base, "vocabulary": self.vocabulary, "entries": rows}

    @classmethod
    def from_json(cls, data: str | Mapping[str, Any]) -> Lookup:
        """Read what :meth:`to_json` wrote, or what a person wrote in the same form: text of JSON, or its contents.

        Raises:
            UsageError: not JSON, a key that is missing, a value of the wrong type, an entry that occurs twice.
            UnknownName: a key that does not exist.
        """
        table = reading.table(
            reading.parsed(data, "a lookup"), "a lookup", ("entries",), ("kind", "base", "vocabulary")
        )
        reading.of_kind(table, "lookup")
        entries: dict[str | tuple[str, str], float] = {}
        for i, row in enumerate(reading.array(table["entries"], "'entries'"), start=1):
            with reading.at(f"entry {i}"):
                key, value = _entry(row)
                if key in entries:
                    raise UsageError(f"{key!r} has a value already")
                entries[key] = value
        base = reading.number(table.get("base", 0.0), "'base'")
        return cls(entries, base, reading.vocabulary_size(table.get("vocabulary", VOCABULARY)))


def _entry(row: object) -> tuple[str | tuple[str, str], float]:
    form = "an entry must be [token, value] or [[previous token, token], value]"
    pair = reading.array(row, "an entry")
    if len(pair) != 2:
        raise UsageError(f"{form}, got {len(pair)} parts")
    value = reading.number(pair[1], "the value")
    if isinstance(pair[0], str):
        return pair[0], value
    texts = reading.strings(pair[0], "the key")
    if len(texts) != 2:
        raise UsageError(f"{form}; its key has {len(texts)} parts")
    return (texts[0], texts[1]), value


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
        budget = math.inf if bits is None else max(bits - HEADER_BITS, 0.0) + _ROUNDING
        cost = 1 + VALUE_BITS + math.log2(self.vocabulary)
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

    def _over_token(self, pair_sums: Floats, values: Floats, means: Floats) -> Floats:
        """What each pair removes beyond its token's entry; pairs with nothing on either side are worth nothing."""
        prior = means[self._second]
        gain = _gain(pair_sums - self._pair_counts * prior, self._pair_counts, values - prior)
        return np.where((self._first > 0) & (self._second > 0), gain, 0.0)

    def _greedy(
        self, sums: Floats, means: Floats, pair_sums: Floats, values: Floats, budget: float
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The tokens and the pairs that a table of ``budget`` bits holds."""
        name = math.log2(self.vocabulary)
        costs = np.repeat([1 + VALUE_BITS + name, 1 + VALUE_BITS + 2 * name], [len(sums), len(pair_sums)])
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
