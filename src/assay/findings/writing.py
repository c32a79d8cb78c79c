"""Everything that an experiment found, into its run's directory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from assay.findings.figure import figure_json, figure_svg
from assay.findings.page import build_page
from assay.store import RunWriter

VERSION = 1
_SCORES = ("value", "lo", "hi", "d", "d_lo", "d_hi", "p_support", "p_refute")


def write_run(writer: RunWriter, result: Mapping[str, Any]) -> None:
    """The findings as claims with their evidence, the result, the figure and the page."""
    name = result["experiment"] or writer.spec["verb"]
    findings: list[Mapping[str, Any]] = result["findings"]
    writer.table("claims", [_claim(i, name, one) for i, one in enumerate(findings)])
    writer.table("evidence", [row for i, one in enumerate(findings) for row in _evidence(i, one)])
    writer.result(result)
    if result["panels"]:
        writer.file("figure.json", figure_json(result))
        writer.file("figure.svg", figure_svg(result))
    writer.file("page.html", build_page(writer.spec, result))


def _claim(number: int, experiment: str, one: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "claim": number,
        "unit": one["unit"],
        "explainer": experiment,
        "version": VERSION,
        "role": "claim",
        "text": one["claim"],
        "rules": json.dumps({"kind": "concept", "published": one["published"]}),
        "lines": "[]",
        "bits": 0.0,
        "calibration": "{}",
        "rival": "",
        "threshold": None,
    }


def _evidence(number: int, one: Mapping[str, Any]) -> list[dict[str, Any]]:
    common = {"claim": number, "n": one["n"], "reason": one["reason"], "version": VERSION}
    score = common | {
        "check": "concept",
        "measure": one["measure"],
        **{name: one[name] for name in _SCORES},
        "nulls": json.dumps({name: value for name, value in one["nulls"].items() if value is not None}),
        "references": json.dumps({name: value for name, value in one["references"].items() if value is not None}),
        "verdict": one["verdict"],
        "unscored": None if one["value"] is not None else one["unscored"] or one["reason"],
    }
    verdict = common | {
        "check": "claim",
        "measure": "concept",
        **dict.fromkeys(_SCORES),
        "nulls": "{}",
        "references": "{}",
        "verdict": one["verdict"],
        "unscored": None,
    }
    return [score, verdict]
