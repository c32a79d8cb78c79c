"""A classifier of what was written: trained on other texts, on what the untreated model holds of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from assay.core.ids import SiteId
from assay.fit.probes import make_probe
from assay.stats.proportion import wilson
from assay.steer.kit import Kit
from assay.steer.script import Read

if TYPE_CHECKING:
    from assay.model import Subject

FEWEST = 10  # pairs to learn from
TRUSTED = 0.75  # accuracy from which on it is listened to
_FOLDS = 5


class Classifier:
    """A logistic probe of the mean residual of a text in the middle of the untreated model, in the dtype it writes in.

    ``accuracy``: on texts that it was not trained on, in five folds; pairs stay together. ``trusted``: whether it is
    right about enough of them to be listened to.
    """

    def __init__(self, kit: Kit, subject: Subject) -> None:
        pairs = kit.behaviour.classified
        self.subject, self.kit, self.site = subject, kit, SiteId(subject.n_layers // 2, "resid_post")
        x = self._read(kit.script.read([pair[side] for side in (0, 1) for pair in pairs]))
        n = len(pairs)
        labels, fold = np.repeat([1, 0], n), np.tile(np.arange(n) % _FOLDS, 2)
        right: list[float] = []
        for k in range(_FOLDS):
            probe = make_probe("logistic").fit(x[fold != k], labels[fold != k])
            right += (probe.predict(x[fold == k]) == labels[fold == k]).astype(float).tolist()
        self.accuracy, self.trusted, self.pairs = float(np.mean(right)), float(np.mean(right)) >= TRUSTED, n
        self._probe = make_probe("logistic").fit(x, labels)

    def describe(self) -> dict[str, float | bool]:
        """Its accuracy with an interval as if a pair were one case, and what chance has."""
        _, lo, hi = wilson(round(self.accuracy * self.pairs), self.pairs)
        return {"accuracy": self.accuracy, "lo": lo, "hi": hi, "chance": 0.5, "trusted": self.trusted}

    def __call__(
        self, prompts: Sequence[Sequence[int]], said: Sequence[Sequence[int]]
    ) -> Float[NDArray[np.float64], " n"]:
        """(n,) log odds of the behaviour in what comes after each prompt; -inf of nothing."""
        found = np.full(len(said), -np.inf)
        some = [i for i, ids in enumerate(said) if len(ids)]
        if some:
            read = [Read((*prompts[i], *said[i]), len(prompts[i])) for i in some]
            found[some] = self._probe.decision_function(self._read(read))
        return found

    def _read(self, texts: Sequence[Read]) -> NDArray[np.float32]:
        return self.kit.means(texts, [self.site], "mean", self.subject)[self.site]


def classifier_of(kit: Kit, subject: Subject) -> Classifier | None:
    """A classifier, where the behaviour has texts to train one on."""
    return Classifier(kit, subject) if len(kit.behaviour.classified) >= FEWEST else None
