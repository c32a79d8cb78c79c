"""From measurements to the rows that a run stores, and to the JSON that the command prints."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.explain.claims import VERSIONS, Claim, Fitted
from assay.explain.material import Material, Part
from assay.explain.measure import Tested
from assay.explain.verdicts import Judged
from assay.referee import BEHAVIOUR_VERSION, PREDICTION_VERSION, BehaviourCheck, CheckVerdict, shuffled
from assay.stats import Interval, Scores, correlate, document_index, document_weights, score, token_means
from assay.stats import top_and_random_r as literature_r

MEASURES = ("r", "r_pos", "r_neg", "r_context", "f1", "auprc")
SCORES_VERSION = 1
_UNDEFINED = "not defined on these data"
_NO_TEST = {"d": None, "d_lo": None, "d_hi": None, "p_support": None, "p_refute": None}


@dataclass(frozen=True)
class Measured:
    """All that was measured on one claim, before the verdict."""

    scores: Scores
    nulls: Mapping[str, Mapping[str, float]]  # measure -> null -> value
    references: Mapping[str, float | None]  # r of each reference
    with_first: Interval
    top_and_random: float
    rank: int | None
    width: int


def measure_claim(
    number: int,
    claim: Claim,
    fitted: Fitted,
    material: Material,
    tested: Tested,
    place: int,
    fit_activations: NDArray[np.float32],
    fire_above: float,
    width: int,
    seed: int,
) -> Measured:
    """Every score of a claim on the test split, with what a meaningless claim and other methods get.

    Args:
        number, place: rows of the claim and of its unit in ``tested``.
        fitted: what was learnt about the unit: the references.
        fit_activations: (scored tokens of the fit split,) the unit's.
        fire_above: the fit split's 99th percentile.
        width: units of the site.
    """
    part, keep = material.test, material.test.scored
    real, predicted = tested.activations[place], tested.predictions[number]
    documents = part.table.flat_documents[keep]
    vocabulary = len(part.texts)
    fit_predicted = claim.calibration(claim.explanation.predict(material.fit.view))
    means = token_means(fit_activations.astype(np.float64), material.fit.ids, vocabulary)
    predicted_means = token_means(fit_predicted, material.fit.ids, vocabulary, pseudo_count=0.0)

    def scored(values: NDArray[np.float32], own_means: NDArray[np.float64] | None, threshold: float | None) -> Scores:
        return score(
            values[keep],
            real[keep],
            documents,
            tokens=part.ids,
            token_means=means,
            predicted_token_means=own_means,
            fire_above=fire_above,
            threshold=threshold,
            seed=seed,
        )

    own = scored(predicted, predicted_means, claim.threshold)
    other = scored(tested.other_unit[number], None, claim.threshold)
    permuted = predicted.copy()
    permuted[keep] = shuffled(predicted[keep].astype(np.float64), seed)
    by_chance = scored(permuted, None, claim.threshold)
    rate = float((real[keep] > fire_above).mean())
    always = {"f1": 2 * rate / (1 + rate), "auprc": rate}
    nulls = {
        measure: {
            "constant": always.get(measure, 0.0),
            "shuffled": _value(getattr(by_chance, measure)),
            "other_unit": _value(getattr(other, measure)),
        }
        for measure in MEASURES
    }
    index = document_index(part.table.flat_documents)
    weights = document_weights(index.n_documents, seed=seed)
    with_first = correlate(predicted.astype(np.float64), real.astype(np.float64), index.of_token, weights)
    return Measured(
        scores=own,
        nulls={m: {name: v for name, v in row.items() if v is not None} for m, row in nulls.items()},
        references=_references(claim, fitted, part, real, documents),
        with_first=with_first.interval(),
        top_and_random=literature_r(
            predicted[keep].astype(np.float64), real[keep].astype(np.float64), part.table.flat_windows[keep], seed
        ),
        rank=tested.rank[number],
        width=width,
    )


def _value(interval: Interval | None) -> float | None:
    return None if interval is None else interval.value


def _references(
    claim: Claim, fitted: Fitted, part: Part, real: NDArray[np.float32], documents: NDArray[np.int64]
) -> dict[str, float | None]:
    one, keep = np.zeros(len(documents), dtype=np.int64), part.scored
    found: dict[str, float | None] = {}
    for name, lookup in fitted.references[claim.explainer].items():
        predicted = lookup.predict(part.full_view)[keep].astype(np.float64)
        found[name] = number(correlate(predicted, real[keep].astype(np.float64), one, np.ones((1, 1))).value)
    return found


def number(value: float | None) -> float | None:
    """A float that may stand in JSON and in a table: None for NaN and infinity."""
    return None if value is None or not math.isfinite(value) else float(value)


def _row(
    claim: int, check: str, measure: str, interval: Interval | None, documents: int, **more: Any
) -> dict[str, Any]:
    value = None if interval is None else number(interval.value)
    row: dict[str, Any] = {
        "claim": claim,
        "check": check,
        "measure": measure,
        "value": value,
        "lo": None if interval is None else number(interval.lo),
        "hi": None if interval is None else number(interval.hi),
        "n": documents,
        "nulls": "{}",
        "references": "{}",
        **_NO_TEST,
        "verdict": None,
        "reason": "",
        "unscored": _UNDEFINED if value is None else None,
        "version": SCORES_VERSION,
    }
    return row | more


def _tested(check: CheckVerdict) -> dict[str, Any]:
    return {
        "d": number(check.d),
        "d_lo": number(check.d_lo),
        "d_hi": number(check.d_hi),
        "p_support": number(check.p_support),
        "p_refute": number(check.p_refute),
        "verdict": str(check.verdict),
        "reason": check.reason,
    }


def evidence_rows(claims: Sequence[Claim], measured: Mapping[int, Measured], judged: Judged) -> list[dict[str, Any]]:
    """The evidence table: a row for each score, the deciding ones with their test, and the verdict of each claim."""
    rows: list[dict[str, Any]] = []
    for i, _ in enumerate(claims):
        check = judged.check(i, "prediction")
        if check is None:
            raise AssertionError(f"claim {i} was not judged")
        if i not in measured:
            rows += _control_rows(i, judged)
            continue
        m = measured[i]
        documents = m.scores.n_documents
        for measure in MEASURES:
            rows.append(
                _row(
                    i, "prediction", measure, getattr(m.scores, measure), documents, nulls=json.dumps(m.nulls[measure])
                )
            )
        rows[-len(MEASURES)] |= _tested(check) | {
            "references": json.dumps(m.references),
            "nulls": json.dumps(_decided(judged, i)),
            "version": PREDICTION_VERSION,
        }
        none = math.nan
        rows.append(_row(i, "prediction", "r_with_first", m.with_first, documents))
        rank = None if m.rank is None else Interval(float(m.rank), none, none)
        rows.append(_row(i, "description", "rank", rank, documents))
        rows.append(
            _row(i, "description", "top_and_random", Interval(m.top_and_random, none, none), documents)
            | {"reason": "only for comparison with published scores"}
        )
        rows += _behaviour_rows(i, judged)
        verdict = judged.overall[i]
        rows.append(
            _row(i, "claim", "verdict", None, documents, verdict=str(verdict.verdict), reason=verdict.reason)
            | {"unscored": None}
        )
    return rows


def _decided(judged: Judged, claim: int) -> dict[str, float | None]:
    return {name: number(value) for name, value in judged.prediction_inputs[claim].nulls.items()}


def _behaviour_rows(i: int, judged: Judged) -> list[dict[str, Any]]:
    if i not in judged.behaviours:
        return [_row(i, "behaviour", "behaviour", None, 0, unscored="not run", version=BEHAVIOUR_VERSION)]
    found, check = judged.behaviours[i], judged.check(i, "behaviour")
    nulls = {name: number(value) for name, value in found.check.nulls.items()}
    beside = {name: number(value.value) for name, value in found.arms.items() if name not in (*nulls, "prediction")}
    n = judged.documents["behaviour"][i]
    rows = [
        _row(i, "behaviour", "behaviour", found.score, n, nulls=json.dumps(nulls), version=BEHAVIOUR_VERSION)
        | {"references": json.dumps(beside)}
        | (_tested(check) if check else {})
    ]
    if found.surplus is not None:
        rows.append(_row(i, "behaviour", "surplus_over_noise", found.surplus, n, version=BEHAVIOUR_VERSION))
    return rows


def _control_rows(i: int, judged: Judged) -> list[dict[str, Any]]:
    check, given = judged.prediction.controls[i], judged.prediction_inputs[i]
    nulls = json.dumps(_decided(judged, i))
    interval = Interval(given.score, math.nan, math.nan)
    n = judged.documents["prediction"][i]
    prediction = _row(i, "prediction", "r", interval, n, nulls=nulls, version=PREDICTION_VERSION) | _tested(check)
    return [prediction, *_behaviour_rows(i, judged)]


def claim_rows(claims: Sequence[Claim]) -> list[dict[str, Any]]:
    """The claims table."""
    return [
        {
            "claim": i,
            "unit": str(claim.unit),
            "explainer": claim.explainer,
            "version": VERSIONS[claim.explainer],
            "role": claim.role,
            "text": claim.explanation.sentence(),
            "rules": json.dumps(claim.explanation.to_json(), ensure_ascii=False),
            "lines": json.dumps(claim.explanation.lines(), ensure_ascii=False),
            "bits": float(claim.explanation.bits),
            "calibration": json.dumps(claim.calibration._asdict()),
            "rival": str(claim.rival_unit),
            "threshold": number(claim.threshold),
        }
        for i, claim in enumerate(claims)
    ]


def contract_entry(i: int, claim: Claim, m: Measured, judged: Judged) -> dict[str, Any]:
    """One row of ``units`` in the JSON result."""
    found, verdict = judged.behaviours.get(i), judged.overall[i]
    entry: dict[str, Any] = {
        "unit": str(claim.unit),
        "explainer": claim.explainer,
        "explanation": claim.explanation.sentence(),
        "rules": claim.explanation.lines(),
        "bits": round(float(claim.explanation.bits), 1),
    }
    r = m.scores.r
    entry |= (
        {"r": None, "r_lo": None, "r_hi": None}
        if r is None
        else {"r": number(r.value), "r_lo": number(r.lo), "r_hi": number(r.hi)}
    )
    for measure in MEASURES[1:]:
        entry[measure] = number(_value(getattr(m.scores, measure)))
    entry |= {
        "nulls": _decided(judged, i),
        "references": dict(m.references),
        "rank": m.rank,
        "rank_of": m.width,
        "behaviour": None,
        "behaviour_lo": None,
        "behaviour_hi": None,
        "behaviour_nulls": {"other_unit": None, "shuffled": None, "noise_equal_r": None},
        "behaviour_over_noise": None,
        "unscored": _unscored(m, found),
    }
    if found is not None:
        entry |= {
            "behaviour": number(found.score.value),
            "behaviour_lo": number(found.score.lo),
            "behaviour_hi": number(found.score.hi),
            "behaviour_nulls": {name: number(found.arms[name].value) for name in entry["behaviour_nulls"]},
            "behaviour_over_noise": None if found.surplus is None else [number(x) for x in found.surplus],
        }
    return entry | {"verdict": str(verdict.verdict), "reason": verdict.reason}


def _unscored(m: Measured, behaviour: BehaviourCheck | None) -> dict[str, str]:
    """What has no score, and why."""
    missing = [measure for measure in MEASURES if getattr(m.scores, measure) is None]
    missing += ["rank"] if m.rank is None else []
    if behaviour is None:
        return dict.fromkeys(missing, _UNDEFINED) | {"behaviour": "not run"}
    missing += ["behaviour"] if number(behaviour.score.value) is None else []
    return dict.fromkeys(missing, _UNDEFINED)
