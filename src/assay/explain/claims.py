"""What this lab asserts: an explanation of a unit, with the line that brings it to the unit's scale.

Everything here is settled on the fit and choose splits. The test split only answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from assay.core.ids import UnitId
from assay.explain.names import SAID, WRITTEN
from assay.explain.prose import Prose
from assay.rules import Condition, Lookup, LookupLearner, Rule, RuleLearner, RuleList, View
from assay.rules.rule import HEADER_BITS, LISTED
from assay.stats import Calibration, Steps, best_threshold, calibrate, calibrate_monotone, correlate

LINEAR = "linear"
RIVALS = 8
LEAST_SLOPE = 1e-3


Line = Calibration | Steps
"""What brings a prediction to the unit's scale."""


@runtime_checkable
class Explanation(Protocol):
    """What can be printed and stored as an explanation."""

    @property
    def kind(self) -> str: ...
    @property
    def bits(self) -> float: ...
    def lines(self) -> list[str]: ...
    def sentence(self) -> str: ...
    def to_json(self) -> dict[str, Any]: ...


@runtime_checkable
class Executable(Explanation, Protocol):
    """An explanation that gives its prediction itself, without a judge."""

    def predict(self, view: View, /) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class Fitted:
    """Everything that was learnt about one unit on the fit split; the references stand beside what is claimed."""

    unit: UnitId
    explanations: Mapping[str, Explanation]
    references: Mapping[str, Mapping[str, Lookup]]  # by explainer: lookup, bigram at equal bits, and both unlimited


@dataclass(frozen=True)
class Claim:
    """An explanation asserted of a unit.

    ``role`` is "control" for the explanation of a stranger, asserted on purpose of the wrong unit. ``rival`` is the
    unit whose explanation, among others of the run, does best on the choose split: the null that must be beaten.
    Where ``unscored`` gives a reason, nothing is predicted, and line, threshold and rival mean nothing.
    """

    unit: UnitId
    explainer: str
    role: Literal["claim", "control"]
    explanation: Explanation
    calibration: Line
    threshold: float | None
    rival: Explanation
    rival_unit: UnitId
    rival_calibration: Line
    unscored: str | None = None


def budget(rules: int, vocabulary: int) -> float:
    """Description length in bits of a list of so many rules, each listing as many strings as it may."""
    a_rule = Rule((Condition("token", tuple(map(str, range(LISTED)))),), 0.0)
    return HEADER_BITS + rules * a_rule.bits(vocabulary)


class Fitter:
    """Learns explanations of many units from one fit split."""

    def __init__(self, view: View, vocabulary: int, explainers: Sequence[str], rules: int) -> None:
        self.explainers, self.rules, self.vocabulary = explainers, rules, vocabulary
        self._rules = RuleLearner(view, vocabulary)
        self._lookup = LookupLearner(view, vocabulary)

    def fit(
        self,
        unit: UnitId,
        activations: NDArray[np.float32],
        references: bool = True,
        written: RuleList | None = None,
        prose: Mapping[str, Prose] | None = None,
    ) -> Fitted:
        """Learn what each explainer says of a unit; the lookup gets as many bits as the rules used.

        ``written`` and ``prose`` (by explainer) stand beside them as they are: nothing of them is fitted.
        """
        made: dict[str, Explanation] = dict(prose or {})
        bits = budget(self.rules, self.vocabulary)
        if "rules" in self.explainers:
            learnt: RuleList = self._rules.fit(activations, self.rules)
            made["rules"], bits = learnt, learnt.bits
        if "lookup" in self.explainers:
            made["lookup"] = self._lookup.fit(activations, pairs=False, bits=bits)
        made = {name: made[name] for name in self.explainers if name in made}
        made |= {} if written is None else {WRITTEN: written}
        made |= {SAID: prose[SAID]} if prose and SAID in prose else {}
        if not references:
            return Fitted(unit, made, {})
        full = {
            "lookup_full": self._lookup.fit(activations, pairs=False, bits=None),
            "bigram_full": self._lookup.fit(activations, pairs=True, bits=None),
        }
        beside = {
            name: {
                "lookup": self._lookup.fit(activations, pairs=False, bits=explanation.bits),
                "bigram": self._lookup.fit(activations, pairs=True, bits=explanation.bits),
                **full,
            }
            for name, explanation in made.items()
        }
        return Fitted(unit, made, beside)


def make_claim(
    target: UnitId,
    source: Fitted,
    explainer: str,
    others: Sequence[Fitted],
    view: View,
    activations: NDArray[np.float32],
    fire_above: float,
    made: dict[int, NDArray[np.float32]] | None = None,
    calibration: str = LINEAR,
) -> Claim:
    """Assert ``source``'s explanation of ``target``: calibrated, thresholded and given its rival on the choose split.

    Args:
        others: candidates for the rival, other than target and source; at least one.
        view: the choose split.
        activations: (tokens,) the target's, there.
        fire_above: the fit split's 99th percentile.
        made: predictions on the view by id of their explanation, kept from one claim to the next.
        calibration: one of :data:`CALIBRATIONS`.
    """
    kept = {} if made is None else made

    def predict(explanation: Explanation) -> NDArray[np.float32]:
        if id(explanation) not in kept:
            kept[id(explanation)] = executed(explanation, view)
        return kept[id(explanation)]

    return settle(target, source, explainer, others, predict, activations, fire_above, calibration)


def executed(explanation: Explanation, view: View) -> NDArray[np.float32]:
    """What an explanation predicts at every token of a view: (tokens,).

    Raises:
        TypeError: one that only a judge can execute.
    """
    if not isinstance(explanation, Executable):
        raise TypeError(f"an explanation of kind {explanation.kind!r} is simulated, not executed")
    return explanation.predict(view)


def settle(
    target: UnitId,
    source: Fitted,
    explainer: str,
    others: Sequence[Fitted],
    predict: Callable[[Explanation], NDArray[np.float32]],
    activations: NDArray[np.float32],
    fire_above: float,
    calibration: str = LINEAR,
) -> Claim:
    """:func:`make_claim` with any way to predict, on the tokens of the choose split on which ``activations`` are."""
    explanation = source.explanations[explainer]
    predicted = predict(explanation)
    fitted_line = CALIBRATIONS[calibration]
    line = fitted_line(predicted, activations)
    rivals = [(other.unit, other.explanations.get(explainer) or _learnt(other)) for other in others]
    scores = [plain_r(predict(rival), activations) for _, rival in rivals]
    rival_unit, rival = rivals[int(np.argmax(scores))]
    return Claim(
        unit=target,
        explainer=explainer,
        role="claim" if source.unit == target else "control",
        explanation=explanation,
        calibration=line,
        threshold=best_threshold(line(predicted), activations > fire_above),
        rival=rival,
        rival_unit=rival_unit,
        rival_calibration=fitted_line(predict(rival), activations),
    )


def _learnt(other: Fitted) -> Explanation:
    """What stands in where an explainer has nothing of a unit: nobody wrote rules of the rivals."""
    return next(explanation for explanation in other.explanations.values() if isinstance(explanation, Executable))


def unscored_claim(target: UnitId, source: Fitted, explainer: str, reason: str) -> Claim:
    """A claim of which nothing can be said."""
    explanation, flat = source.explanations[explainer], Calibration(0.0, 0.0)
    role = "claim" if source.unit == target else "control"
    return Claim(target, explainer, role, explanation, flat, None, explanation, source.unit, flat, reason)


def upright(predicted: NDArray[np.float32], activations: NDArray[np.float32]) -> Calibration:
    """The least-squares line from prediction to activation, never turned round.

    A claim that a unit rises where it falls must not be repaired by a negative slope: where least squares asks for
    none or a negative one, the prediction is flattened to a thousandth of the activation's spread and keeps its sign.
    """
    line = calibrate(predicted, activations)
    if np.ptp(predicted) == 0:
        return line
    p, a = predicted.astype(np.float64), activations.astype(np.float64)
    slope = max(line.slope, LEAST_SLOPE * float(a.std()) / float(p.std()))
    return Calibration(slope, float(a.mean() - slope * p.mean()))


def as_it_is(predicted: NDArray[np.float32], activations: NDArray[np.float32]) -> Calibration:
    """No calibration: the prediction is taken to be on the unit's scale."""
    return Calibration(1.0, 0.0)


CALIBRATIONS: Mapping[str, Callable[[NDArray[np.float32], NDArray[np.float32]], Line]] = {
    "none": as_it_is,
    LINEAR: upright,
    "monotone": calibrate_monotone,
}


def plain_r(predicted: NDArray[np.float32], activations: NDArray[np.float32]) -> float:
    """Pearson's r without an interval; 0 where it is not defined."""
    one = np.zeros(len(predicted), dtype=np.int64)
    value = correlate(predicted.astype(float), activations.astype(float), one, np.ones((1, 1))).value
    return 0.0 if np.isnan(value) else float(value)
