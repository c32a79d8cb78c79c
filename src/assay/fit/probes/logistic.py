"""Logistic regression with an L2 penalty that is chosen on held-out groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64
from numpy.typing import ArrayLike, NDArray

from assay.errors import FitError
from assay.fit.probes.base import Line, LinearProbe, Rows, generator
from assay.fit.probes.newton import COARSE, log_losses, newton_logistic
from assay.fit.probes.pairing import pair_groups

CS = tuple(10.0**power for power in range(-4, 3))
FOLDS = 5
PATIENCE = 2


class Logistic(LinearProbe):
    """``|w|^2 / 2 + C * (sum of log losses)``, over rows that are centred and divided by one number.

    That number, ``scale_``, is the root of the mean square of the centred entries of X, so that a C means as much at a
    layer with large activations as at one with small ones; in scikit-learn's terms, C of the raw rows is
    ``C / scale_**2``. The intercept is not penalised. With more dimensions than rows the problem is solved in the span
    of the rows, where its solution is.

    Args:
        C: None chooses from :data:`CS` the one with the least log loss on held-out groups, of :data:`FOLDS` folds. The
            groups are those of ``fit(groups=)``, else pairs; else each row is one.
        random_state: seed of the folds.

    After ``fit`` also ``C_``, ``scale_`` and, where C was chosen, ``path_losses_``, (7,): nats a row, held out, NaN for
    large C that were not tried because the loss had risen :data:`PATIENCE` times.
    """

    method: ClassVar[str] = "logistic"

    def __init__(self, C: float | int | None = None, random_state: int | None = 0) -> None:  # noqa: N803
        self.C = C
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, pairs: Any = None, groups: Any = None) -> Logistic:  # noqa: N803
        """Learn from rows; see :meth:`LinearProbe.fit`.

        Args:
            groups: (n,) what folds may not split, such as the city that a row is about.

        Raises:
            FitError: also a C that is not above 0, or groups of which none can be held out.
        """
        if self.C is not None and not 0 < self.C < float("inf"):
            raise FitError(f"C must be None or above 0. Got {self.C!r} instead.")
        rows = self._rows(X, y, pairs)
        spanned = _span(rows.x)
        positive = _of(rows)
        if self.C is None:
            own = pair_groups(len(positive), rows.pairs, None if groups is None else np.asarray(groups))
            self.path_losses_ = held_out_losses(spanned.x, positive, own, CS, generator(self.random_state, 1))
            self.C_ = CS[int(np.nanargmin(self.path_losses_))]
        else:
            self.C_ = float(self.C)
        self.scale_ = spanned.scale
        self._keep(spanned.line(newton_logistic(spanned.x, positive, self.C_)))
        return self

    def path(self, X: Any, y: Any, Cs: ArrayLike) -> Float[NDArray[np.float64], "k d"]:  # noqa: N803
        """Weights for each of ``Cs``, (k,), of the raw rows: (k, d). The probe itself stays as it is.

        As C goes to 0 they take the direction of the mean difference: the gradient at 0, with the intercept at its
        best, is the mean difference times n p (1 - p), p being the share of positives.
        """
        probe = self.__class__(C=1.0)
        rows = probe._rows(X, y, None)
        spanned, positive = _span(rows.x), _of(rows)
        numbers, found, weights = _numbers(Cs), None, np.empty((np.size(Cs), rows.x.shape[1]))
        for i in np.argsort(numbers):
            found = newton_logistic(spanned.x, positive, numbers[i], found)
            weights[i] = spanned.line(found).weights
        return weights


class Span(NamedTuple):
    """Rows in coordinates that span them.

    ``x``: (n, k), centred and scaled; ``basis``: (d, k) orthonormal columns, or None where the coordinates are the raw
    ones. ``x @ basis.T * scale + centre`` are the rows.
    """

    x: Float[NDArray[np.float64], "n k"]
    basis: Float[NDArray[np.float64], "d k"] | None
    centre: Float[NDArray[np.float64], " d"]
    scale: float

    def line(self, solution: Float[np.ndarray, " k_and_1"]) -> Line:
        """The line of the raw rows that this one, weights and then intercept, is of the coordinates."""
        own = solution[:-1] / self.scale
        weights = own if self.basis is None else self.basis @ own
        return Line(weights, float(solution[-1] - self.centre @ weights))


def _span(x: Float[np.ndarray, "n d"]) -> Span:
    centre = x.mean(0)
    centred = x - centre
    scale = float(np.sqrt(np.square(centred).mean()))
    if len(x) >= x.shape[1]:
        return Span(centred / scale, None, centre, scale)
    basis, coordinates = np.linalg.qr(centred.T / scale)
    return Span(np.ascontiguousarray(coordinates.T), basis, centre, scale)


def _of(rows: Rows) -> Bool[NDArray[np.bool_], " n"]:
    assert rows.positive is not None
    return rows.positive


def _numbers(cs: ArrayLike) -> list[float]:
    found = np.asarray(cs, np.float64)
    if found.ndim != 1 or not found.size or not ((found > 0) & np.isfinite(found)).all():
        raise FitError(f"Cs must be one or more numbers above 0. Got {cs!r} instead.")
    return found.tolist()


def held_out_losses(
    x: Float[np.ndarray, "n d"],
    positive: Bool[np.ndarray, " n"],
    groups: Int64[np.ndarray, " n"],
    cs: Sequence[float],
    rng: np.random.Generator,
) -> Float[NDArray[np.float64], " k"]:
    """Mean log loss in nats of held-out rows for each C, ascending; folds keep the numbered groups whole.

    After :data:`PATIENCE` in a row that are worse than the best, the rest are not tried: NaN.

    Raises:
        FitError: no group can be held out so that rows of both classes are left.
    """
    folds = [held for held in _folds(positive, groups, rng) if len(np.unique(positive[~held])) == 2]
    if not folds:
        raise FitError(
            f"C can't be chosen: none of {groups.max() + 1} groups can be held out and leave both classes; give C"
        )
    count = sum(int(held.sum()) for held in folds)
    found = [np.zeros(x.shape[1] + 1) for _ in folds]
    losses = np.full(len(cs), np.nan)
    for i, c in enumerate(cs):
        found = [
            newton_logistic(x[~held], positive[~held], c, start, COARSE)
            for held, start in zip(folds, found, strict=True)
        ]
        pairs = zip(folds, found, strict=True)
        losses[i] = sum(log_losses(x[held], positive[held], one).sum() for held, one in pairs) / count
        if i - int(np.nanargmin(losses)) >= PATIENCE:
            break
    return losses


def _folds(
    positive: Bool[np.ndarray, " n"], groups: Int64[np.ndarray, " n"], rng: np.random.Generator
) -> Iterator[Bool[NDArray[np.bool_], " n"]]:
    """Masks of held-out rows. Groups are dealt in the order of their shares of positives, drawn by lot among equals."""
    shares = np.bincount(groups, positive) / np.bincount(groups)
    order = np.lexsort([rng.random(len(shares)), shares])
    fold = np.empty(len(shares), np.int64)
    fold[order] = np.arange(len(shares)) % FOLDS
    for number in range(min(FOLDS, len(shares))):
        yield fold[groups] == number
