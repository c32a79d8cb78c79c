"""What one direction does: what a model says when it is added or held still, and what is left when it is taken off.

Good words against bad ones, at prompts that lean neither way and at ones that are loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from assay.probe.attacks import run_attacks
from assay.probe.bench import Bench, some
from assay.probe.erasers.eraser import Eraser
from assay.probe.grounds import Ground
from assay.probe.saying import Edit, Prompts, scored_words
from assay.referee import exceeded_by_few
from assay.stats.bootstrap import Estimate, document_index, document_sums, document_weights
from assay.stats.nulls import random_directions

DOSE = 0.2  # length of what is added, as a share of the median length of the residual
GOOD = " good| great| beautiful| happy| perfect| fine| best| nice| lovely| amazing| positive| success".split("|")
BAD = " bad| worse| ugly| sad| wrong| poor| worst| nasty| disappointing| negative| failure| problem".split("|")
QUESTION = " All in all, I would call it"
VERBS = ("was", "seemed")
SUBJECTS = {
    "iid": (
        *("The film", "The movie", "The book", "The novel", "The hotel", "The meal", "The food", "The restaurant"),
        *("The story", "The room", "The ending", "The breakfast", "The acting", "The soup", "The second chapter"),
        *("The service", "The dessert", "The plot", "The view from the room", "The main course"),
    ),
    "ood": (
        *("The weather", "The sky", "My manager", "The meeting", "Our new neighbour", "The project", "The training"),
        *("My mother", "The forecast", "The driver", "The journey", "The audit", "My week", "The conference"),
        *("The wind", "Your cousin", "The morning", "The phone call", "Our talk", "The lodger"),
    ),
}
_LOADED = 120  # items that the gap is measured on, at an effort whose share of steps is 1
_RANDOM = 20


class Job(NamedTuple):
    """One direction at one job: its score beside its null, and what deserves a place beside it."""

    score: Estimate
    null: Estimate
    n: int
    groups: int
    more: dict[str, Any]


class Tools:
    """The model at one layer: what it says with something added, and with a direction held still."""

    def __init__(self, bench: Bench, layer: int, fit: Ground, tests: dict[str, Ground]) -> None:
        self.bench, self.layer, self.tests = bench, layer, tests
        self.words = [scored_words(bench.exact, words, fit.texts) for words in (GOOD, BAD)]
        x = bench.acts(fit.data.name, layer)[fit.rows].astype(np.float64)
        self.mean = x.mean(0)
        self.length = float(np.median(np.linalg.norm(x, axis=1)))
        self.random = random_directions(x.shape[1], _RANDOM, bench.seed + 7)
        self.neutral = {where: _Said(self, texts) for where, texts in _neutral().items()}
        most = max(24, round(_LOADED * min(1.0, bench.size.steps)))
        self.praise = {where: some(one.data.select(one.rows), most, bench.seed) for where, one in tests.items()}
        self.loaded = {
            where: _Said(self, [f"{text}{QUESTION}" for text in data.texts]) for where, data in self.praise.items()
        }

    def steer(self, unit: NDArray[np.float64], where: str) -> Job:
        """Rise of the log odds at neutral prompts, tens of nats, beside random directions of the same length."""
        said = self.neutral[where]
        rise = said.odds(self.adding(unit)) - said.base
        null = said.random(self.adding) - said.base
        index = document_index(np.repeat(np.arange(len(SUBJECTS[where])), len(VERBS)))
        weights = document_weights(index.n_documents, self.bench.size.replicates, self.bench.seed)
        drawn = weights @ document_sums(
            [*np.vstack([rise, null]) / 10, np.ones(len(rise))], index.of_token, index.n_documents
        )
        means = drawn[:, :-1] / drawn[:, -1:]
        value = float(exceeded_by_few(null.mean(1)[None] / 10)[0])
        more = {
            "nats": float(rise.mean()),
            "wrong_way": float((rise < 0).mean()),
            "dose": DOSE,
            "kl": said.prompts.kl(self.adding(unit)),
        }
        score = Estimate(float(rise.mean() / 10), means[:, 0])
        return Job(score, Estimate(value, exceeded_by_few(means[:, 1:])), len(rise), index.n_documents, more)

    def silence(self, unit: NDArray[np.float64], where: str) -> Job:
        """Share of the gap between praise and complaint that goes."""
        said, data = self.loaded[where], self.praise[where]
        every = np.stack([said.base, said.odds(self.holding(unit)), *said.random(self.holding)])
        index = document_index(data.groups.astype(str))
        weights = document_weights(index.n_documents, self.bench.size.replicates, self.bench.seed)
        gap = _gaps(every, data.labels, index, weights)
        shares = 1 - gap[1:] / gap[0]
        score = Estimate(float(shares[0, 0]), shares[0, 1:])
        null = Estimate(float(exceeded_by_few(shares[1:, 0][None])[0]), exceeded_by_few(shares[1:, 1:].T))
        return Job(score, null, len(data), index.n_documents, {"gap": float(gap[0, 0])})

    def left(self, unit: NDArray[np.float64], where: str) -> tuple[str, float, float, float, float]:
        """The attack that finds most when the direction is projected off: its name, AUC, bounds and null."""
        ground = self.tests[where]
        x = self.bench.acts(ground.data.name, self.layer)[ground.rows].astype(np.float64)
        attacked = run_attacks(self._eraser(unit)(x), ground.labels, ground.groups, seed=self.bench.seed)
        name = max(attacked, key=lambda one: attacked[one].auc - attacked[one].null)
        one = attacked[name]
        return name, one.auc, one.lo, one.hi, one.null

    def _eraser(self, unit: NDArray[np.float64]) -> Eraser:
        return Eraser(unit[:, None], unit[None], self.mean, "direction")

    def adding(self, unit: NDArray[np.float64]) -> Edit:
        """Adds the direction, at every token."""
        push = torch.from_numpy(DOSE * self.length * unit).float()
        return lambda tensor: tensor + push.to(tensor)

    def holding(self, unit: NDArray[np.float64]) -> Edit:
        """Holds what lies along the direction at its mean, at every token."""
        eraser = self._eraser(unit)
        return lambda tensor: eraser(tensor)


class _Said:
    """Prompts, their log odds, and those with random directions, which are made when they are first needed."""

    def __init__(self, tools: Tools, texts: Sequence[str]) -> None:
        self.tools = tools
        self.prompts = Prompts(tools.bench.exact, tools.layer, texts)
        self.base = self.odds()
        self._random: NDArray[np.float64] | None = None

    def odds(self, edit: Edit | None = None) -> NDArray[np.float64]:
        """Good over bad words, nats."""
        good, bad = self.tools.words
        return self.prompts.odds(good, bad, edit)

    def random(self, edit: Callable[[NDArray[np.float64]], Edit]) -> NDArray[np.float64]:
        """(k, n) log odds with each random direction."""
        if self._random is None:
            self._random = np.stack([self.odds(edit(one)) for one in self.tools.random])
        return self._random


def _neutral() -> dict[str, list[str]]:
    return {where: [f"{name} {verb}" for name in names for verb in VERBS] for where, names in SUBJECTS.items()}


def _gaps(
    odds: NDArray[np.float64], labels: NDArray[np.int64], index: Any, weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(k, 1 + b): mean log odds of praise less that of complaint, on all and on each resample of groups."""
    every = np.concatenate([np.ones((1, index.n_documents)), weights])
    sides: list[NDArray[np.float64]] = []
    for label in (1, 0):
        own = (labels == label).astype(np.float64)
        sums = document_sums([*(odds * own), own], index.of_token, index.n_documents)
        drawn = every @ sums
        with np.errstate(divide="ignore", invalid="ignore"):
            sides.append((drawn[:, :-1] / drawn[:, -1:]).T)
    return sides[0] - sides[1]
