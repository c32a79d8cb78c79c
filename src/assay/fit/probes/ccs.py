"""Contrast-consistent search: a direction along which statements and their negations disagree, without labels."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float, Shaped
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from assay.errors import FitError
from assay.fit.probes.base import Line, LinearProbe, Rows, generator, oriented
from assay.fit.probes.pairing import pair_rows

NORMALIZE = ("joint", "sides", None)
_MOST_STEPS = 500  # of L-BFGS, for each restart
_ROUNDING = 1e-9  # of the largest spread of a coordinate, or variance of a direction: what varies less is rounding


class CCS(LinearProbe):
    """``p = sigmoid(w x + b)`` with least ``(p+ + p- - 1)^2 + min(p+, p-)^2`` over contrast pairs (Burns et al. 2022).

    It is unsupervised: labels settle no more than which end is the positive one (the positive rows have the higher
    mean), and without them the sign is arbitrary. So its accuracy on data without labels is max(a, 1 - a), and what it
    must beat is random directions folded in the same way (:func:`folded_accuracy`). With fewer pairs than dimensions
    every labelling of the pairs has a direction of nearly no loss, and the loss can't choose between them;
    :mod:`assay.fit.probes.sign_vectors` shows it.

    Each restart begins at weights drawn from a normal distribution in the span of the rows, and is led downhill by
    L-BFGS. The one with the least loss wins.

    Args:
        normalize: "joint" takes the mean over both sides off each coordinate and divides by its standard deviation.
            "sides" takes off the mean of each side by itself, so that what all second sides share (such as "not")
            can't be found; it is for ``shuffle=False``. None leaves rows as they are.
        shuffle: draw which row of a pair is x+. If not, x+ is the one that stands first in X: put the statement first
            and its negation second, never the true one first.
        n_init: restarts.
        l2: penalty ``l2 / 2 * |w|^2`` on the normalised rows, which tells apart what the loss can't: of separating
            directions those along which pairs differ more. The paper has next to none (a weight decay that takes a
            tenth off over 1,000 steps); for that, 0. On 100 planted pairs in 576 dimensions, at eight seeds, the cosine
            to the truth is .01 to .72 with 0, mean .28, and .40 to .81 with .01, mean .59.
        random_state: seed of the shuffle and the restarts.

    After ``fit`` also ``losses_`` (n_init,), without the penalty, and ``loss_``, that of the winner.
    """

    method: ClassVar[str] = "ccs"
    uses_labels: ClassVar[bool] = False

    def __init__(
        self,
        normalize: str | None = "joint",
        shuffle: bool = True,
        n_init: int = 10,
        l2: float | int = 0.01,
        random_state: int | None = 0,
    ) -> None:
        self.normalize = normalize
        self.shuffle = shuffle
        self.n_init = n_init
        self.l2 = l2
        self.random_state = random_state

    def _learn(self, rows: Rows) -> Line:
        found = search(rows, self)
        self.losses_, self.loss_ = found.losses, float(found.losses.min())
        return oriented(found.line, rows)


class Search(NamedTuple):
    """The line with the least loss, in raw coordinates, and the losses of all restarts, (n_init,)."""

    line: Line
    losses: Float[NDArray[np.float64], " n_init"]


class Sides(NamedTuple):
    """Normalised pairs: ``plus`` and ``minus`` (m, d), and the centre and spread, (d,), of what they were."""

    plus: Float[NDArray[np.float64], "m d"]
    minus: Float[NDArray[np.float64], "m d"]
    centre: Float[NDArray[np.float64], " d"]
    spread: Float[NDArray[np.float64], " d"]


def search(rows: Rows, asked: CCS) -> Search:
    """All restarts of a CCS with these settings; the sign of the line is arbitrary.

    Raises:
        FitError: no pairs, pairs that are all alike, or a setting out of range.
    """
    if asked.normalize not in NORMALIZE or asked.n_init < 1 or not 0 <= asked.l2 < float("inf"):
        raise FitError(
            f"normalize must be joint, sides or None, n_init 1 or more, l2 0 or more. Got {asked.normalize!r},"
            f" {asked.n_init!r} and {asked.l2!r} instead."
        )
    rng = generator(asked.random_state, 3)
    sides = _sides(rows, asked.normalize, rng if asked.shuffle else None)
    both = np.concatenate([sides.plus, sides.minus])
    basis = _span(both)
    plus, minus = np.split(both @ basis, 2)
    starts = np.zeros((asked.n_init, plus.shape[1] + 1))
    starts[:, :-1] = rng.normal(size=(asked.n_init, plus.shape[1])) / np.sqrt(both.shape[1])
    ends = np.stack([_descend(plus, minus, start, asked.l2) for start in starts])
    losses = ccs_loss(plus @ ends[:, :-1].T + ends[:, -1], minus @ ends[:, :-1].T + ends[:, -1])
    best = ends[int(np.argmin(losses))]
    weights = _within(sides.spread[:, None] * basis, basis @ best[:-1] / sides.spread)
    return Search(Line(weights, float(best[-1] - sides.centre @ weights)), losses)


def ccs_loss(plus: Float[np.ndarray, "m k"], minus: Float[np.ndarray, "m k"]) -> Float[NDArray[np.float64], " k"]:
    """Mean CCS loss over m pairs of k probes, from their log-odds of both sides: 0 at best, 2 at worst.

    The first term asks that a statement and its negation have chances that sum to 1, the second that one of both is
    near 0 (Burns et al. 2022, equations 1 and 2).
    """
    p, q = expit(plus), expit(minus)
    return (np.square(p + q - 1) + np.square(np.minimum(p, q))).mean(0)


def loss_and_gradient(
    plus: Float[np.ndarray, "m d"], minus: Float[np.ndarray, "m d"], at: Float[np.ndarray, " d_and_1"], l2: float | int
) -> tuple[float, Float[NDArray[np.float64], " d_and_1"]]:
    """CCS loss with its penalty, and its gradient, at weights and, last, intercept.

    Where both chances are equal there are two gradients, and this is the one of x+ as the smaller.
    """
    weights, m = at[:-1], len(plus)
    p, q = expit(plus @ weights + at[-1]), expit(minus @ weights + at[-1])
    off, least = p + q - 1, np.minimum(p, q)
    loss = float((off * off + least * least).mean()) + l2 / 2 * float(weights @ weights)
    by_plus = 2 * (off + least * (p <= q)) * p * (1 - p) / m
    by_minus = 2 * (off + least * (p > q)) * q * (1 - q) / m
    slope = plus.T @ by_plus + minus.T @ by_minus + l2 * weights
    return loss, np.append(slope, by_plus.sum() + by_minus.sum())


def folded_accuracy(
    values: Float[np.ndarray, "n k"], labels: Shaped[np.ndarray, " n"], threshold: float = 0.0
) -> Float[NDArray[np.float64], " k"]:
    """max(a, 1 - a) of k probes, a the share of rows whose value is above the threshold where their label is 1.

    What is told of a probe without a sign. A coin's is above a half, so the null of it is folded random directions.
    """
    accuracy = ((values > threshold) == (labels == 1)[:, None]).mean(0)
    return np.maximum(accuracy, 1 - accuracy)


def _sides(rows: Rows, normalize: str | None, rng: np.random.Generator | None) -> Sides:
    if rows.pairs is None:
        raise FitError("CCS needs contrast pairs, such as a statement and its negation: give pairs, one id a row")
    pairs = pair_rows(rows.pairs)
    if not len(pairs):
        raise FitError("no two rows are a pair; CCS needs contrast pairs, such as a statement and its negation")
    if rng is not None:
        pairs = np.where(rng.random((len(pairs), 1)) < 0.5, pairs, pairs[:, ::-1])
    plus, minus = rows.x[pairs[:, 0]], rows.x[pairs[:, 1]]
    if (plus == minus).all():
        raise FitError("the two rows of every pair are equal: CCS has nothing to tell apart")
    d = plus.shape[1]
    if normalize is None:
        return Sides(plus, minus, np.zeros(d), np.ones(d))
    own = plus.mean(0), minus.mean(0)
    centre = (own[0] + own[1]) / 2
    plus, minus = (plus - own[0], minus - own[1]) if normalize == "sides" else (plus - centre, minus - centre)
    spread = np.sqrt((np.square(plus).mean(0) + np.square(minus).mean(0)) / 2)
    spread[spread <= _ROUNDING * spread.max()] = 1.0
    return Sides(plus / spread, minus / spread, centre, spread)


def _span(rows: Float[np.ndarray, "n d"]) -> Float[NDArray[np.float64], "d k"]:
    """Orthonormal columns that span the rows."""
    few = len(rows) < rows.shape[1]
    values, vectors = np.linalg.eigh(rows @ rows.T if few else rows.T @ rows)
    kept = values > _ROUNDING * values[-1]
    return rows.T @ (vectors[:, kept] / np.sqrt(values[kept])) if few else vectors[:, kept]


def _within(span: Float[np.ndarray, "d k"], weights: Float[np.ndarray, " d"]) -> Float[NDArray[np.float64], " d"]:
    """Weights without what is outside the span of the columns, of which rows inside it say nothing."""
    if span.shape[1] == span.shape[0]:
        return weights
    basis = np.linalg.qr(span)[0]
    return basis @ (basis.T @ weights)


def _descend(
    plus: Float[np.ndarray, "m d"],
    minus: Float[np.ndarray, "m d"],
    start: Float[np.ndarray, " d_and_1"],
    l2: float | int,
) -> Float[NDArray[np.float64], " d_and_1"]:
    def at(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        return loss_and_gradient(plus, minus, x, l2)

    return np.asarray(minimize(at, start, jac=True, method="L-BFGS-B", options={"maxiter": _MOST_STEPS}).x)
