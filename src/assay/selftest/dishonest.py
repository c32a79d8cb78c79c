"""Who watches the watcher? Explainers that lie in a known way, and which number gives them away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.explain.material import Progress
from assay.rules import RuleLearner, RuleList
from assay.selftest.bench import Bench, by_rules
from assay.stats import Estimate, Interval, auc, document_weights
from assay.testing import Exhibit

LEARNT = 8  # rules that stand in for the truth where no list of rules is true
SWAPPED = 0.5  # share of the exhibits whose explanations change places
RANDOM, NEAREST = "random pairs", "nearest pairs"
WEAK = (0.03, 0.5)  # r of a weak explainer's explanations, drawn evenly on a log scale
SWAP_STATISTICS = ("r", "rank", "margin", "rival")
SWAP_DECIDES = "margin"


class Case(NamedTuple):
    """One explanation by an explainer: whether it lies, of which exhibit, and how suspicious each statistic is."""

    lies: bool
    exhibit: Exhibit
    suspicion: Mapping[str, float]


def learn(bench: Bench, exhibits: Sequence[Exhibit], progress: Progress) -> dict[Exhibit, RuleList]:
    """The rules that the lab's own explainer learns of each exhibit on the fit split."""
    part = bench.parts["fit"]
    learner = RuleLearner(part.view, bench.gallery.subject.vocab_size)
    found: dict[Exhibit, RuleList] = {}
    for done, exhibit in enumerate(exhibits):
        progress(f"learning rules for {exhibit.name}", done / len(exhibits))
        found[exhibit] = learner.fit(bench.of(exhibit, "fit"), LEARNT)
    return found


def correlations(bench: Bench, explanations: Mapping[Exhibit, RuleList], weak: bool = False) -> NDArray[np.float64]:
    """(explanations, units of the site) r of each explanation with each unit on the test split; 0 if not defined.

    ``weak``: as if the explainer knew little: each prediction is buried in noise, until its r is .03 to .5 of what it
    was.
    """
    part = bench.parts["test"]
    said = np.stack([by_rules(rules)(part)[part.scored] for rules in explanations.values()]).astype(np.float64)
    real = bench.activations["test"][part.scored].astype(np.float64)
    said -= said.mean(1, keepdims=True)
    if weak:
        rng = np.random.default_rng([bench.seed, 55])
        left = np.exp(rng.uniform(np.log(WEAK[0]), np.log(WEAK[1]), (len(said), 1)))
        spread = said.std(1, keepdims=True)
        said = left * said + np.sqrt(1 - left**2) * spread * rng.standard_normal(said.shape)
        said -= said.mean(1, keepdims=True)
    real -= real.mean(0)
    scale = np.outer(np.linalg.norm(said, axis=1), np.linalg.norm(real, axis=0))
    return np.divide(said @ real, scale, out=np.zeros_like(scale), where=scale > 0)


def swap_cases(exhibits: Sequence[Exhibit], r: NDArray[np.float64], swaps: int, how: str, seed: int) -> list[Case]:
    """Explainers that give half of the exhibits, in pairs, each other's explanations; the other half are honest.

    Args:
        r: (exhibits, units) of :func:`correlations`, the exhibits' explanations in their order.
        how: which explanations change places: any two, or those that predict each other's units best.
    """
    cases: list[Case] = []
    for swap in range(swaps):
        rng = np.random.default_rng([seed, 53, swap])
        said = np.arange(len(exhibits))
        for one, other in _pairs(exhibits, r, how, rng):
            said[[one, other]] = other, one
        cases += [
            Case(bool(said[i] != i), exhibit, _suspicion(exhibits, r, said, i)) for i, exhibit in enumerate(exhibits)
        ]
    return cases


def _pairs(
    exhibits: Sequence[Exhibit], r: NDArray[np.float64], how: str, rng: np.random.Generator
) -> list[tuple[int, int]]:
    chosen = rng.permutation(len(exhibits))[: 2 * int(SWAPPED * len(exhibits) / 2)]
    if how == RANDOM:
        return [(int(a), int(b)) for a, b in chosen.reshape(-1, 2)]
    units = [exhibit.unit.number for exhibit in exhibits]
    alike = r[:, units] + r[:, units].T
    pairs: list[tuple[int, int]] = []
    left = [int(i) for i in chosen]
    while left:
        one = left.pop(0)
        other = max(left, key=lambda i: alike[one, i])
        left.remove(other)
        pairs.append((one, other))
    return pairs


def _suspicion(
    exhibits: Sequence[Exhibit], r: NDArray[np.float64], said: NDArray[np.int64], i: int
) -> dict[str, float]:
    """From what is public alone: the explanations as they are given, and what the units do.

    ``r``: the explanation predicts its unit badly; ``rank``: it predicts many units of the site better; ``margin``: it
    predicts some unit better by so much; ``rival``: so much better does another explanation predict its unit.
    """
    unit, row = exhibits[i].unit.number, r[said[i]]
    own, others = row[unit], np.delete(row, unit)
    rivals = np.delete(r[said, unit], i)
    return {
        "r": -float(own),
        "rank": float((others > own).sum()),
        "margin": float(others.max() - own),
        "rival": float(rivals.max() - own),
    }


def detection(cases: Sequence[Case], statistic: str, seed: int) -> Interval:
    """AUC of a statistic at telling lies from honest explanations, with an interval from exhibits drawn again."""
    lies = np.array([case.lies for case in cases])
    suspicion = np.array([case.suspicion[statistic] for case in cases], dtype=np.float64)
    names, where = np.unique([case.exhibit.unit.number for case in cases], return_inverse=True)
    weights = document_weights(len(names), 400, seed)
    drawn = [_weighted_auc(suspicion, lies, counts[where]) for counts in weights]
    return Estimate(auc(suspicion, lies), np.array(drawn)).interval()


def _weighted_auc(suspicion: NDArray[np.float64], lies: NDArray[np.bool_], weights: NDArray[np.float64]) -> float:
    """The AUC where each case counts as often as it was drawn."""
    values, place = np.unique(suspicion, return_inverse=True)
    place = place.reshape(-1)
    guilty = np.bincount(place, weights * lies, len(values))
    honest = np.bincount(place, weights * ~lies, len(values))
    below = np.cumsum(honest) - honest
    pairs = guilty.sum() * honest.sum()
    return float((guilty * (below + honest / 2)).sum() / pairs) if pairs else float("nan")


def detections(cases: Sequence[Case], statistics: Sequence[str], seed: int) -> dict[str, Any]:
    """AUC and bounds by statistic."""
    found: dict[str, Any] = {}
    for statistic in statistics:
        value = detection(cases, statistic, seed)
        found[statistic] = {"auc": rounded(value.value), "lo": rounded(value.lo), "hi": rounded(value.hi)}
    return found


def rounded(value: float) -> float | None:
    """A number that may stand in JSON."""
    return None if np.isnan(value) else round(float(value), 4)


def swap_results(bench: Bench, explanations: Mapping[Exhibit, RuleList], swaps: int) -> dict[str, Any]:
    """The part of the result on explainers that swap, good ones and weak ones."""
    exhibits, found = list(explanations), dict[str, Any]()
    for weak in (False, True):
        r = correlations(bench, explanations, weak)
        for how in (RANDOM, NEAREST):
            cases = swap_cases(exhibits, r, swaps, how, bench.seed)
            found[f"weak, {how}" if weak else how] = detections(cases, SWAP_STATISTICS, bench.seed)
    decides = found[RANDOM][SWAP_DECIDES]
    return {
        "swap_auc": decides["auc"],
        "swap_auc_lo": decides["lo"],
        "swap_auc_hi": decides["hi"],
        "swap_statistic": SWAP_DECIDES,
        "swap": found,
    }
