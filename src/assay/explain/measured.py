"""Every score of a claim on the test split, with what a meaningless claim and other methods get on the same tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.explain.claims import Claim, Fitted, executed
from assay.explain.material import Material, Part
from assay.explain.measure import Tested
from assay.explain.names import SIMULATED
from assay.referee import shuffled
from assay.stats import Interval, Scores, correlate, document_index, document_weights, score, token_means
from assay.stats import top_and_random_r as literature_r

MEASURES = ("r", "r_pos", "r_neg", "r_context", "f1", "auprc")
UNDEFINED = "not defined on these data"
NO_CONTEXT = "it would take simulations of the fit split"

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


class Beside(NamedTuple):
    """Another explainer's r on the same tokens, and how far the claim's own r lies above it, paired."""

    r: float | None
    above: Interval


@dataclass(frozen=True)
class Measured:
    """All that was measured on one claim, before the verdict.

    ``tokens``: how many it was scored on. ``scores`` is None where it was scored on none, ``unscored`` says why a
    measure has no value. ``beside``: for a simulated claim, by explainer, the same unit's other claims on its tokens.
    """

    tokens: int
    width: int
    scores: Scores | None
    nulls: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # measure -> null -> value
    references: Mapping[str, float | None] = field(default_factory=dict)  # r of each reference
    with_first: Interval | None = None
    top_and_random: float | None = None
    rank: int | None = None
    beside: Mapping[str, Beside] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)

    def value(self, measure: str) -> Interval | None:
        """The value of one of ``MEASURES`` with its interval."""
        return None if self.scores is None else getattr(self.scores, measure)

    @property
    def documents(self) -> int:
        """How many documents it was scored on."""
        return 0 if self.scores is None else self.scores.n_documents

    @property
    def unscored(self) -> dict[str, str]:
        """Measures without a value, the rank among them, and why."""
        missing = [measure for measure in MEASURES if self.value(measure) is None]
        missing += ["rank"] if self.rank is None else []
        return {measure: self.reasons.get(measure, UNDEFINED) for measure in missing}


def measure_claim(
    row: int,
    claim: Claim,
    fitted: Fitted,
    material: Material,
    tested: Tested,
    place: int,
    fit_activations: Floats,
    fire_above: float,
    width: int,
    seed: int,
    others: Mapping[str, int] | None = None,
) -> Measured:
    """Every score of a claim on the test split, with what a meaningless claim and other methods get.

    Args:
        row, place: rows of the claim and of its unit in ``tested``.
        fitted: what was learnt about the unit: the references.
        fit_activations: (scored tokens of the fit split,) the unit's.
        fire_above: the fit split's 99th percentile.
        width: units of the site.
        others: by explainer, the row of the unit's other claims, which a simulated one is set beside.
    """
    part = material.test
    keep = tested.tokens(row, claim.explainer, part.scored)
    if claim.unscored is not None or not keep.any():
        why = claim.unscored or "nothing of the test sample could be simulated"
        return Measured(0, width, None, reasons=dict.fromkeys((*MEASURES, "rank", "top_and_random"), why))
    real, predicted = tested.activations[place], tested.predictions[row]
    simulated = claim.explainer in SIMULATED
    means, predicted_means = _token_means(claim, material, fit_activations, simulated)

    def scored(values: Floats, own_means: NDArray[np.float64] | None, threshold: float | None) -> Scores:
        return score(
            values[keep],
            real[keep],
            part.table.flat_documents[keep],
            tokens=None if simulated else part.table.flat_ids[keep],
            token_means=means,
            predicted_token_means=own_means,
            fire_above=fire_above,
            threshold=threshold,
            seed=seed,
        )

    own = scored(predicted, predicted_means, claim.threshold)
    other = scored(tested.other_unit[row], None, claim.threshold)
    permuted = predicted.copy()
    permuted[keep] = shuffled(predicted[keep].astype(np.float64), seed)
    by_chance = scored(permuted, None, claim.threshold)
    rate = float((real[keep] > fire_above).mean())
    always = {"f1": 2 * rate / (1 + rate), "auprc": rate}
    nulls = {
        measure: {
            "constant": always.get(measure, 0.0),
            "shuffled": value_of(getattr(by_chance, measure)),
            "other_unit": value_of(getattr(other, measure)),
        }
        for measure in MEASURES
    }
    return Measured(
        tokens=int(keep.sum()),
        scores=own,
        nulls={m: {name: v for name, v in row.items() if v is not None} for m, row in nulls.items()},
        references=_references(claim, fitted, part, real, keep),
        with_first=_with_first(predicted, real, part, tested.sampled if simulated else None, seed),
        top_and_random=literature_r(
            predicted[keep].astype(np.float64), real[keep].astype(np.float64), part.table.flat_windows[keep], seed
        ),
        rank=tested.rank[row],
        width=width,
        beside=_beside(tested, row, others or {}, real, part, keep, seed) if simulated else {},
        reasons={"r_context": NO_CONTEXT} if simulated else {},
    )


def value_of(interval: Interval | None) -> float | None:
    """The point estimate, if there is one."""
    return None if interval is None else interval.value


def number(value: float | None) -> float | None:
    """A float that may stand in JSON and in a table: None for NaN and infinity."""
    return None if value is None or not math.isfinite(value) else float(value)


def _token_means(
    claim: Claim, material: Material, activations: Floats, simulated: bool
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Mean activation and mean prediction at each token id of the fit split, for r in context."""
    if simulated:
        return None, None
    fit, vocabulary = material.fit, len(material.fit.texts)
    predicted = claim.calibration(executed(claim.explanation, fit.view))
    of_activations = token_means(activations.astype(np.float64), fit.ids, vocabulary)
    return of_activations, token_means(predicted, fit.ids, vocabulary, pseudo_count=0.0)


def _with_first(predicted: Floats, real: Floats, part: Part, sampled: Mask | None, seed: int) -> Interval:
    """r with position 0 and special tokens counted in."""
    where = np.isfinite(predicted) if sampled is None else np.isfinite(predicted) & sampled
    index = document_index(part.table.flat_documents[where])
    weights = document_weights(index.n_documents, seed=seed)
    p, a = (values[where].astype(np.float64) for values in (predicted, real))
    return correlate(p, a, index.of_token, weights).interval()


def _references(claim: Claim, fitted: Fitted, part: Part, real: Floats, keep: Mask) -> dict[str, float | None]:
    count = int(keep.sum())
    one, whole = np.zeros(count, dtype=np.int64), np.ones((1, 1))
    found: dict[str, float | None] = {}
    for name, lookup in fitted.references[claim.explainer].items():
        predicted = lookup.predict(part.full_view)[keep].astype(np.float64)
        found[name] = number(correlate(predicted, real[keep].astype(np.float64), one, whole).value)
    return found


def _beside(
    tested: Tested, row: int, others: Mapping[str, int], real: Floats, part: Part, keep: Mask, seed: int
) -> dict[str, Beside]:
    index = document_index(part.table.flat_documents[keep])
    weights = document_weights(index.n_documents, seed=seed)
    a = real[keep].astype(np.float64)
    own = correlate(tested.predictions[row][keep].astype(np.float64), a, index.of_token, weights)
    found: dict[str, Beside] = {}
    for name, other_row in others.items():
        values = tested.predictions[other_row][keep].astype(np.float64)
        if np.isfinite(values).all():
            other = correlate(values, a, index.of_token, weights)
            above = type(own)(own.value - other.value, own.replicates - other.replicates)
            found[name] = Beside(number(other.value), above.interval())
    return found
