"""A layer's findings as rows of the run's tables, and as arrays for the verdicts that follow when all layers are in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.core.ids import UnitId
from assay.explain.elsewhere import CHECK
from assay.explain.evidence import MEASURES, number
from assay.explain.names import VERSIONS
from assay.explain.whole.elsewhere import Away
from assay.explain.whole.layer import EXPLAINERS, Asserted, LayerFound, no_interval
from assay.record import SiteSketches
from assay.referee.many import NULLS, ManyChecks, many_differences
from assay.referee.verdict import Difference
from assay.rules import Lookup, RuleList

Rows = list[dict[str, Any]]
KINDS = (*EXPLAINERS, "control")
UNDEFINED = "not defined on these tokens"
SCORES_VERSION = 1
SHARES = ("explained", "single", "alone")  # of a unit's variance, by the token: see assay.stats.strata


def unit_rows(found: LayerFound, sketches: SiteSketches) -> Rows:
    """The units table: what every unit did on the fit documents."""
    moments, rows = sketches.moments, sketches.rows
    columns = {
        "mean": moments.mean,
        "sd": moments.sd,
        "skew": moments.skew,
        "kurtosis": moments.kurtosis,
        "min": moments.minimum,
        "max": moments.maximum,
        "q01": rows.quantile(0.01),
        "q50": rows.quantile(0.5),
        "q99": found.fire_above,
        "firing_rate": sketches.firing.rate,
    }
    values = {name: np.nan_to_num(column).astype(float).tolist() for name, column in columns.items()}
    fixed = {"layer": found.site.layer, "kind": found.site.kind, "count": int(moments.count), "role": "target"}
    return [
        {"unit": str(UnitId(found.site, i)), "index": i, **fixed, **{name: own[i] for name, own in values.items()}}
        for i in range(len(found.fire_above))
    ]


def claim_rows(found: LayerFound, first: int) -> Rows:
    """The claims table: each explainer's claims, then the controls; ids count from ``first``."""
    rows: Rows = []
    told = {name: list(map(_told, found.asserted[name].explanations)) for name in EXPLAINERS}
    for kind in KINDS:
        name = EXPLAINERS[0] if kind == "control" else kind
        asserted = found.asserted[name]
        lines = found.control_lines if kind == "control" else asserted.lines
        sources = found.strangers if kind == "control" else np.arange(len(found.strangers))
        for unit, source in enumerate(sources.tolist()):
            rows.append(
                told[name][source]
                | {
                    "claim": first + len(rows),
                    "unit": str(UnitId(found.site, unit)),
                    "explainer": name,
                    "version": VERSIONS[name],
                    "role": "control" if kind == "control" else "claim",
                    "calibration": json.dumps({"slope": lines.slopes[unit], "intercept": lines.intercepts[unit]}),
                    "rival": str(UnitId(found.site, int(asserted.rivals[unit]))),
                    "threshold": None if kind == "control" else number(float(asserted.thresholds[unit])),
                }
            )
    return rows


def _told(explanation: RuleList | Lookup) -> dict[str, Any]:
    """What a claim's row says of the explanation itself."""
    return {
        "text": explanation.sentence(),
        "rules": json.dumps(explanation.to_json(), ensure_ascii=False),
        "lines": json.dumps(explanation.lines(), ensure_ascii=False),
        "bits": float(explanation.bits),
    }


def score_rows(found: LayerFound, first: int) -> Rows:
    """The evidence table but for r and the verdicts, which need the claims of all layers."""
    rows: Rows = []
    units, documents = len(found.strangers), found.grounds.documents
    rate = (found.activations > found.fire_above[:, None]).mean(axis=1)
    always = {"f1": 2 * rate / (1 + rate), "auprc": rate}
    for k, name in enumerate(EXPLAINERS):
        asserted = found.asserted[name]
        ranks = no_interval(np.where(asserted.ranks > 0, asserted.ranks, np.nan))
        for measure in (*MEASURES[1:], "r_with_first", "rank"):
            check = "description" if measure == "rank" else "prediction"
            if measure in MEASURES:
                score = getattr(asserted.scores, measure)
                nulls = _nulls(asserted, measure, always.get(measure, np.zeros(units)))
            else:
                score = ranks if measure == "rank" else no_interval(asserted.with_first)
                nulls = ["{}"] * units
            for unit, (value, lo, hi) in enumerate(zip(*(part.tolist() for part in score), strict=True)):
                given = {"value": number(value), "lo": number(lo), "hi": number(hi), "nulls": nulls[unit]}
                rows.append(evidence_row(first + k * units + unit, check, measure, documents) | given | _said(value))
        if asserted.away is not None:
            rows += _away_rows(asserted.away, first + k * units)
    for name in SHARES:
        for unit, value in enumerate(getattr(found.shares, name).astype(float).tolist()):
            row = evidence_row(first + unit, "description", f"token_{name}", 0)
            rows.append(row | {"value": number(value), "reason": "of the unit, on the fit documents"} | _said(value))
    return rows


def _away_rows(away: Away, first: int) -> Rows:
    """The scores on other text."""
    rows: Rows = []
    for measure in (*MEASURES, "drop"):
        score = away.drop if measure == "drop" else getattr(away.scores, measure)
        for unit, (value, lo, hi) in enumerate(zip(*(part.tolist() for part in score), strict=True)):
            row = evidence_row(first + unit, CHECK, f"also_{measure}", away.documents)
            row |= {"value": number(value), "lo": number(lo), "hi": number(hi)} | _said(value)
            if measure == "r":
                row["nulls"] = json.dumps({name: number(float(v[unit])) for name, v in away.nulls.items()})
                row["references"] = json.dumps({name: number(float(v[unit])) for name, v in away.references.items()})
            rows.append(row)
    return rows


def _said(value: float) -> dict[str, Any]:
    return {"unscored": UNDEFINED if np.isnan(value) else None}


def _nulls(asserted: Asserted, measure: str, constant: NDArray[np.float64]) -> list[str]:
    by_name = {"constant": constant} | {name: found[measure] for name, found in asserted.nulls.items()}
    columns = {name: np.round(values, 6).tolist() for name, values in by_name.items()}
    return [
        json.dumps({name: values[i] for name, values in columns.items() if not np.isnan(values[i])})
        for i in range(len(constant))
    ]


def evidence_row(claim: int, check: str, measure: str, documents: int) -> dict[str, Any]:
    """A row of the evidence table with nothing in it yet."""
    empty = dict.fromkeys(("value", "lo", "hi", "d", "d_lo", "d_hi", "p_support", "p_refute", "verdict", "unscored"))
    fixed = {"nulls": "{}", "references": "{}", "reason": "", "version": SCORES_VERSION}
    return {"claim": claim, "check": check, "measure": measure, "n": documents} | empty | fixed


def settled(found: LayerFound) -> dict[str, NDArray[Any]]:
    """What the verdicts need of each claim, by kind of claim and name: (u,) each, or (u, k)."""
    arrays: dict[str, NDArray[Any]] = {"documents": np.array([found.grounds.documents])}
    arrays["single_token"] = found.shares.is_single
    for kind in KINDS:
        asserted = found.asserted[EXPLAINERS[0] if kind == "control" else kind]
        checks = found.controls if kind == "control" else asserted.checks
        arrays |= {f"{kind}.{name}": values for name, values in _check_arrays(checks, found).items()}
        if kind != "control":
            arrays |= {f"{kind}.reference.{name}": values for name, values in asserted.references.items()}
            arrays[f"{kind}.rank"] = asserted.ranks
            if asserted.away is not None:
                arrays[f"{kind}.also_r"] = asserted.away.scores.r.value
            arrays[f"{kind}.bits"] = np.array([explanation.bits for explanation in asserted.explanations])
    return arrays


def _check_arrays(checks: ManyChecks, found: LayerFound) -> dict[str, NDArray[Any]]:
    differences = many_differences(checks, found.grounds)
    return {
        "r": np.stack(checks.r, axis=1),
        "nulls": np.stack([np.zeros(len(checks.se)), checks.shuffled, checks.other_unit], axis=1),
        "d": np.array([(x.d, x.lo, x.hi, x.p_support, x.p_refute) for x in differences], np.float64),
        "null": np.array([NULLS.index(x.null) for x in differences], np.int64),
        "reasons": np.array([json.dumps(x.reasons) for x in differences]),
    }


def differences(arrays: Mapping[str, NDArray[Any]], kind: str) -> list[Difference]:
    """What :func:`settled` kept, as the referee judges it."""
    parts = (arrays[f"{kind}.d"].tolist(), arrays[f"{kind}.null"].tolist(), arrays[f"{kind}.reasons"].tolist())
    return [
        Difference(d, lo, hi, support, refute, NULLS[null], tuple(json.loads(reasons)))
        for (d, lo, hi, support, refute), null, reasons in zip(*parts, strict=True)
    ]
