"""Explainers that hide a meaning: as high an r as can be had, and one meaning of a polysemantic unit left out.

Beside each lie stand honest explanations of the same unit with the same r on the choose split: they miss firings at
random, or predict too many, or leave out a part of every meaning. r alone can't tell them apart, by construction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.explain.behaviour import Behaviour
from assay.explain.claims import plain_r
from assay.explain.material import Part, Progress
from assay.rules import RuleLearner, RuleList, View
from assay.selftest.bench import Bench, Floats, Predict, Settled, by_rules
from assay.selftest.dishonest import Case, detections
from assay.stats import confusion, f1_score
from assay.testing import Exhibit

HIDES = "hides a meaning"
RANDOM_MISSES, RANDOM_EXTRA, NARROW = "misses at random", "extra at random", "narrow throughout"
HONEST = (RANDOM_MISSES, RANDOM_EXTRA, NARROW)
STATISTICS = ("r", "f1", "recall", "behaviour", "unevenness", "residual rule")
DECIDES = "residual rule"
STEPS = 7  # of the bisection that finds how much must be wrong for the same r
FEWEST = 8  # firings of a token that make it a group of contexts
_BY_CONTEXT = 0.1  # how much the token before counts where words are left out
HALF = 0.5  # of a firing: units fire with 1


class Told(NamedTuple):
    """What an explainer says of an exhibit: how it errs, and its prediction."""

    how: str
    exhibit: Exhibit
    predict: Predict


def stories(bench: Bench, exhibit: Exhibit, draws: int) -> list[Told]:
    """For every meaning an explanation that hides it, each with honest ones that are as good by r."""
    found: list[Told] = []
    for hidden in range(len(exhibit.meanings)):
        lie = _hiding(exhibit, hidden)
        found.append(Told(HIDES, exhibit, lie))
        choose = bench.parts["choose"]
        goal = _r_on(bench, exhibit, lie, choose)
        for draw in range(draws):
            for tag, how in enumerate(HONEST):
                make = _ERRORS[how]
                seed = (bench.seed, 54, exhibit.unit.number, hidden, draw, tag)
                found.append(Told(how, exhibit, _matched(bench, exhibit, make, goal, seed)))
    return found


def _hiding(exhibit: Exhibit, hidden: int) -> Predict:
    rules = [rule for i, meaning in enumerate(exhibit.meanings) if i != hidden for rule in meaning.rules]
    return by_rules(RuleList(tuple(rules), 0.0, exhibit.meanings[hidden].vocabulary))


def _r_on(bench: Bench, exhibit: Exhibit, predict: Predict, part: Part) -> float:
    return plain_r(predict(part)[part.scored], bench.of(exhibit, part.name))


Seed = tuple[int, ...]
Error = Callable[[Exhibit, float, Seed], Predict]
"""An honest explanation of which so much is wrong: the share of its firings, or of its kinds of firing."""


def _matched(bench: Bench, exhibit: Exhibit, make: Error, goal: float, seed: Seed) -> Predict:
    """The honest explanation that errs so much that its r on the choose split is the goal, by bisection."""
    low, high, choose = 0.0, 1.0, bench.parts["choose"]
    tried: dict[float, Predict] = {}
    for _ in range(STEPS):
        middle = (low + high) / 2
        story = make(exhibit, middle, seed)
        above = _r_on(bench, exhibit, story, choose) - goal
        tried[abs(above)] = story
        low, high = (middle, high) if above > 0 else (low, middle)
    return tried[min(tried)]


def _misses(exhibit: Exhibit, wrong: float, seed: Seed) -> Predict:
    def predict(part: Part) -> Floats:
        true = exhibit.truth.predict(part.full_view)
        return np.where(_uniform(seed, part) < wrong, np.float32(0), true)

    return predict


def _extra(exhibit: Exhibit, wrong: float, seed: Seed) -> Predict:
    """With ``wrong`` the share of the predicted firings that are not."""

    def predict(part: Part) -> Floats:
        true = exhibit.truth.predict(part.full_view)
        rate = float((true != 0).mean())
        odds = min(1.0, wrong / max(1 - wrong, 1e-9) * rate / (1 - rate))
        return np.where((true == 0) & (_uniform(seed, part) < odds), np.float32(1), true)

    return predict


def _narrow(exhibit: Exhibit, wrong: float, seed: Seed) -> Predict:
    """Whole words are left out, of the last one so many of its contexts that r comes out right."""

    def predict(part: Part) -> Floats:
        true, ids = exhibit.truth.predict(part.full_view), part.table.flat_ids
        word, before = np.random.default_rng([*seed]).random((2, len(part.texts)))
        chance = (1 - _BY_CONTEXT) * word[ids] + _BY_CONTEXT * np.roll(before[ids], 1)
        return np.where(chance < wrong, np.float32(0), true)

    return predict


_ERRORS: Mapping[str, Error] = {RANDOM_MISSES: _misses, RANDOM_EXTRA: _extra, NARROW: _narrow}


def _uniform(seed: Seed, part: Part) -> NDArray[np.float64]:
    return np.random.default_rng([*seed, *part.name.encode()]).random(part.table.n_tokens)


class Watcher:
    """Puts stories to the test: what of a unit does an explanation leave unsaid, and is there a pattern in it?"""

    def __init__(self, bench: Bench, behaviour: Behaviour) -> None:
        self.bench, self.behaviour = bench, behaviour
        self._learners: dict[Exhibit, RuleLearner] = {}

    def watch(self, told: Sequence[Told]) -> list[Case]:
        """Every story of one exhibit, with all statistics on the test split; higher is more suspicious."""
        exhibit = told[0].exhibit
        settled = [self.bench.settle(exhibit, one.predict) for one in told]
        scores = self._behaviour(exhibit, settled)
        return [
            Case(one.how == HIDES, exhibit, self._suspicion(one, kept) | {"behaviour": -score})
            for one, kept, score in zip(told, settled, scores, strict=True)
        ]

    def _behaviour(self, exhibit: Exhibit, settled: Sequence[Settled]) -> list[float]:
        real = self.bench.activations["test"][:, exhibit.unit.number]
        arms = {"mean": np.full_like(real, self.bench.mean[exhibit.unit.number])}
        arms |= {str(i): one.predicted for i, one in enumerate(settled)}
        found = self.behaviour.run(exhibit.unit, real, arms)
        total = {name: float(found.weights @ j) for name, j in found.j.items()}
        return [1 - total[str(i)] / total["mean"] for i in range(len(settled))]

    def _suspicion(self, told: Told, kept: Settled) -> dict[str, float]:
        bench, exhibit = self.bench, told.exhibit
        test = bench.parts["test"]
        real, said = bench.of(exhibit, "test"), told.predict(test)[test.scored]
        fires, says = np.abs(real) > HALF, np.abs(said) > HALF
        counts = confusion(says, fires)
        f1 = float(f1_score(np.array([counts.tp, counts.fp, counts.fn], dtype=np.float64)))
        return {
            "r": -plain_r(kept.predicted[test.scored], real),
            "f1": -f1,
            "recall": -counts.recall,
            "unevenness": unevenness(test.table.flat_ids[test.scored][fires], ~says[fires]),
            "residual rule": self.residual_rule(exhibit, told.predict),
        }

    def residual_rule(self, exhibit: Exhibit, predict: Predict) -> float:
        """Can a rule tell the firings that an explanation misses from those that it predicts?

        r on the firings of the test split of one rule, learnt on those of the fit split; 0 if none or all are missed.
        """
        missed: dict[str, Floats] = {}
        for name in ("fit", "test"):
            part = self.bench.parts[name]
            fires = np.abs(self.bench.of(exhibit, name)) > HALF
            missed[name] = (np.abs(predict(part)[part.scored][fires]) <= HALF).astype(np.float32)
        if any(np.ptp(values) == 0 for values in missed.values()):
            return 0.0
        if exhibit not in self._learners:
            self._learners[exhibit] = RuleLearner(self._firings(exhibit, "fit"), self.bench.gallery.subject.vocab_size)
        rule = self._learners[exhibit].fit(missed["fit"], 1)
        return plain_r(rule.predict(self._firings(exhibit, "test")), missed["test"])

    def _firings(self, exhibit: Exhibit, name: str) -> View:
        """A part as rules see it, only where the exhibit fires."""
        part = self.bench.parts[name]
        rows = part.scored.copy()
        rows[part.scored] = np.abs(self.bench.of(exhibit, name)) > HALF
        return View(part.table.ids, part.texts, rows)


def unevenness(groups: NDArray[np.integer[Any]], missed: NDArray[np.bool_]) -> float:
    """How far the group decides whether a firing is missed: share of the variance between groups, corrected (0 to 1).

    Groups of fewer than eight firings are left out; the correction for their number is Kelley's (1935), so that a
    miss at random gives 0 on average.
    """
    _, place, counts = np.unique(groups, return_inverse=True, return_counts=True)
    often = (counts >= FEWEST)[place.reshape(-1)]
    _, place, counts = np.unique(groups[often], return_inverse=True, return_counts=True)
    y = missed[often].astype(np.float64)
    if len(counts) < 2 or len(y) <= len(counts) or y.min() == y.max():
        return 0.0
    means = np.bincount(place.reshape(-1), y) / counts
    within = ((y - means[place.reshape(-1)]) ** 2).sum() / (len(y) - len(counts))
    return max(0.0, 1 - float(within) / float(y.var(ddof=1)))


def hide_results(bench: Bench, behaviour: Behaviour, draws: int, progress: Progress) -> dict[str, Any]:
    """The part of the result on explainers that hide a meaning."""
    watcher = Watcher(bench, behaviour)
    by_kind: dict[str, list[Case]] = {how: [] for how in (HIDES, *HONEST)}
    exhibits = bench.gallery.family("polysemantic")
    for done, exhibit in enumerate(exhibits):
        progress(f"hiding a meaning of {exhibit.name}", done / len(exhibits))
        told = stories(bench, exhibit, draws)
        for one, case in zip(told, watcher.watch(told), strict=True):
            by_kind[one.how].append(case)
    lies = by_kind[HIDES]
    honest = [case for how in HONEST for case in by_kind[how]]
    found = {"all honest": detections(lies + honest, STATISTICS, bench.seed)}
    found |= {how: detections(lies + by_kind[how], STATISTICS, bench.seed) for how in HONEST}
    decides = found["all honest"][DECIDES]
    return {
        "hide_auc": decides["auc"],
        "hide_auc_lo": decides["lo"],
        "hide_auc_hi": decides["hi"],
        "hide_statistic": DECIDES,
        "hide": found,
        "hide_cases": {how: len(cases) for how, cases in by_kind.items()},
    }
