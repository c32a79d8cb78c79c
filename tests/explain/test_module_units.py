"""The outputs of a module as units: explained, steered and held against the claims of others, like neurons."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from assay.errors import UsageError
from assay.explain.checking import check_claims
from assay.explain.experiment import ExplainOutcome, ExplainRequest, explain
from assay.explain.related.experiment import RelatedRequest, related
from assay.explain.verdicts import recompute
from assay.store import open_run
from assay.testing import Planted
from explain.bench import planted_text, true_rules

UP = "L1.module.mlp.up_proj"  # the gates of the planted neurons are open, so that this is what they do


@pytest.fixture(scope="module")
def outcome(model: Planted, tmp_path_factory: pytest.TempPathFactory) -> ExplainOutcome:
    place = tmp_path_factory.mktemp("modules")
    truths = {str(unit): true_rules(truth) for unit, truth in model.truths.items() if unit.site.layer == 1}
    rows = [
        {"unit": f"{UP}:0", "rules": truths["L1.mlp_act:0"].to_json()["rules"]},
        {"unit": f"{UP}:3", "rules": truths["L1.mlp_act:0"].to_json()["rules"]},  # a lie
        {"unit": "L1.module.mlp.up_prj:0", "sentence": "It fires on cats."},
        {"unit": f"{UP}:4000", "sentence": "It fires on cats."},
    ]
    (place / "claims.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    request = ExplainRequest(explainers=("rules", "lookup"), tokens=24_000, rules=3, out=str(place))
    return check_claims(str(place / "claims.jsonl"), request, subject=model.subject, corpus=planted_text())


def test_claims_about_them_are_tested_and_what_is_learnt_of_them_is_true(outcome: ExplainOutcome) -> None:
    found = {(e["unit"], e["explainer"]): e for e in outcome.result["units"]}
    true, lie, learnt = found[f"{UP}:0", "written"], found[f"{UP}:3", "written"], found[f"{UP}:0", "rules"]
    assert true["verdict"] == learnt["verdict"] == "supported"
    assert min(true["r"], learnt["r"]) > 0.95
    assert min(true["behaviour"], learnt["behaviour"]) > 0.9
    assert lie["verdict"] == "refuted"
    assert true["rank"] == 1
    refused = {row["where"]: row["reason"] for row in outcome.result["refused"]}
    assert "did you mean 'mlp.up_proj'" in refused["line 3"]
    assert "out of range" in refused["line 4"]


def test_one_that_is_a_known_site_gets_that_site_s_figures(model: Planted, tmp_path: Path) -> None:
    """The last matrix of the MLP gives ``mlp_out``; only the neighbours that nulls are drawn from may be others."""
    request = ExplainRequest(explainers=("rules", "lookup"), tokens=14_000, rules=2, out=str(tmp_path))
    found = [
        explain(replace(request, units=f"{site}:5,{site}:9"), subject=model.subject, corpus=planted_text()).result
        for site in ("L1.mlp_out", "L1.module.mlp.down_proj")
    ]
    for known, own in zip(*(result["units"] for result in found), strict=True):
        for name in ("r", "r_lo", "r_hi", "f1", "behaviour", "explanation", "rank"):
            assert own[name] == known[name], name
    for known, own in zip(*(result["outputs"] for result in found), strict=True):
        for name in ("dose", "effect", "promoted", "suppressed", "r", "ceiling"):
            assert own[name] == known[name], name


def test_the_run_is_like_any_other(outcome: ExplainOutcome) -> None:
    stored = open_run(outcome.run_path)
    assert [row for row in recompute(stored) if row.stored != row.recomputed] == []
    assert {row["kind"] for row in stored.rows("units")} == {"module.mlp.up_proj"}
    assert f"{UP}:0" in stored.file("page.html").read_text(encoding="utf-8")


def test_what_stands_around_them_is_not_known(model: Planted, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is the output of a module; give a neuron"):
        related(RelatedRequest(f"{UP}:0", out=str(tmp_path)), subject=model.subject, corpus=planted_text())
