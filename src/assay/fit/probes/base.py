"""What all probes share: the checks of what they are fitted to, and what they are once they are fitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Shaped
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from assay.core.direction import Direction
from assay.core.ids import SiteId
from assay.errors import FitError

Vector = NDArray[np.float64]
Probe = TypeVar("Probe", bound="LinearProbe")


class Line(NamedTuple):
    """A linear reader: what it says of a row x is ``x @ weights + intercept``."""

    weights: Float[Vector, " d"]
    intercept: float


class Rows(NamedTuple):
    """What a probe learns from.

    ``x``: (n, d). ``positive``: (n,) whether the label of each row is the larger one; None without labels.
    ``pairs``: (n,) the pair of each row as it was given, or None.
    """

    x: Float[NDArray[np.float64], "n d"]
    positive: Bool[NDArray[np.bool_], " n"] | None
    pairs: Shaped[NDArray[Any], " n"] | None


class LinearProbe(ClassifierMixin, BaseEstimator):
    """A probe: ``fit``, then ``decision_function``, ``predict`` and ``direction``.

    After ``fit``: ``coef_`` (1, d), ``intercept_`` (1,), ``classes_`` (2,) sorted, of which the second is the positive
    one, and ``n_features_in_``. The weights are float64 numbers that float32 can hold: a Direction keeps float32, and
    must decide every row as the probe does.
    """

    method: ClassVar[str] = ""  # the name in the registry
    uses_labels: ClassVar[bool] = True  # False: labels settle no more than which end is the positive one

    def fit(self: Probe, X: Any, y: Any = None, pairs: Any = None) -> Probe:  # noqa: N803
        """Learn from rows.

        Args:
            X: (n, d) activations.
            y: (n,) labels of two kinds. Probes that don't use labels take None; their sign is then arbitrary.
            pairs: (n,) ids; the two rows of one id are a contrast pair, "" or a negative number is none. Probes that
                have no use for pairs ignore them.

        Raises:
            FitError: NaN or infinite or constant X, fewer than two rows, labels that are not of two kinds, pairs that
                don't fit X, or data that the method can't learn from.
        """
        self._keep(self._learn(self._rows(X, y, pairs)))
        return self

    def decision_function(self, X: Any) -> Float[NDArray[np.float64], " n"]:  # noqa: N803
        """What the probe says of each row of X, (n, d): above 0 is positive.

        Raises:
            FitError: NaN or infinite X, or another width than it was fitted to.
        """
        check_is_fitted(self)
        return self._validated(X, reset=False) @ self.coef_[0] + self.intercept_[0]

    def predict(self, X: Any) -> Shaped[NDArray[Any], " n"]:  # noqa: N803
        """The class of each row of X, (n, d)."""
        above = self.decision_function(X) > 0
        return self.classes_[above.astype(np.int64)]

    def direction(self, site: SiteId, provenance: Mapping[str, str] | None = None) -> Direction:
        """The probe as a Direction at a site: its ``value(h)`` is ``decision_function(h)``.

        Raises:
            FitError: all weights are 0, which is no direction.
        """
        check_is_fitted(self)
        if not self.coef_.any():
            raise FitError(
                f"all weights of the {self.method} probe are 0: the classes do not differ along any direction"
            )
        said = {"method": self.method, **(provenance or {})}
        return Direction(site, self.coef_[0].astype(np.float32), -float(self.intercept_[0]), provenance=said)

    def _learn(self, rows: Rows) -> Line:
        raise NotImplementedError

    def _keep(self, line: Line) -> None:
        with np.errstate(over="ignore"):
            weights = line.weights.astype(np.float32).astype(np.float64)
        if not (np.isfinite(weights).all() and np.isfinite(line.intercept)):
            raise FitError(f"the weights of the {self.method} probe overflow; scale the activations")
        self.coef_, self.intercept_ = weights[None], np.array([line.intercept])

    def _rows(self, x: Any, y: Any, pairs: Any) -> Rows:
        if y is None and not self.uses_labels:
            checked, positive = self._validated(x), None
            self.classes_ = np.array([0, 1])
        else:
            checked, labels = self._validated(x, y)
            self.classes_ = _two_kinds(labels)
            positive = labels == self.classes_[1]
        if (checked == checked[0]).all():
            raise FitError(f"activations don't vary: all {len(checked)} rows are equal; there is nothing to learn from")
        if pairs is None:
            return Rows(checked, positive, None)
        pairs = np.asarray(pairs)
        if pairs.shape != (len(checked),):
            raise FitError(f"pairs must have one id a row: got shape {pairs.shape} for {len(checked)} rows")
        return Rows(checked, positive, pairs)

    def _validated(self, x: Any, *y: Any, reset: bool = True) -> Any:
        """X, or X and y, as arrays, with scikit-learn's errors on one line."""
        try:
            found = validate_data(
                self,
                x,
                *y,
                reset=reset,
                dtype=np.float64,
                ensure_all_finite=False,
                ensure_min_samples=2 if reset else 1,
            )
        except ValueError as error:
            raise FitError(" ".join(str(error).split())) from error
        rows = found[0] if y else found
        bad = int((~np.isfinite(rows)).any(1).sum())
        if bad:
            raise FitError(f"X has NaN or inf in {bad} of {len(rows)} rows; leave them out, or see what made them")
        return found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.classifier_tags.poor_score = not self.uses_labels
        tags.target_tags.required = self.uses_labels
        return tags


def class_means(rows: Rows) -> tuple[Float[Vector, " d"], Float[Vector, " d"]]:
    """Mean of the positive rows and of the others; both (d,)."""
    assert rows.positive is not None
    return rows.x[rows.positive].mean(0), rows.x[~rows.positive].mean(0)


def oriented(line: Line, rows: Rows) -> Line:
    """The line, turned round if the positive rows have the lower mean; as it is without labels."""
    if rows.positive is None:
        return line
    positive, negative = class_means(rows)
    if (positive - negative) @ line.weights < 0:
        return Line(-line.weights, -line.intercept)
    return line


def generator(random_state: int | None, stream: int) -> np.random.Generator:
    """Lots of a probe: each kind of probe has a stream of its own, None draws anew each time.

    Raises:
        FitError: neither None nor an integer from 0 on.
    """
    if random_state is None:
        return np.random.default_rng()
    if not isinstance(random_state, int | np.integer) or random_state < 0:
        raise FitError(f"random_state must be None or an integer from 0 on. Got {random_state!r} instead.")
    return np.random.default_rng([int(random_state), stream])


def _two_kinds(labels: Shaped[np.ndarray, " n"]) -> Shaped[np.ndarray, " 2"]:
    """The two labels that there are, sorted."""
    try:
        if labels.dtype.kind == "f" and not np.isfinite(labels).all():
            raise FitError("Input y contains NaN or inf")
        kinds = np.unique(labels)
    except TypeError as error:
        raise FitError(f"Unknown label type: labels of y can't be compared ({error})") from error
    if len(kinds) == 1:
        raise FitError(f"y holds one class only, {kinds[0]}; a probe needs rows of both")
    if len(kinds) > 2:
        kind = "continuous" if kinds.dtype.kind == "f" and (kinds % 1).any() else "multiclass"
        some = ", ".join(str(label) for label in kinds[:4]) + (" ..." if len(kinds) > 4 else "")
        raise FitError(
            f"Only binary classification is supported. The type of the target is {kind}: y holds {len(kinds)} labels"
            f" ({some}); keep two"
        )
    return kinds
