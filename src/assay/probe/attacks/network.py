"""A small network for each set of labels, all of them trained side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray
from scipy.special import expit

from assay.probe.attacks.arena import FOLDS, Arena

HIDDEN = 16
STEPS = 120
LOOK = 4  # steps from one look at the fold that says when to stop to the next
RATE = 0.02
DECAY = 1e-3  # of the weights, as a penalty on half their square a row


class Networks(NamedTuple):
    """``inner`` (p, sets, hidden), ``bias`` (sets, hidden), ``outer`` (sets, hidden), ``offset`` (sets,): x to one
    number, over a layer of rectified sums."""

    inner: Float32[NDArray[np.float32], "p sets hidden"]
    bias: Float32[NDArray[np.float32], "sets hidden"]
    outer: Float32[NDArray[np.float32], "sets hidden"]
    offset: Float32[NDArray[np.float32], " sets"]

    @staticmethod
    def drawn(p: int, sets: int, rng: np.random.Generator) -> Networks:
        """Sums of variance 2 for rows of length 1, so that rectified ones have mean square 1."""

        def normal(*shape: int, sd: float) -> NDArray[np.float32]:
            return np.float32(sd) * rng.standard_normal(shape, np.float32)

        inner, bias = normal(p, sets, HIDDEN, sd=2**0.5), normal(sets, HIDDEN, sd=0.5)
        return Networks(inner, bias, normal(sets, HIDDEN, sd=HIDDEN**-0.5), np.zeros(sets, np.float32))

    def hidden(self, x: Float32[np.ndarray, "n p"]) -> Float32[NDArray[np.float32], "n sets hidden"]:
        """The layer within, of each row."""
        sums = (x @ self.inner.reshape(len(self.inner), -1)).reshape(len(x), *self.bias.shape)
        sums += self.bias
        return np.maximum(sums, 0, out=sums)

    def says(self, x: Float32[np.ndarray, "n p"]) -> Float32[NDArray[np.float32], "n sets"]:
        """Log odds of label 1, of each row."""
        return np.einsum("nsh,sh->ns", self.hidden(x), self.outer) + self.offset

    def slopes(self, x: Float32[np.ndarray, "n p"], labels: Float32[np.ndarray, "n sets"]) -> Networks:
        """Of the mean log loss and the penalty, by every weight."""
        hidden = self.hidden(x)
        wrong = (expit(np.einsum("nsh,sh->ns", hidden, self.outer) + self.offset) - labels) / np.float32(len(x))
        outer = np.einsum("ns,nsh->sh", wrong, hidden) + DECAY * self.outer
        back = np.where(hidden > 0, wrong[:, :, None] * self.outer, np.float32(0))
        inner = (x.T @ back.reshape(len(x), -1)).reshape(self.inner.shape) + np.float32(DECAY) * self.inner
        return Networks(inner, back.sum(0), outer, wrong.sum(0))


class Training(NamedTuple):
    """Adam (Kingma and Ba 2015) on all rows at once; ``first`` and ``second`` are its running means."""

    networks: Networks
    first: Networks
    second: Networks
    steps: int

    @staticmethod
    def begin(p: int, sets: int, rng: np.random.Generator) -> Training:
        """Networks drawn at random."""
        networks = Networks.drawn(p, sets, rng)
        still = Networks(*(np.zeros_like(part) for part in networks))
        return Training(networks, still, still, 0)

    def stepped(self, x: Float32[np.ndarray, "n p"], labels: Float32[np.ndarray, "n sets"]) -> Training:
        """After one step more."""
        steps = self.steps + 1
        slopes = self.networks.slopes(x, labels)
        first = _each(lambda m, g: 0.9 * m + 0.1 * g, self.first, slopes)
        second = _each(lambda v, g: 0.99 * v + 0.01 * g * g, self.second, slopes)
        rate = np.float32(RATE * np.sqrt(1 - 0.99**steps) / (1 - 0.9**steps))
        networks = _each(lambda w, m, v: w - rate * m / (np.sqrt(v) + 1e-7), self.networks, first, second)
        return Training(networks, first, second, steps)


def _each(rule: Callable[..., NDArray[Any]], *given: Networks) -> Networks:
    """The rule applied to each kind of weight."""
    return Networks(*(rule(*parts) for parts in zip(*given, strict=True)))


def network_scores(arena: Arena, seed: int) -> Float32[NDArray[np.float32], "sets n"]:
    """Log odds of each row by a network that never saw its group, for each set of labels.

    Trained on three folds; a fourth says after how many steps each network was best, so that the group of a row that it
    stops by is never one that it was trained on.
    """
    x = arena.x.astype(np.float32)
    labels = arena.labels.T.astype(np.float32)
    scores = np.empty(arena.labels.shape, np.float32)
    for fold in range(FOLDS):
        held, choose = arena.folds == fold, arena.folds == (fold + 1) % FOLDS
        fitted = ~(held | choose)
        looked, chosen = np.concatenate([x[choose], x[held]]), labels[choose]
        training = Training.begin(x.shape[1], labels.shape[1], np.random.default_rng([seed, 2, fold]))
        least = np.full(labels.shape[1], np.inf)
        for step in range(STEPS + 1):
            if step % LOOK == 0:
                own, others = np.split(training.networks.says(looked), [len(chosen)])
                loss = np.logaddexp(0, own * (1 - 2 * chosen)).mean(0)
                better = loss < least
                scores[np.ix_(better, held)] = others[:, better].T
                least = np.minimum(least, loss)
            training = training.stepped(x[fitted], labels[fitted])
    return scores
