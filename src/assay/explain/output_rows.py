"""The output claims of a run as rows of its tables, and as the JSON that the command prints."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from assay.explain.evidence import score_row, tested
from assay.explain.measured import number
from assay.explain.names import OUTPUTS, VERSIONS
from assay.explain.output_verdicts import EffectScores, JudgedOutputs, judge_outputs
from assay.explain.outputs import OutputClaim, Outputs
from assay.referee import EFFECT_VERSION
from assay.stats import Interval

CHECK = "effect"
NO_EFFECT = "there is no effect to be compared with"


@dataclass(frozen=True)
class OutputReport:
    """The output claims of a run with their verdicts; in the run's tables they are numbered from ``first``."""

    outputs: Outputs
    first: int
    seed: int

    @cached_property
    def judged(self) -> JudgedOutputs:
        """Scores and verdicts, by number of the claim."""
        return judge_outputs(self.claim_rows(), self.outputs.arrays, self.seed)

    def claim_rows(self) -> list[dict[str, Any]]:
        """Rows of the claims table."""
        return [_claim_row(i, claim) for i, claim in enumerate(self.outputs.claims, start=self.first)]

    def evidence_rows(self) -> list[dict[str, Any]]:
        """Rows of the evidence table: the score that decides, with its test, what stands beside it, the verdict."""
        rows: list[dict[str, Any]] = []
        for i, claim in enumerate(self.outputs.claims, start=self.first):
            scores = self.judged.scores[i]
            rows.append(_deciding_row(i, scores, self.judged))
            if claim.role == "claim":
                verdict = self.judged.overall[i]
                said = {"verdict": str(verdict.verdict), "reason": verdict.reason}
                rows += _other_rows(i, scores)
                rows.append(score_row(i, "claim", "verdict", None, scores.documents, **said) | {"unscored": None})
        return rows

    def entries(self) -> list[dict[str, Any]]:
        """``outputs`` of the JSON result: for each target the tokens, then the rules."""
        numbered = enumerate(self.outputs.claims, start=self.first)
        return [_entry(i, claim, self.judged) for i, claim in numbered if claim.role == "claim"]

    def _verdicts(self, form: str) -> Counter[str]:
        numbered = enumerate(self.outputs.claims, start=self.first)
        return Counter(
            str(self.judged.overall[i].verdict) for i, c in numbered if c.role == "claim" and c.writes.form == form
        )

    def summary(self) -> dict[str, Any]:
        """``outputs`` of the summary: how many tokens the claims are about, the verdicts, and the controls."""
        return {
            "tokens": self.outputs.tokens,
            "places": len(self.outputs.arrays["documents"]),
            "verdicts": {form: dict(self._verdicts(form)) for form in OUTPUTS},
            "controls": self.judged.effect.summary._asdict(),
        }


def _claim_row(i: int, claim: OutputClaim) -> dict[str, Any]:
    return {
        "claim": i,
        "unit": str(claim.unit),
        "explainer": claim.writes.form,
        "version": VERSIONS[claim.writes.form],
        "role": claim.role,
        "text": claim.writes.sentence(),
        "rules": json.dumps(claim.writes.to_json(), ensure_ascii=False),
        "lines": json.dumps(claim.writes.lines(), ensure_ascii=False),
        "bits": float(claim.writes.bits),
        "calibration": json.dumps({"dose": claim.dose}),
        "rival": str(claim.rival_unit),
        "threshold": None,
    }


def _deciding_row(i: int, scores: EffectScores, judged: JudgedOutputs) -> dict[str, Any]:
    given = scores.check.check
    beside = {
        "nulls": json.dumps({name: number(value) for name, value in given.nulls.items()}),
        "references": json.dumps({"table": number(scores.table), "lens": number(scores.lens)}),
    }
    row = score_row(i, CHECK, "effect_r", scores.check.score, scores.documents, version=EFFECT_VERSION, **beside)
    row |= tested(judged.check(i))
    return row | ({"unscored": _why(scores)} if row["unscored"] is not None else {})


def _other_rows(i: int, scores: EffectScores) -> list[dict[str, Any]]:
    n, none = scores.documents, math.nan
    plain = {"half_dose": scores.half, "direct_path_r": scores.direct_path, "effect": scores.effect}
    found = {"rise": scores.rise, "turned_down_r": scores.down, "ceiling": scores.check.ceiling}
    found |= {name: Interval(value, none, none) for name, value in plain.items()}
    rows = [score_row(i, CHECK, name, interval, n, version=EFFECT_VERSION) for name, interval in found.items()]
    rows[0]["nulls"] = json.dumps({"matched_norm": number(scores.rise_null)})
    return [row | ({"unscored": _why(scores)} if row["unscored"] is not None else {}) for row in rows]


def _why(scores: EffectScores) -> str:
    """Why a number is not there."""
    return "; ".join(scores.check.check.reasons) or NO_EFFECT


def _entry(i: int, claim: OutputClaim, judged: JudgedOutputs) -> dict[str, Any]:
    """One entry.

    ``promoted``, ``suppressed``: token and change of its logit on the fit split, nats. ``r``: correlation of the
    claimed change with the mean change over the tokens; ``ceiling``: what an r of 1 comes to at a single place.
    ``rise``: promoted less suppressed, nats, at the dose.
    """
    scores, verdict, writes = judged.scores[i], judged.overall[i], claim.writes
    check = scores.check.check
    rise = scores.rise if writes.rules.rules else Interval(math.nan, math.nan, math.nan)
    missing = [name for name, value in (("r", check.score), ("rise", rise.value)) if number(value) is None]
    return {
        "unit": str(claim.unit),
        "explainer": writes.form,
        "explanation": writes.sentence(),
        "promoted": [list(pair) for pair in writes.promoted],
        "suppressed": [list(pair) for pair in writes.suppressed],
        "rules": writes.lines(),
        "bits": round(float(writes.bits), 1),
        "dose": number(claim.dose),
        **_bounds("r", scores.check.score),
        "nulls": {name: number(value) for name, value in check.nulls.items()},
        "references": {"table": number(scores.table), "lens": number(scores.lens)},
        **_bounds("ceiling", scores.check.ceiling),
        **_bounds("rise", rise),
        "rise_nulls": {"matched_norm": number(scores.rise_null) if writes.rules.rules else None},
        **_bounds("turned_down_r", scores.down),
        "half_dose": number(scores.half),
        "direct_path_r": number(scores.direct_path),
        "effect": number(scores.effect),
        "noise": number(scores.noise),
        "unscored": {name: _why(scores) for name in missing},
        "verdict": str(verdict.verdict),
        "reason": verdict.reason,
    }


def _bounds(name: str, interval: Interval) -> dict[str, float | None]:
    return dict(zip((name, f"{name}_lo", f"{name}_hi"), map(number, interval), strict=True))
