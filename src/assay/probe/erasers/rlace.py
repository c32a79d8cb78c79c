"""RLACE: a projection learnt against a classifier that is learnt against it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Shaped
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit

from assay.probe.erasers.eraser import Eraser
from assay.probe.erasers.fantope import Fantope
from assay.probe.erasers.fitter import Fitter
from assay.probe.erasers.inlp import check_rank
from assay.probe.erasers.rows import MOST, KeptRows

BATCH = 128
CHECKS = 50  # projections that are looked at on the way
CHOOSE = 4  # one row of so many is not trained on; on these the projection is chosen
RIDGES = tuple(10.0**power for power in range(-3, 3))  # of the reader that it is chosen by; column variances


class RlaceFitter(Fitter):
    """Relaxed adversarial concept erasure (Ravfogel et al. 2022, arXiv:2201.12091).

    A logistic classifier w descends its loss on x - A x, and A ascends it, in turns on batches of 128. A ranges over
    the convex hull of the projections onto ``rank`` dimensions, and the nearest point of that is found without taking
    the whole matrix apart (:class:`~assay.probe.erasers.fantope.Fantope`). Now and then A is rounded to its first
    eigenvectors and a linear reader is fitted on what these leave; kept is the rounding under which that reader's loss
    on rows that nothing was trained on is greatest. Runs of several seeds differ, and how much is part of the result.

    Args:
        x_dim: width of x.
        z_dim: 1 for labels 0/1, else the number of one-hot classes, of which each gets a classifier.
        rank: dimensions that are taken out.
        steps: turns; ``lr``: the step size of both, for rows scaled so that their columns have a mean variance of 1.
        most: rows that are kept in memory, each as likely as another.
        seed: of the rows, the split, the batches and both beginnings.

    Raises:
        FitError: a rank below 1, or of the whole width and more.
    """

    def __init__(
        self,
        x_dim: int,
        z_dim: int = 1,
        *,
        rank: int = 1,
        steps: int = 4000,
        lr: float = 0.005,
        most: int = MOST,
        seed: int = 0,
    ) -> None:
        check_rank(rank, x_dim)
        self.rank, self.steps, self.lr, self.seed = rank, steps, lr, seed
        self._rows = KeptRows(x_dim, z_dim, most, seed)

    def update(self, x: Shaped[Any, "*lead width"], z: Shaped[Any, "*shape"]) -> RlaceFitter:
        """Take in x (..., x_dim) and labels z (...,) or (..., z_dim), numpy or torch. Raises FitError."""
        self._rows.add(x, z)
        return self

    @property
    def eraser(self) -> Eraser:
        """The projection learnt from all rows so far; it is learnt anew each time this is asked for.

        Raises:
            FitError: rows of one class, or all the same.
        """
        _ = self._rows.labels
        mean, z = self._rows.x.mean(0), self._rows.z
        x = self._rows.x - mean
        x /= np.sqrt(np.square(x).mean())
        rng = np.random.default_rng([self.seed, 1])
        choose = rng.permutation(len(x)) % CHOOSE == 0
        reader = _Reader.of(x[~choose], z[~choose], x[choose], z[choose])
        game = Game.begin(x.shape[1], z.shape[1], self.rank, rng)
        best, most = game.hull.top(self.rank), -np.inf
        every = max(1, self.steps // CHECKS)
        fitted_x, fitted_z = x[~choose], z[~choose]
        for step in range(1, self.steps + 1):
            rows = rng.integers(len(fitted_x), size=BATCH)
            game = game.turn(fitted_x[rows], fitted_z[rows], self.lr)
            if step % every == 0:
                turned = game.hull.top(self.rank)
                loss = reader.loss(turned)
                if loss > most:
                    best, most = turned, loss
        return Eraser(best, best.T, mean, "rlace")


class Game(NamedTuple):
    """Where both sides stand: ``hull`` is A, ``weights`` (d, m) and ``offset`` (m,) the classifiers."""

    hull: Fantope
    weights: Float[NDArray[np.float64], "d m"]
    offset: Float[NDArray[np.float64], " m"]

    @staticmethod
    def begin(d: int, m: int, rank: int, rng: np.random.Generator) -> Game:
        """A random projection onto ``rank`` dimensions and small random classifiers."""
        basis, _ = np.linalg.qr(rng.standard_normal((d, rank)))
        return Game(Fantope(basis, np.ones(rank), 0.0), rng.standard_normal((d, m)) / d, np.zeros(m))

    def turn(self, x: Float[np.ndarray, "b d"], z: Float[np.ndarray, "b m"], rate: float) -> Game:
        """One step of the classifiers down their loss, then one of A up it."""
        slope = self._slope(self.weights, self.offset, x, z)
        weights = self.weights - rate * self.hull.beside(x.T @ slope)
        offset = self.offset - rate * slope.sum(0)
        slope = self._slope(weights, offset, x, z)
        return Game(self.hull.step(weights, x.T @ slope, -rate), weights, offset)

    def _slope(
        self, weights: NDArray[np.float64], offset: NDArray[np.float64], x: NDArray[np.float64], z: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The loss's derivative by what the classifiers say of each row."""
        return (expit(x @ self.hull.beside(weights) + offset) - z) / len(x)


class _Reader(NamedTuple):
    """Least squares with a ridge, refitted under any projection at the cost of a few products."""

    factor: Any
    cross: NDArray[np.float64]
    x: NDArray[np.float64]
    z: NDArray[np.float64]

    @staticmethod
    def of(
        x: NDArray[np.float64], z: NDArray[np.float64], x_choose: NDArray[np.float64], z_choose: NDArray[np.float64]
    ) -> _Reader:
        """Of all ridges the one that reads best where nothing is projected off."""
        centre, offset = x.mean(0), z.mean(0)
        centred = x - centre
        square, cross = centred.T @ centred / len(x), centred.T @ (z - offset) / len(x)
        unit = square.trace() / len(square) * np.eye(len(square))
        readers = [
            _Reader(cho_factor(square + ridge * unit), cross, x_choose - centre, z_choose - offset) for ridge in RIDGES
        ]
        return min(readers, key=lambda reader: reader.loss(np.empty((x.shape[1], 0))))

    def loss(self, basis: Float[np.ndarray, "d k"]) -> float:
        """Mean squared error, on the rows to choose by, of the best weights that are orthogonal to the basis."""
        free, along = np.split(cho_solve(self.factor, np.concatenate([self.cross, basis], 1)), [self.cross.shape[1]], 1)
        weights = free - along @ np.linalg.solve(basis.T @ along, basis.T @ free)
        return float(np.square(self.x @ weights - self.z).mean())
