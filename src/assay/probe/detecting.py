"""How well a probe detects: its score on held-out groups beside its nulls, and what simpler methods get there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from assay.errors import UsageError
from assay.findings.found import few_groups
from assay.fit.probes import METHODS, UNSUPERVISED, make_probe
from assay.fit.probes.logistic import Logistic
from assay.probe.baselines import bag_of_words, lengths
from assay.probe.bench import Bench
from assay.probe.grounds import Ground, Grounds
from assay.referee import CheckInput, exceeded_by_few
from assay.stats.auroc import auroc_estimate, auroc_estimates
from assay.stats.bootstrap import Estimate
from assay.stats.nulls import oriented, random_directions, shuffled_labels

NULLS = ("constant", "shuffled", "random")
BASELINES = ("bag_of_words", "length", "layer_0", "answer")
_FLOOR = 0  # the layer that the baseline of this name is read at
CONTROLS = 2  # random probes, handed in as if they were claims, for each method, layer and test


@dataclass(frozen=True)
class Cell:
    """One probe on one test: its score and everything that it stands beside.

    ``references``: None where there is none, as of a data set that asks the model nothing. ``controls``: scores of
    random probes that pose as this one.
    """

    method: str
    layer: int
    train: str
    test: str
    score: Estimate
    nulls: Mapping[str, Estimate]
    references: Mapping[str, Estimate | None]
    n: int
    groups: int
    accuracy: float
    controls: Sequence[Estimate] = ()
    more: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def check(self) -> CheckInput:
        """What the verdict is made of."""
        return self.against(self.score)

    @property
    def as_controls(self) -> list[CheckInput]:
        """The random probes as negative controls of the same check."""
        return [self.against(one) for one in self.controls]

    def against(self, score: Estimate) -> CheckInput:
        """A score beside the nulls of this cell."""
        values = {name: null.value for name, null in self.nulls.items()}
        replicates = {name: null.replicates for name, null in self.nulls.items()}
        return CheckInput(score.value, values, score.replicates, replicates, few_groups(self.groups))

    @property
    def beyond_words(self) -> bool | None:
        """Whether it is surely better than a bag of words and the length, whichever is better there."""
        known = [one for name in ("bag_of_words", "length") if (one := self.references.get(name)) is not None]
        if not known:
            return None
        gap = self.score.replicates - np.max(np.stack([one.replicates for one in known]), axis=0)
        best = max(one.value for one in known)
        return bool(Estimate(self.score.value - best, gap).interval().lo > 0)


def fitted(probe: Any, x: NDArray[np.float64], ground: Ground, labels: NDArray[np.int64] | None = None) -> Any:
    """A probe fitted on rows of a ground, by their own labels or by others; what it chooses, it chooses by group."""
    known = {"groups": ground.groups} if isinstance(probe, Logistic) else {}
    return probe.fit(x, ground.labels if labels is None else labels, pairs=ground.pairs, **known)


class Detector:
    """Fits probes of one layer and scores them on every test; nulls and references are made once for all methods."""

    def __init__(self, bench: Bench, grounds: Grounds, layer: int) -> None:
        self.bench, self.grounds, self.layer = bench, grounds, layer
        self.last: Any = None
        self.x = self._acts(grounds.fit, layer)
        self.tests = {name: self._acts(ground, layer) for name, ground in grounds.tests.items()}
        count, fit = bench.size.nulls, grounds.fit
        self.random = oriented(random_directions(self.x.shape[1], count, bench.seed), self.x, fit.labels)
        rng = np.random.default_rng([bench.seed, 1])
        self.shuffles = [shuffled_labels(fit.labels, fit.groups, rng) for _ in range(count)]

    def _acts(self, ground: Ground, layer: int) -> NDArray[np.float64]:
        return self.bench.acts(ground.data.name, layer)[ground.rows].astype(np.float64)

    def fit(self, method: str, labels: NDArray[np.int64] | None = None, **settings: Any) -> Any:
        """A probe fitted on the fit rows, or on other labels of them."""
        fit = self.grounds.fit
        if method in ("ccs", "ccs_recursive") and fit.pairs is None:
            raise UsageError(f"{fit.data.name} has no contrast pairs, which {method} needs; give rows a 'pair'")
        probe = make_probe(method, self.bench.seed)
        probe.set_params(**settings)
        return fitted(probe, self.x, fit, labels)

    def cells(self, method: str, words: Mapping[str, Mapping[str, NDArray[np.float64]]]) -> list[Cell]:
        """The method on every test.

        Args:
            words: what is known of each test without activations, from :func:`without_activations`.
        """
        probe = self.last = self.fit(method)
        null_weights = self._shuffled(method, probe)
        floor, posing = self._floor(method), self._posing(method)
        found: list[Cell] = []
        for name, x in self.tests.items():
            ground = self.grounds.tests[name]
            columns = {"score": probe.decision_function(x), **words[name]}
            if floor is not None:
                columns["layer_0"] = floor[name]
            columns |= {f"random {i}": row for i, row in enumerate(self.random @ x.T)}
            columns |= {f"posing {i}": row for i, row in enumerate(posing @ x.T)}
            found.append(self._cell(method, name, ground, columns, null_weights @ x.T, probe.predict(x)))
        return found

    def _floor_of(self, ground: Ground, shuffled: Float[np.ndarray, "k n"]) -> list[Estimate]:
        """AUROCs of probes of shuffled labels, held against labels of the test that are shuffled in the same way."""
        rng, size = np.random.default_rng([self.bench.seed, 2]), self.bench.size
        given = [shuffled_labels(ground.labels, ground.groups, rng) for _ in shuffled]
        return [
            auroc_estimate(scores, labels, ground.groups, size.replicates, self.bench.seed)
            for scores, labels in zip(shuffled, given, strict=True)
        ]

    def _shuffled(self, method: str, probe: Any) -> Float[NDArray[np.float64], "k d"]:
        """Weights of the method fitted on each shuffle; of one that needs no labels, its sign by each shuffle."""
        if method in UNSUPERVISED:
            gap = [self.x[labels == 1].mean(0) - self.x[labels == 0].mean(0) for labels in self.shuffles]
            return np.stack([probe.coef_[0] * np.where(probe.coef_[0] @ one < 0, -1.0, 1.0) for one in gap])
        known = {"C": probe.C_} if method == "logistic" else {}
        return np.stack([self.fit(method, labels, **known).coef_[0] for labels in self.shuffles])

    def _posing(self, method: str) -> Float[NDArray[np.float64], "k d"]:
        """Random directions of each method's and layer's own, so that controls pass or fail apart from each other."""
        seed = (self.bench.seed, self.layer, list(METHODS).index(method))
        return oriented(random_directions(self.x.shape[1], CONTROLS, seed), self.x, self.grounds.fit.labels)

    def _floor(self, method: str) -> dict[str, NDArray[np.float64]] | None:
        """The same method at layer 0; None where all that stands there is one and the same."""
        if self.layer == _FLOOR:
            return None
        x = self._acts(self.grounds.fit, _FLOOR)
        if not np.ptp(x, axis=0).any():
            return None
        probe = fitted(make_probe(method, self.bench.seed), x, self.grounds.fit)
        return {
            name: probe.decision_function(self._acts(ground, _FLOOR)) for name, ground in self.grounds.tests.items()
        }

    def _cell(
        self,
        method: str,
        name: str,
        ground: Ground,
        columns: Mapping[str, NDArray[np.float64]],
        shuffled: Float[np.ndarray, "k n"],
        said: Int[np.ndarray, " n"],
    ) -> Cell:
        labels, size = ground.labels, self.bench.size
        values, replicates = auroc_estimates(
            np.stack(list(columns.values()), 1), labels, ground.groups, size.replicates, self.bench.seed
        )
        known = {column: Estimate(float(values[i]), replicates[i]) for i, column in enumerate(columns)}
        half = Estimate(0.5, np.full(size.replicates, 0.5))
        nulls = {
            "constant": half,
            "shuffled": _few(self._floor_of(ground, shuffled)),
            "random": _few([known[f"random {i}"] for i in range(size.nulls)]),
        }
        references = {one: known.get(one) for one in BASELINES}
        return Cell(
            method,
            self.layer,
            self.grounds.fit.data.name,
            name,
            known["score"],
            nulls,
            references,
            len(labels),
            len(set(ground.groups)),
            float((said == labels).mean()),
            [known[f"posing {i}"] for i in range(CONTROLS)],
        )


def _few(nulls: Sequence[Estimate]) -> Estimate:
    """Of exchangeable nulls the one that another exceeds with a chance of at most 5 %."""
    value = exceeded_by_few(np.array([[one.value for one in nulls]]))
    return Estimate(float(value[0]), exceeded_by_few(np.stack([one.replicates for one in nulls], 1)))


def without_activations(bench: Bench, grounds: Grounds) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Of each test: what words, length and the model's own answer say of its rows."""
    fit, tests = grounds.fit, list(grounds.tests.items())
    texts = [ground.texts for _, ground in tests]
    words = bag_of_words(fit.texts, fit.labels, texts)
    sizes = lengths(fit.texts, fit.labels, texts)
    found: dict[str, dict[str, NDArray[np.float64]]] = {}
    for (name, ground), said, size in zip(tests, words, sizes, strict=True):
        found[name] = {"bag_of_words": said, "length": size}
        answers = bench.answers(name)
        if answers is not None:
            found[name]["answer"] = answers[ground.rows]
    return found
