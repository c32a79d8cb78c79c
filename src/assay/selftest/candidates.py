"""What is said of an exhibit in turn: the truth, every decoy, and the truth with labels missing or too many."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from assay.explain.material import Part
from assay.selftest.bench import Floats, Predict, by_rules, by_truth
from assay.testing import Exhibit
from assay.testing.gallery import Said

TRUTH, MISSING, EXTRA = "truth", "labels missing", "labels too many"
CORRUPTED = (MISSING, EXTRA)


def told(exhibit: Exhibit) -> dict[str, Said]:
    """By name, what is said of an exhibit in words and in rules: the truth, then its decoys.

    A judge that simulates would be given the sentences, and stand in for the rules of :func:`candidates`.
    """
    return {TRUTH: exhibit.told, **exhibit.decoys}


def candidates(exhibit: Exhibit, seed: int) -> dict[str, Predict]:
    """By name, ways to predict an exhibit. Dense units have no labels, and so none missing."""
    found = {TRUTH: by_truth(exhibit)}
    found |= {kind: by_rules(said.rules) for kind, said in exhibit.decoys.items() if said.rules is not None}
    if not exhibit.dense:
        found[MISSING] = corrupted(found[TRUTH], missing_labels, seed)
        found[EXTRA] = corrupted(found[TRUTH], extra_labels, seed)
    return found


Corruption = Callable[[Floats, np.random.Generator], Floats]


def corrupted(predict: Predict, how: Corruption, seed: int) -> Predict:
    """A prediction with its labels changed, drawn for each part on its own."""

    def changed(part: Part) -> Floats:
        out = predict(part).copy()
        rng = np.random.default_rng([seed, 51, *part.name.encode()])
        out[part.scored] = how(out[part.scored], rng)
        return out

    return changed


def missing_labels(predicted: Floats, rng: np.random.Generator) -> Floats:
    """Each predicted firing is dropped with a chance of one half (Oikarinen, Yan, Weng, ICML 2025)."""
    return np.where(rng.random(predicted.shape) < 0.5, predicted, np.float32(0))


def extra_labels(predicted: Floats, rng: np.random.Generator) -> Floats:
    """As many firings again are predicted at random tokens (Oikarinen, Yan, Weng, ICML 2025)."""
    out, fires = predicted.copy(), np.flatnonzero(predicted)
    others = np.flatnonzero(predicted == 0)
    chosen = rng.choice(others, min(len(fires), len(others)), replace=False)
    out[chosen] = predicted[rng.permutation(fires)[: len(chosen)]]
    return out
