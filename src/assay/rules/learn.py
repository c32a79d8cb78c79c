"""Learning rule lists: orthogonal matching pursuit over predicates that are grown as they are needed.

At each step the conjunction that gains most on the residual (:mod:`assay.rules.search`) joins the list, and all
values are refitted by least squares (orthogonal matching pursuit: Pati, Rezaiifar, Krishnaprasad 1993). Afterwards
each rule in turn is taken out and its list of strings chosen again given all the others (backfitting: Friedman,
Stuetzle 1981).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from assay.core.jit import kernel_threads
from assay.errors import UsageError
from assay.rules.chosen import Chosen, new_chosen
from assay.rules.classes import class_names
from assay.rules.flags import FLAG_NAMES
from assay.rules.index import N_BAGS, N_SLOTS, Index, build_index, names_of
from assay.rules.kernels import LISTS, NAMED, NEGATED, PLACE
from assay.rules.pursuit import pursue
from assay.rules.rule import CONDITIONS, Condition, Rule, RuleList
from assay.rules.search import Settings
from assay.rules.view import BAGS, SLOTS, View

_LEVELS = 127  # of a value, to either side: eight bits
_MOST_RULES = 64


@dataclass(frozen=True)
class LearnOptions:
    """How the search goes. The defaults were chosen on fit and choose documents, never on test documents."""

    support: float = 8.0  # pseudo-observations of zero for each listed string, and for each rule
    windows: int = 12  # of the view that a string of a bag must be seen in to be listed: else it names one document
    beam: int = 1  # candidates that are grown at each step
    conditions: int = 2
    sweeps: int = 1  # backfitting sweeps at the end
    shortlist: int = 256  # strings of a slot that are considered for a set, by what they explain alone
    improvement: float = 1.1  # by what factor a further condition must raise a candidate's gain
    price: float = 1.0  # squared error a bit must remove, in units of what it costs to encode: 1 is the MDL principle

    def __post_init__(self) -> None:
        if not 1 <= self.conditions <= CONDITIONS:
            raise UsageError(f"a rule may grow to 1 to {CONDITIONS} conditions, got {self.conditions}")
        for name in ("beam", "shortlist"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.support <= 0:
            raise UsageError(f"support must be above 0, got {self.support}")


class RuleLearner:
    """Learns rule lists for many units on one view: what does not depend on the unit is made once.

    Args:
        view: the fit split, restricted to the tokens that count.
        vocabulary: size of the vocabulary, for description lengths.
        options: how the search goes.
    """

    def __init__(self, view: View, vocabulary: int, options: LearnOptions | None = None) -> None:
        self.view, self.vocabulary, self.options = view, vocabulary, options or LearnOptions()
        self._spare: list[Chosen] = []

    @cached_property
    def index(self) -> Index:
        """The view as the kernels read it."""
        return build_index(self.view, self.options.windows)

    def fit(self, target: Float[np.ndarray, " tokens"], rules: int) -> RuleList:
        """The list of at most ``rules`` rules for one unit; fewer when nothing more pays for its description.

        Args:
            target: (tokens,) activations on the fit split.

        Raises:
            UsageError: more than 64 rules.
        """
        [found] = self.fit_many(target[None], rules)
        return found

    def fit_many(
        self, targets: Float[np.ndarray, "units tokens"], rules: int, progress: Callable[[int], None] | None = None
    ) -> list[RuleList]:
        """The same for many units, on all processors; ``progress`` is told how many are done.

        Raises:
            UsageError: more than 64 rules.
        """
        if rules > _MOST_RULES:
            raise UsageError(f"a list has at most {_MOST_RULES} rules, got {rules}")
        threads = min(kernel_threads(), max(len(targets), 1))
        named = (targets @ self._columns).astype(np.float64)
        left = deque(range(len(targets)))
        done: dict[int, RuleList] = {}

        def work(bench: Chosen) -> None:
            while True:
                try:
                    i = left.popleft()
                except IndexError:
                    return
                done[i] = self._fit(targets[i], named[i], rules, bench)
                if progress is not None:
                    progress(len(done))

        with ThreadPoolExecutor(threads) as pool:
            for future in [pool.submit(work, bench) for bench in self._benches(threads, rules)]:
                future.result()
        return [done[i] for i in range(len(targets))]

    def _benches(self, threads: int, rules: int) -> list[Chosen]:
        """Working space, kept for the next time."""
        if self._spare and len(self._spare[0].gram) != rules:
            self._spare = []
        self._spare += [new_chosen(self.index, rules, self.settings) for _ in range(threads - len(self._spare))]
        return self._spare[:threads]

    @cached_property
    def _columns(self) -> NDArray[np.float32]:
        """(tokens, flags and classes) zeros and ones, for sums by matrix product."""
        return np.concatenate([self.view.flags, self.view.class_flags], axis=1)

    @cached_property
    def settings(self) -> Settings:
        """The options as the kernels read them."""
        options = self.options
        one = Condition("token", ("a",)).bits(self.vocabulary)
        string = math.log2(self.vocabulary)
        return Settings(
            support=options.support,
            beam=options.beam,
            conditions=options.conditions,
            shortlist=options.shortlist,
            improvement=options.improvement,
            price=options.price,
            rule_bits=Rule((Condition("token", ("a",)),), 0.0).bits(self.vocabulary) - one,
            list_bits=one - string,
            string_bits=string,
            class_bits=Condition("token", named=class_names()[0]).bits(self.vocabulary),
            flag_bits=Condition("flag", named=FLAG_NAMES[0]).bits(self.vocabulary),
        )

    def _fit(self, target: NDArray[np.floating], named: NDArray[np.float64], rules: int, bench: Chosen) -> RuleList:
        if np.ptp(target) == 0:
            return RuleList((), float(target.mean(dtype=np.float64)), self.vocabulary)
        own = np.ascontiguousarray(target, np.float64)  # the kernels are compiled for this form only
        count, base = pursue(self.index, own, named, rules, self.options.sweeps, self.settings, bench)
        values = rounded(bench.values[:count])
        worth = [-int(bench.n_rows[i]) * value * value for i, value in enumerate(values)]
        order = sorted(range(count), key=worth.__getitem__)
        found = [Rule(self._when(bench, i), values[i]) for i in order if values[i] != 0]
        return RuleList(tuple(found), base, self.vocabulary)

    def _when(self, bench: Chosen, rule: int) -> tuple[Condition, ...]:
        pool = bench.pool
        return tuple(
            self._condition([int(x) for x in pool.when[rule, i]], pool.strings[rule, i].tolist())
            for i in range(int(pool.length[rule]))
        )

    def _condition(self, when: list[int], strings: list[int]) -> Condition:
        place, negated = when[PLACE], bool(when[NEGATED])
        if place == N_SLOTS + N_BAGS:
            return Condition("flag", named=FLAG_NAMES[when[NAMED]], negated=negated)
        slot = (*SLOTS, *BAGS)[place]
        if when[NAMED] >= 0:
            return Condition(slot, named=class_names()[when[NAMED]], negated=negated)
        names, first = names_of(self.view, place), int(self.index.starts[place])
        return Condition(slot, tuple(names[string - first] for string in strings[: when[LISTS]]), negated=negated)


def rounded(values: Float[np.ndarray, " k"]) -> list[float]:
    """Values on the grid of eight bits that the largest one spans, to six digits."""
    scale = float(np.abs(values).max(initial=0.0)) / _LEVELS or 1.0
    return [float(f"{value:.6g}") for value in np.round(values / scale) * scale]
