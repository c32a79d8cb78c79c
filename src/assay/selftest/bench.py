"""The gallery on the bench: its text split by document, what its units did there, and predictions brought to scale."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.explain.claims import executed, upright
from assay.explain.material import FIRING_QUANTILE, LENGTH, Part, Progress, make_part
from assay.record import stream
from assay.rules import RuleList
from assay.stats import Calibration, best_threshold, document_index, document_weights
from assay.testing import Exhibit, Gallery
from assay.testing.gallery import SITE
from assay.text import Corpus, split, tokenise

SHARES = (0.3, 0.2, 0.5)  # the fit split gives levels and means and little else, so most is to test on
PARTS = ("fit", "choose", "test")

Floats = NDArray[np.float32]
Predict = Callable[[Part], Floats]
"""Says of every token of a part, in flat order, what a unit will do there. A judge would be another of these."""


class Settled(NamedTuple):
    """A prediction on the test split, (tokens,) in flat order, brought to its unit's scale on the choose split.

    Above ``threshold`` it says "fires"; None where the unit did not fire on the choose split.
    """

    predicted: Floats
    line: Calibration
    threshold: float | None


class Bench:
    """Everything that the trials share.

    Attributes:
        parts: the three splits of the gallery's text.
        activations: by part, (tokens, units of the site) in flat order, tokens that don't count included.
        level: (units,) above which a unit fires: the fit split's 99th percentile, as in the lab.
        keep: (tokens,) which tokens of the test split count.
        of_token, weights: number of each of those tokens' document, and the bootstrap over these documents.
    """

    def __init__(self, gallery: Gallery, seed: int, replicates: int, progress: Progress) -> None:
        self.gallery, self.seed = gallery, seed
        subject = gallery.subject
        self.splits = split(Corpus("gallery", tuple(gallery.corpus), ""), seed, SHARES)
        self.parts: dict[str, Part] = {}
        for name, documents in zip(PARTS, self.splits, strict=True):
            table = tokenise(documents, subject.tokenizer, LENGTH, seed=seed)
            self.parts[name] = make_part(name, documents, table, subject)
        self.activations = {name: self._record(name, progress) for name in PARTS}
        fit = self.activations["fit"][self.parts["fit"].scored]
        self.level = np.quantile(fit, FIRING_QUANTILE, axis=0).astype(np.float64)
        self.mean = fit.mean(0)
        test = self.parts["test"]
        self.keep = test.scored
        index = document_index(test.table.flat_documents[self.keep])
        self.of_token = index.of_token
        self.weights = document_weights(index.n_documents, replicates, seed)

    def _record(self, name: str, progress: Progress) -> Floats:
        part, subject = self.parts[name], self.gallery.subject
        out = np.zeros((part.table.n_tokens, subject.width(SITE)), dtype=np.float32)
        done = 0
        for block in stream(subject, part.table, [SITE], document_ids=[d.id for d in part.documents]):
            out[block.flat] = block.activations[SITE]
            done += len(block.flat)
            progress(f"running the planted model, {name} split", done / len(out))
        return out

    @property
    def n_tokens(self) -> int:
        """Of all three parts."""
        return sum(len(values) for values in self.activations.values())

    def of(self, exhibit: Exhibit, name: str) -> Floats:
        """What an exhibit did at the tokens of a part that count."""
        return self.activations[name][self.parts[name].scored, exhibit.unit.number]

    def firing_level(self, exhibit: Exhibit) -> float:
        """Above which an exhibit fires."""
        return float(self.level[exhibit.unit.number])

    def settle(self, exhibit: Exhibit, predict: Predict) -> Settled:
        """Calibrate a prediction and choose its threshold as the lab does."""
        choose = self.parts["choose"]
        said, real = predict(choose)[choose.scored], self.of(exhibit, "choose")
        line = upright(said, real)
        threshold = best_threshold(line(said), real > self.firing_level(exhibit))
        return Settled(line(predict(self.parts["test"])).astype(np.float32), line, threshold)


def by_rules(rules: RuleList) -> Predict:
    """What a list of rules says."""
    return lambda part: executed(rules, part.full_view)


def by_truth(exhibit: Exhibit) -> Predict:
    """What an exhibit computes, without its noise."""
    return lambda part: exhibit.truth.predict(part.full_view)
