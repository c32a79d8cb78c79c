"""What this lab asserts: an explanation of a unit, with the line that brings it to the unit's scale.

Everything here is settled on the fit and choose splits. The test split only answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from assay.core.ids import UnitId
from assay.rules import Lookup, LookupLearner, RuleLearner, RuleList, View
from assay.rules.rule import CONDITIONS, HEADER_BITS, LISTED, VALUE_BITS
from assay.stats import Calibration, best_threshold, calibrate, correlate

EXPLAINERS = ("rules", "lookup")
VERSIONS: Mapping[str, int] = {"rules": 1, "lookup": 1}
RIVALS = 8
_LEAST_SLOPE = 1e-3


class Explanation(Protocol):
    """What can be executed, printed and stored as an explanation."""

    @property
    def kind(self) -> str: ...
    @property
    def bits(self) -> float: ...
    def predict(self, view: View, /) -> NDArray[np.float32]: ...
    def lines(self) -> list[str]: ...
    def sentence(self) -> str: ...
    def to_json(self) -> dict[str, Any]: ...


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
    """

    unit: UnitId
    explainer: str
    role: Literal["claim", "control"]
    explanation: Explanation
    calibration: Calibration
    threshold: float | None
    rival: Explanation
    rival_unit: UnitId
    rival_calibration: Calibration


def budget(rules: int, vocabulary: int) -> float:
    """Description length in bits of a list of so many rules, each listing as many strings as it may."""
    a_rule = np.log2(CONDITIONS) + VALUE_BITS + np.log2(10) + 1 + np.log2(LISTED) + LISTED * np.log2(vocabulary)
    return HEADER_BITS + rules * float(a_rule)


class Fitter:
    """Learns explanations of many units from one fit split."""

    def __init__(self, view: View, vocabulary: int, explainers: Sequence[str], rules: int) -> None:
        self.explainers, self.rules, self.vocabulary = explainers, rules, vocabulary
        self._rules = RuleLearner(view, vocabulary)
        self._lookup = LookupLearner(view, vocabulary)

    def fit(self, unit: UnitId, activations: NDArray[np.float32], references: bool = True) -> Fitted:
        """Learn what each explainer says of a unit; the lookup gets as many bits as the rules used."""
        made: dict[str, Explanation] = {}
        bits = budget(self.rules, self.vocabulary)
        if "rules" in self.explainers:
            learnt: RuleList = self._rules.fit(activations, self.rules)
            made["rules"], bits = learnt, learnt.bits
        if "lookup" in self.explainers:
            made["lookup"] = self._lookup.fit(activations, pairs=False, bits=bits)
        made = {name: made[name] for name in self.explainers}
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
) -> Claim:
    """Assert ``source``'s explanation of ``target``: calibrated, thresholded and given its rival on the choose split.

    Args:
        others: candidates for the rival, other than target and source; at least one.
        view: the choose split.
        activations: (tokens,) the target's, there.
        fire_above: the fit split's 99th percentile.
    """
    explanation = source.explanations[explainer]
    predicted = explanation.predict(view)
    line = upright(predicted, activations)
    candidates = [(other, other.explanations[explainer].predict(view)) for other in others]
    scores = [_r(p, activations) for _, p in candidates]
    rival, rival_predicted = candidates[int(np.argmax(scores))]
    return Claim(
        unit=target,
        explainer=explainer,
        role="claim" if source.unit == target else "control",
        explanation=explanation,
        calibration=line,
        threshold=best_threshold(line(predicted), activations > fire_above),
        rival=rival.explanations[explainer],
        rival_unit=rival.unit,
        rival_calibration=upright(rival_predicted, activations),
    )


def upright(predicted: NDArray[np.float32], activations: NDArray[np.float32]) -> Calibration:
    """The least-squares line from prediction to activation, never turned round.

    A claim that a unit rises where it falls must not be repaired by a negative slope: where least squares asks for
    none or a negative one, the prediction is flattened to a thousandth of the activation's spread and keeps its sign.
    """
    line = calibrate(predicted, activations)
    spread = float(predicted.std())
    if spread == 0:
        return line
    slope = max(line.slope, _LEAST_SLOPE * float(activations.std()) / spread)
    return Calibration(slope, float(activations.mean() - slope * predicted.mean()))


def _r(predicted: NDArray[np.float32], activations: NDArray[np.float32]) -> float:
    one = np.zeros(len(predicted), dtype=np.int64)
    value = correlate(predicted.astype(float), activations.astype(float), one, np.ones((1, 1))).value
    return -2.0 if np.isnan(value) else float(value)
