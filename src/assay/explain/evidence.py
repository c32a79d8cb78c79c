"""From measurements to the rows that a run stores."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from assay.explain.claims import Claim
from assay.explain.measured import MEASURES as MEASURES
from assay.explain.measured import UNDEFINED, Measured
from assay.explain.measured import number as number
from assay.explain.names import VERSIONS
from assay.explain.verdicts import Judged
from assay.referee import BEHAVIOUR_VERSION, PREDICTION_VERSION, CheckVerdict
from assay.stats import Interval

SCORES_VERSION = 1
_NO_TEST = {"d": None, "d_lo": None, "d_hi": None, "p_support": None, "p_refute": None}


def score_row(
    claim: int, check: str, measure: str, interval: Interval | None, documents: int, **more: Any
) -> dict[str, Any]:
    """A row of the evidence table: one score of one claim, on so many documents."""
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
        "unscored": UNDEFINED if value is None else None,
        "version": SCORES_VERSION,
    }
    return row | more


def tested(check: CheckVerdict) -> dict[str, Any]:
    """What the rule made of a check, as columns of the evidence table."""
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
    for i, claim in enumerate(claims):
        check = judged.check(i, "prediction")
        if check is None:
            raise AssertionError(f"claim {i} was not judged")
        if i not in measured:
            rows += _control_rows(i, judged, claim.unscored)
            continue
        m = measured[i]
        documents = m.documents
        for measure in MEASURES:
            nulls = json.dumps(m.nulls.get(measure, {}))
            row = score_row(i, "prediction", measure, m.value(measure), documents, nulls=nulls)
            rows.append(_because(row, m.reasons.get(measure)))
        rows[-len(MEASURES)] |= tested(check) | {
            "references": json.dumps(m.references),
            "nulls": json.dumps(decided(judged, i)),
            "version": PREDICTION_VERSION,
        }
        rows += _more_rows(i, m)
        rows += _behaviour_rows(i, judged, claim.unscored)
        verdict = judged.overall[i]
        rows.append(
            score_row(i, "claim", "verdict", None, documents, verdict=str(verdict.verdict), reason=verdict.reason)
            | {"unscored": None}
        )
    return rows


def decided(judged: Judged, claim: int) -> dict[str, float | None]:
    """The nulls that a claim's r was held against."""
    return {name: number(value) for name, value in judged.prediction_inputs[claim].nulls.items()}


def _more_rows(i: int, m: Measured) -> list[dict[str, Any]]:
    """What stands beside the scores and decides nothing."""
    none, documents = math.nan, m.documents
    rank, literature = (
        None if value is None else Interval(float(value), none, none) for value in (m.rank, m.top_and_random)
    )
    rows = [
        score_row(i, "prediction", "r_with_first", m.with_first, documents),
        score_row(i, "description", "rank", rank, documents),
        score_row(i, "description", "top_and_random", literature, documents)
        | {"reason": "only for comparison with published scores"},
    ]
    rows += [
        score_row(i, "description", f"r_above_{name}", beside.above, documents, references=json.dumps({name: beside.r}))
        for name, beside in m.beside.items()
    ]
    return [_because(row, m.reasons.get(row["measure"], m.reasons.get("r"))) for row in rows]


def _because(row: dict[str, Any], reason: str | None) -> dict[str, Any]:
    """The row with the reason why it has no value, if it has none and the reason is known."""
    return row | {"unscored": reason} if row["unscored"] is not None and reason else row


def _behaviour_rows(i: int, judged: Judged, unscored: str | None) -> list[dict[str, Any]]:
    if i not in judged.behaviours:
        return [
            score_row(i, "behaviour", "behaviour", None, 0, unscored=unscored or "not run", version=BEHAVIOUR_VERSION)
        ]
    found, check = judged.behaviours[i], judged.check(i, "behaviour")
    nulls = {name: number(value) for name, value in found.check.nulls.items()}
    beside = {name: number(value.value) for name, value in found.arms.items() if name not in (*nulls, "prediction")}
    n = judged.documents["behaviour"][i]
    rows = [
        score_row(i, "behaviour", "behaviour", found.score, n, nulls=json.dumps(nulls), version=BEHAVIOUR_VERSION)
        | {"references": json.dumps(beside)}
        | (tested(check) if check else {})
    ]
    if found.surplus is not None:
        rows.append(score_row(i, "behaviour", "surplus_over_noise", found.surplus, n, version=BEHAVIOUR_VERSION))
    return rows


def _control_rows(i: int, judged: Judged, unscored: str | None) -> list[dict[str, Any]]:
    check, given = judged.prediction.controls[i], judged.prediction_inputs[i]
    nulls = json.dumps(decided(judged, i))
    interval = Interval(given.score, math.nan, math.nan)
    n = judged.documents["prediction"][i]
    prediction = score_row(i, "prediction", "r", interval, n, nulls=nulls, version=PREDICTION_VERSION) | tested(check)
    return [_because(prediction, unscored), *_behaviour_rows(i, judged, unscored)]


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
