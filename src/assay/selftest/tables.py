"""What a selftest stores beside its result: its units, everything that was said of them, and what that scored."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from assay.explain.evidence import score_row
from assay.rules import RuleList
from assay.selftest.bench import Bench
from assay.selftest.candidates import EXTRA, MISSING, TRUTH, told
from assay.selftest.sanity import Examined
from assay.selftest.scores import SCORES
from assay.stats import Interval
from assay.testing import Exhibit

VERSION = 1
_CHANGED = {
    MISSING: "The truth, each of its firings left out with a chance of one half.",
    EXTRA: "The truth, and as many firings again at random tokens.",
}


def unit_rows(bench: Bench) -> list[dict[str, Any]]:
    """The units table: what each exhibit did on the fit split."""
    return [_unit_row(bench, exhibit) for exhibit in bench.gallery.exhibits]


def _unit_row(bench: Bench, exhibit: Exhibit) -> dict[str, Any]:
    values, unit = bench.of(exhibit, "fit").astype(np.float64), exhibit.unit
    mean, sd = float(values.mean()), float(values.std())
    standard = (values - mean) / sd
    q01, q50, q99 = (float(q) for q in np.quantile(values, [0.01, 0.5, 0.99]))
    moments = {"mean": mean, "sd": sd, "skew": float((standard**3).mean()), "kurtosis": float((standard**4).mean() - 3)}
    return {
        "unit": str(unit),
        "layer": unit.site.layer,
        "kind": unit.site.kind,
        "index": unit.number,
        "count": values.size,
        **moments,
        **{"min": float(values.min()), "max": float(values.max()), "q01": q01, "q50": q50, "q99": q99},
        "firing_rate": firing_rate(bench, exhibit),
        "role": "target",
    }


def firing_rate(bench: Bench, exhibit: Exhibit) -> float:
    """Share of the tokens of the test split at which an exhibit's truth is above one half, either way."""
    part = bench.parts["test"]
    return float((np.abs(exhibit.truth.predict(part.full_view)[part.scored]) > 0.5).mean())


def claim_tables(bench: Bench, examined: Examined) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The claims table, a row a candidate, and the evidence table, a row a score of it.

    A candidate's name stands as its explainer; the truth has the role "claim", all others that of a control. The text
    is the sentence, so that a judge can be asked what the rules were asked here.
    """
    claims: list[dict[str, Any]] = []
    evidence: list[dict[str, Any]] = []
    documents = bench.weights.shape[1]
    for exhibit, lines in examined.lines.items():
        for name, (line, threshold) in lines.items():
            number = len(claims)
            text, rules = _told(exhibit, name)
            claims.append(
                {
                    "claim": number,
                    "unit": str(exhibit.unit),
                    "explainer": name,
                    "version": VERSION,
                    "role": "claim" if name == TRUTH else "control",
                    "text": text,
                    "rules": json.dumps(rules.to_json() if rules else {"kind": "function"}, ensure_ascii=False),
                    "lines": json.dumps(rules.lines() if rules else [], ensure_ascii=False),
                    "bits": float(rules.bits) if rules else 0.0,
                    "calibration": json.dumps(line._asdict()),
                    "rival": "",
                    "threshold": threshold,
                }
            )
            for score in SCORES:
                found = examined.scores[exhibit][name].get(score)
                if found is not None:
                    shown = found.interval() if found.replicates.size else Interval(found.value, np.nan, np.nan)
                    row = score_row(number, "selftest", score, shown, documents, version=VERSION)
                    evidence.append(row)
    return claims, evidence


def _told(exhibit: Exhibit, name: str) -> tuple[str, RuleList | None]:
    """The sentence and the rules of a candidate; labels changed at random have no rules."""
    said = told(exhibit).get(name)
    return (_CHANGED[name], None) if said is None else (said.sentence, said.rules)
