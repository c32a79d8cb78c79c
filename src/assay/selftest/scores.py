"""The scores under test: those that this project computes, and the literature's, labelled as such."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.explain.behaviour import Behaviour, Size
from assay.explain.material import Progress
from assay.selftest.bench import Bench, Settled
from assay.stats import (
    Estimate,
    auc,
    auprc,
    confusion,
    correlate,
    correlate_in_context,
    cosine,
    detection_accuracy,
    document_index,
    document_weights,
    f1,
    mean_activation_difference,
    ratio_score,
    spearman,
    token_means,
    top_and_random_r,
)
from assay.testing import Exhibit
from assay.testing.gallery import SITE

EXCERPT = 32  # tokens of the excerpts that detection is about
EACH = 25  # top tokens, and random ones, where top-and-random r goes by tokens


class Kind(NamedTuple):
    """A score: whether the project stands by it, whether the project computes it, and what it is about.

    ``about``: "context" where it says nothing of units that only the token decides, "effect" where nothing of units
    that write nothing. ``share``: its scale is the unit's own, so that a fall is given as a share of the truth's score.
    """

    primary: bool = False
    ours: bool = False
    about: str = ""


SCORES: Mapping[str, Kind] = {
    "r": Kind(primary=True, ours=True),
    "r_context": Kind(primary=True, ours=True, about="context"),
    "f1": Kind(primary=True, ours=True),
    "auprc": Kind(primary=True, ours=True),
    "behaviour": Kind(primary=True, ours=True, about="effect"),
    "r_pos": Kind(ours=True),
    "top_and_random": Kind(),
    "top_and_random_tokens": Kind(),
    "detection_accuracy": Kind(),
    "cosine": Kind(),
    "iou": Kind(),
    "recall": Kind(),
    "precision": Kind(),
    "accuracy": Kind(),
    "balanced_accuracy": Kind(),
    "auc": Kind(),
    "spearman": Kind(),
    "mean_activation_difference": Kind(),
}


def applies(kind: Kind, exhibit: Exhibit) -> bool:
    """Whether a score has anything to say of an exhibit."""
    if kind.about == "context":
        return exhibit.contextual
    return bool(exhibit.writes) if kind.about == "effect" else True


@dataclass(frozen=True)
class Examiner:
    """Scores settled predictions on the test split."""

    bench: Bench
    behaviour: Behaviour

    @classmethod
    def of(cls, bench: Bench, size: Size, progress: Progress) -> Examiner:
        """One examiner for all exhibits: residuals below the site are computed once."""
        part = bench.parts["test"]
        return cls(bench, Behaviour(bench.gallery.subject, part, {SITE.layer}, bench.seed, progress, size))

    def examine(self, exhibit: Exhibit, settled: Mapping[str, Settled]) -> dict[str, dict[str, Estimate]]:
        """By candidate and score, its value; with its replicates for the scores that are the project's own."""
        real = self.bench.of(exhibit, "test").astype(np.float64)
        effects = self._effects(exhibit, settled) if exhibit.writes else {}
        nothing = Estimate(np.nan, np.zeros(0))
        return {
            name: self._ours(exhibit, one, real)
            | {"behaviour": effects.get(name, nothing)}
            | {score: Estimate(value, np.zeros(0)) for score, value in self._theirs(exhibit, one, real).items()}
            for name, one in settled.items()
        }

    def _ours(self, exhibit: Exhibit, one: Settled, real: NDArray[np.float64]) -> dict[str, Estimate]:
        bench, test, fit = self.bench, self.bench.parts["test"], self.bench.parts["fit"]
        where = bench.of_token, bench.weights
        p, ids = one.predicted[bench.keep].astype(np.float64), test.table.flat_ids[bench.keep]
        means = token_means(bench.of(exhibit, "fit").astype(np.float64), fit.ids, len(fit.texts))
        fires = real > bench.firing_level(exhibit)
        found = {
            "r": correlate(p, real, *where),
            "r_context": correlate_in_context(p, real, ids, means, None, *where),
            "r_pos": correlate(np.maximum(p, 0), np.maximum(real, 0), *where),
            "auprc": auprc(p, fires, *where),
        }
        return found if one.threshold is None else found | {"f1": f1(p > one.threshold, fires, *where)}

    def _theirs(self, exhibit: Exhibit, one: Settled, real: NDArray[np.float64]) -> dict[str, float]:
        bench, table = self.bench, self.bench.parts["test"].table
        p, keep, fires = one.predicted[bench.keep], bench.keep, real > bench.firing_level(exhibit)
        windows = table.flat_windows[keep]
        exact = p.astype(np.float64)
        found = {
            "top_and_random": top_and_random_r(exact, real, windows, bench.seed),
            "top_and_random_tokens": top_and_random_r(exact, real, np.arange(len(real)), bench.seed, EACH),
            "cosine": cosine(exact - one.line.intercept, real),
            "auc": auc(exact, fires),
            "spearman": spearman(exact, real),
        }
        if one.threshold is None:
            return found
        says = p > one.threshold
        counts = confusion(says, fires)
        excerpts = 2 * windows + (table.flat_positions[keep] >= EXCERPT)
        return found | {
            "detection_accuracy": detection_accuracy(says, fires, excerpts, bench.seed),
            "mean_activation_difference": mean_activation_difference(says, real),
            **{
                name: float(getattr(counts, name))
                for name in ("recall", "precision", "accuracy", "balanced_accuracy", "iou")
            },
        }

    def _effects(self, exhibit: Exhibit, settled: Mapping[str, Settled]) -> dict[str, Estimate]:
        number = exhibit.unit.number
        real = self.bench.activations["test"][:, number]
        arms = {"mean": np.full_like(real, self.bench.mean[number])}
        result = self.behaviour.run(exhibit.unit, real, arms | {name: one.predicted for name, one in settled.items()})
        index = document_index(result.documents)
        weights = document_weights(index.n_documents, len(self.bench.weights), self.bench.seed)
        j = result.j
        return {name: ratio_score(j[name], j["mean"], index.of_token, result.weights, weights) for name in settled}
