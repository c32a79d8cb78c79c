"""Learning a rule list: orthogonal matching pursuit over predicates that are grown as they are needed.

At each step the conjunction that gains most on the residual (:mod:`assay.rules.search`) joins the list, and all
values are refitted by least squares (orthogonal matching pursuit: Pati, Rezaiifar, Krishnaprasad 1993). Afterwards
each rule in turn is taken out and its list of strings chosen again given all the others (backfitting: Friedman,
Stuetzle 1981).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy import sparse

from assay.rules.rule import Rule, RuleList
from assay.rules.view import View
from rules.naive_search import Candidate, LearnOptions, Search

_LEVELS = 127  # of a value, to either side: eight bits
_APART = 0.5  # a ridge just large enough to keep equal rules apart


class Fit(NamedTuple):
    """The least-squares fit of a list of conjunctions."""

    base: float
    values: NDArray[np.float64]
    residual: NDArray[np.float64]


class NaiveLearner:
    """Learns rule lists for many units on one view: what does not depend on the unit is made once.

    Args:
        view: the fit split, restricted to the tokens that count.
        vocabulary: size of the vocabulary, for description lengths.
        options: how the search goes.
    """

    def __init__(self, view: View, vocabulary: int, options: LearnOptions | None = None) -> None:
        self.view, self.vocabulary, self.options = view, vocabulary, options or LearnOptions()
        self._search = Search(view, vocabulary, self.options)

    def fit(self, target: Float[np.ndarray, " tokens"], rules: int) -> RuleList:
        """The list of at most ``rules`` rules for one unit; fewer when nothing more pays for its description.

        Args:
            target: (tokens,) activations on the fit split.
        """
        y = target.astype(np.float64)
        chosen: list[Candidate] = []
        fit = refit(y, [], self.options.support)
        if np.ptp(y) == 0:
            return RuleList((), fit.base, self.vocabulary)
        while len(chosen) < rules:
            best = self._search.best(self._unexplained(y, chosen), {frozenset(c.when) for c in chosen})
            if best is None:
                break
            chosen.append(best)
            fit = self._refit(y, chosen)
        for _ in range(self.options.sweeps):
            for place, candidate in enumerate(chosen):
                back = fit.residual.copy()
                back[candidate.rows] += fit.values[place]
                taken = {frozenset(c.when) for c in chosen}
                chosen[place] = self._search.relisted(back, candidate, taken)
                fit = self._refit(y, chosen)
        return self._finish(chosen, fit)

    def _unexplained(self, y: NDArray[np.float64], chosen: list[Candidate]) -> NDArray[np.float64]:
        """The residual of unshrunk values: what shrinkage left on purpose is not for another rule to make good."""
        return refit(y, [candidate.rows for candidate in chosen], _APART).residual

    def _refit(self, y: NDArray[np.float64], chosen: list[Candidate]) -> Fit:
        return refit(y, [candidate.rows for candidate in chosen], self.options.support)

    def _finish(self, chosen: list[Candidate], fit: Fit) -> RuleList:
        """Round the values to eight bits and order the rules by what they explain."""
        values = rounded(fit.values)
        worth = [-len(c.rows) * value * value for c, value in zip(chosen, values, strict=True)]
        order = sorted(range(len(chosen)), key=worth.__getitem__)
        rules = [Rule(chosen[i].when, values[i]) for i in order if values[i] != 0]
        return RuleList(tuple(rules), fit.base, self.vocabulary)


def refit(y: Float[np.ndarray, " tokens"], rows: list[NDArray[np.intp]], support: float) -> Fit:
    """Least squares of y (tokens,) on the indicators of ``rows``, with a base and a ridge of ``support`` on the values.

    The base is not shrunk: y and the indicators are centred, in closed form.
    """
    if not rows:
        base = float(y.mean())
        return Fit(base, np.zeros(0), y - base)
    lengths = [len(r) for r in rows]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    columns = sparse.csc_matrix((np.ones(sum(lengths)), np.concatenate(rows), starts), shape=(len(y), len(rows)))
    mean, share = float(y.mean()), np.array(lengths) / len(y)
    gram = (columns.T @ columns).toarray() - len(y) * np.outer(share, share)
    gram[np.diag_indices_from(gram)] += support
    values = np.asarray(np.linalg.solve(gram, columns.T @ y - len(y) * share * mean), dtype=np.float64)
    base = float(mean - share @ values)
    return Fit(base, values, y - base - columns @ values)


def rounded(values: Float[np.ndarray, " k"]) -> list[float]:
    """Values on the grid of eight bits that the largest one spans, to six digits."""
    scale = float(np.abs(values).max(initial=0.0)) / _LEVELS or 1.0
    return [float(f"{value:.6g}") for value in np.round(values / scale) * scale]
