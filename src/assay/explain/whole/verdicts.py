"""The verdicts of a whole run: once every layer is in, all claims are judged together."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.core.ids import SiteId
from assay.explain.elsewhere import FEWEST_UNITS
from assay.explain.evidence import number
from assay.explain.whole.layer import EXPLAINERS
from assay.explain.whole.shards import Shard, Shards
from assay.explain.whole.tables import KINDS, Rows, differences, evidence_row
from assay.referee import (
    BEHAVIOUR_VERSION,
    PREDICTION_VERSION,
    BehaviourCheck,
    CheckVerdict,
    ClaimVerdict,
    Judgement,
    combine,
)
from assay.referee.many import NULLS
from assay.referee.verdict import CheckInput, judge_check, judge_differences
from assay.stats.strata import mean_over_units

REFERENCES = ("lookup", "bigram", "lookup_full", "bigram_full")
NOT_RUN = "not run: behaviour is tested on a random sample"


class Verdicts(NamedTuple):
    """Every claim's verdict by its number, and the two checks they rest on."""

    prediction: Judgement[int]
    behaviour: Judgement[int] | None
    behaviours: Mapping[int, BehaviourCheck]
    overall: Mapping[int, ClaimVerdict]


def numbered(sites: Sequence[SiteId], width: int) -> Iterator[tuple[SiteId, str, int]]:
    """Each site and kind of claim with the number of its first claim."""
    for i, site in enumerate(sites):
        for k, kind in enumerate(KINDS):
            yield site, kind, (i * len(KINDS) + k) * width


def judge_all(
    shards: Shards, sites: Sequence[SiteId], width: int, behaviours: Mapping[int, BehaviourCheck]
) -> Verdicts:
    """Judge all claims of all layers by the referee's rule; the controls decide whether a check holds at all."""
    arrays = {site: shards.read(site).arrays for site in sites}
    own = {
        (kind == "control", first + i): difference
        for site, kind, first in numbered(sites, width)
        for i, difference in enumerate(differences(arrays[site], kind))
    }
    claims = {claim: difference for (control, claim), difference in own.items() if not control}
    controls = {claim: difference for (control, claim), difference in own.items() if control}
    prediction = judge_differences(claims, controls)
    by_behaviour = None
    if behaviours:
        checks = {
            claim: _also(check.check, own[claim in controls, claim].reasons) for claim, check in behaviours.items()
        }
        by_behaviour = judge_check(
            {claim: check for claim, check in checks.items() if claim not in controls},
            {claim: check for claim, check in checks.items() if claim in controls},
        )
    overall = {
        claim: combine(
            "explanation",
            {
                "prediction": prediction.claims[claim],
                "behaviour": by_behaviour.claims.get(claim) if by_behaviour else None,
            },
        )
        for claim in claims
    }
    return Verdicts(prediction, by_behaviour, behaviours, overall)


def _also(check: CheckInput, reasons: tuple[str, ...]) -> CheckInput:
    """What keeps a unit's activations from carrying a verdict keeps both checks of its claims undecided."""
    return replace(check, reasons=tuple(dict.fromkeys(reasons + check.reasons)))


def deciding_rows(shard: Shard, verdicts: Verdicts, width: int, first_of: Mapping[str, int]) -> Rows:
    """The rows of the evidence table that decide: r with its test, behaviour where it was run, and the verdicts."""
    arrays, documents, rows = shard.arrays, int(shard.arrays["documents"][0]), Rows()
    for kind in KINDS:
        r, nulls = arrays[f"{kind}.r"].tolist(), arrays[f"{kind}.nulls"].tolist()
        for unit in range(width):
            claim = first_of[kind] + unit
            control = kind == "control"
            check = (verdicts.prediction.controls if control else verdicts.prediction.claims)[claim]
            references = {} if control else _references(arrays, kind, unit)
            row = evidence_row(claim, "prediction", "r", documents) | tested(check) | {"version": PREDICTION_VERSION}
            row |= dict(zip(("value", "lo", "hi"), map(number, r[unit]), strict=True))
            row["nulls"] = json.dumps({name: number(v) for name, v in zip(NULLS, nulls[unit], strict=True)})
            row["references"] = json.dumps(references)
            row["unscored"] = None if row["value"] is not None else "not defined on these tokens"
            rows.append(row)
            rows += _behaviour_rows(claim, verdicts)
            if not control:
                verdict = verdicts.overall[claim]
                given = {"verdict": str(verdict.verdict), "reason": verdict.reason}
                rows.append(evidence_row(claim, "claim", "verdict", documents) | given)
    return rows


def _references(arrays: Mapping[str, Any], kind: str, unit: int) -> dict[str, float | None]:
    return {name: number(float(arrays[f"{kind}.reference.{name}"][unit])) for name in REFERENCES}


def tested(check: CheckVerdict) -> dict[str, Any]:
    """The columns of a check that was judged."""
    names = ("d", "d_lo", "d_hi", "p_support", "p_refute")
    return {name: number(getattr(check, name)) for name in names} | {
        "verdict": str(check.verdict),
        "reason": check.reason,
    }


def _behaviour_rows(claim: int, verdicts: Verdicts) -> Rows:
    found = verdicts.behaviours.get(claim)
    if found is None or verdicts.behaviour is None:
        return []
    check = verdicts.behaviour.claims.get(claim) or verdicts.behaviour.controls[claim]
    row = evidence_row(claim, "behaviour", "behaviour", 0) | tested(check) | {"version": BEHAVIOUR_VERSION}
    row |= {name: number(getattr(found.score, part)) for name, part in (("value", "value"), ("lo", "lo"), ("hi", "hi"))}
    nulls = {"mean": 0.0} | {n: number(found.arms[n].value) for n in ("other_unit", "shuffled") if n in found.arms}
    row["nulls"] = json.dumps(nulls)
    if "noise_equal_r" in found.arms:
        row["references"] = json.dumps({"noise_equal_r": number(found.arms["noise_equal_r"].value)})
    row["unscored"] = None if row["value"] is not None else "not defined on these tokens"
    return [row]


def per_layer(shards: Shards, sites: Sequence[SiteId], verdicts: Verdicts, width: int) -> list[dict[str, Any]]:
    """The summary of each layer: of the first explainer's claims, and of what stands beside them."""
    firsts = {(site, kind): first for site, kind, first in numbered(sites, width)}
    out: list[dict[str, Any]] = []
    for site in sites:
        arrays, first = shards.read(site).arrays, firsts[site, EXPLAINERS[0]]
        r = arrays[f"{EXPLAINERS[0]}.r"][:, 0]
        kinds = [str(verdicts.overall[first + i].verdict) for i in range(width)]
        beside = {name: arrays[f"{EXPLAINERS[0]}.reference.{name}"] for name in REFERENCES}
        also = arrays.get(f"{EXPLAINERS[0]}.also_r")
        out.append(
            {
                "layer": site.layer,
                **mean_beside_null(r, arrays[f"{EXPLAINERS[0]}.nulls"]),
                "median_r": number(float(np.nanmedian(r))) if not np.isnan(r).all() else None,
                "quantiles_r": [number(float(q)) for q in np.nanquantile(r, (0.05, 0.25, 0.5, 0.75, 0.95))],
                "predicts": sum(kind in ("predicts", "supported") for kind in kinds),
                "verdicts": {kind: kinds.count(kind) for kind in sorted(set(kinds))},
                "units": width,
                "single_token": int(arrays["single_token"].sum()),
                "above_lookup": int((r > beside["lookup"]).sum()),
                "references": {name: _mean(values) for name, values in beside.items()},
                "also_mean_r": None if also is None else _mean(also),
                "rank_1": int((arrays[f"{EXPLAINERS[0]}.rank"] == 1).sum()),
            }
        )
    return out


def mean_beside_null(r: NDArray[np.float64], nulls: NDArray[np.float64]) -> dict[str, float | None]:
    """The mean r of units, with its interval over units where they are 20 or more, and the mean of their best nulls.

    Args:
        r: (u,) NaN where there is none.
        nulls: (u, k).
    """
    known = ~np.isnan(r)
    if not known.any():
        return dict.fromkeys(("mean_r", "mean_r_lo", "mean_r_hi", "mean_null"))
    mean = mean_over_units(r)
    lo, hi = (mean.lo, mean.hi) if known.sum() >= FEWEST_UNITS else (np.nan, np.nan)
    beside = float(np.nanmax(nulls[known], axis=1).mean())
    return {"mean_r": mean.value, "mean_r_lo": number(lo), "mean_r_hi": number(hi), "mean_null": beside}


def _mean(values: Any) -> float | None:
    return None if np.isnan(values).all() else number(float(np.nanmean(values)))
