"""Heads, directions and coordinates of the residual go through the whole lab like neurons."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from assay.core.direction import Direction
from assay.core.ids import SiteId, UnitId
from assay.errors import UsageError
from assay.explain.experiment import ExplainOutcome, ExplainRequest, explain
from assay.explain.verdicts import recompute
from assay.model import Subject, load
from assay.model.large import is_spread
from assay.store import Run, open_run
from assay.testing import Planted
from caching import own_cache
from explain.bench import planted_text

TWIN = UnitId(SiteId(1, "mlp_act"), 3)
HEAD = "L1.head:2"
SITES = [SiteId(1, "mlp_out"), SiteId(1, "resid_post")]
REQUEST = ExplainRequest(explainers=("rules",), tokens=12_000, rules=2)


def fresh(model: Planted) -> Subject:
    """The planted subject without the directions that other tests made units."""
    return Subject.from_hf(model.subject.model, model.subject.tokenizer, name="planted")


@pytest.fixture(scope="module")
def others(model: Planted) -> list[str]:
    """A head, and at each of two sites the coordinate that varies most."""
    ids = torch.randint(2, 90, (4, 32), generator=torch.Generator().manual_seed(0))
    found = model.subject.activations(ids, None, SITES)
    return [HEAD, *(f"{site}:{int(found[site].flatten(0, 1).std(0).argmax())}" for site in SITES)]


@pytest.fixture(scope="module")
def outcome(model: Planted, others: list[str], tmp_path_factory: pytest.TempPathFactory) -> ExplainOutcome:
    """A head, coordinates, and a direction that is a neuron, seen at half its size from -1."""
    place = tmp_path_factory.mktemp("other")
    subject = fresh(model)
    vector = np.zeros(subject.width(TWIN.site), np.float32)
    vector[TWIN.index] = 1
    Direction(TWIN.site, vector, offset=-1.0, scale=0.5, provenance={"from": "a neuron"}).save(place / "same.json")
    units = ",".join([str(TWIN), f"{TWIN.site}:@{place}/same.json", *others])
    asked = dataclasses.replace(REQUEST, units=units, out=str(place / "runs"))
    return explain(asked, subject=subject, corpus=planted_text())


@pytest.fixture(scope="module")
def run(outcome: ExplainOutcome) -> Run:
    return open_run(outcome.run_path)


def entry(outcome: ExplainOutcome, unit: str) -> dict[str, Any]:
    return next(e for e in outcome.result["units"] if e["unit"] == unit)


def test_a_direction_that_is_a_neuron_has_its_values_and_its_scores(
    model: Planted, outcome: ExplainOutcome, run: Run
) -> None:
    neuron, same = (entry(outcome, unit) for unit in (str(TWIN), f"{TWIN.site}:@same"))
    targets = [row["unit"] for row in run.table("units").to_pylist() if row["role"] == "target"]
    values = run.tensors("test")["activations"]
    own, read = values[targets.index(str(TWIN))], values[targets.index(f"{TWIN.site}:@same")]
    np.testing.assert_allclose(read, 0.5 * (own + 1), rtol=1e-5, atol=1e-6)
    assert same["r"] == pytest.approx(neuron["r"], abs=0.02)
    assert same["behaviour"] == pytest.approx(neuron["behaviour"], abs=0.05)
    assert same["behaviour"] > 0.8
    assert {same["rank"], neuron["rank"]} <= {1, 2}
    assert same["rank_of"] == neuron["rank_of"] == model.subject.width(TWIN.site) + 1


def test_every_kind_of_unit_is_scored_on_both_sides(model: Planted, others: list[str], outcome: ExplainOutcome) -> None:
    for unit in others:
        found = entry(outcome, unit)
        assert found["r"] is not None, unit
        assert found["behaviour"] is not None, unit
        count = model.subject.units.count(UnitId.parse(unit).site)
        assert 1 <= found["rank"] <= found["rank_of"] == count


def test_heads_are_recorded_as_norms(run: Run) -> None:
    rows = {row["unit"]: row for row in run.table("units").to_pylist()}
    assert 0 <= rows[HEAD]["min"] < rows[HEAD]["max"]
    assert rows[HEAD]["index"] == 2
    assert rows[f"{TWIN.site}:@same"]["index"] == -1


def test_the_run_holds_the_direction(run: Run) -> None:
    name = f"{TWIN.site}:@same"
    vector = run.tensors("directions")[name]
    assert vector[TWIN.index] == 1
    assert np.count_nonzero(vector) == 1
    described = run.spec["resolved"]["directions"][name]
    again = Direction(TWIN.site, vector, described["offset"], described["scale"])
    assert described["sha256"] == again.sha256
    assert described["provenance"] == {"from": "a neuron"}
    assert json.dumps(run.spec["subject"]["revision"]) == "null"


def test_verdicts_come_again_from_what_is_stored(run: Run) -> None:
    again = recompute(run)
    assert again
    assert all(found.recomputed == found.stored for found in again)


@pytest.mark.parametrize(
    ("units", "message"),
    [
        ("L1.head:6", "'L1.head:6' is out of range; L1.head has units 0 to 5"),
        ("L1.resid_post:@nowhere.json", "can't read nowhere.json"),
        ("L1.resid_post:@nowhere", "nowhere must end in .safetensors or .json"),
    ],
)
def test_units_that_do_not_exist(model: Planted, units: str, message: str, tmp_path: Path) -> None:
    asked = dataclasses.replace(REQUEST, units=units, out=str(tmp_path))
    with pytest.raises(UsageError) as caught:
        explain(asked, subject=fresh(model), corpus=planted_text())
    assert message in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_lies_on_disk_is_explained_alike(
    model: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bit, if behaviour takes whole passes for both: on disk it always does."""
    monkeypatch.setenv("ASSAY_CACHE", own_cache(tmp_path / "cache"))
    monkeypatch.setattr("assay.model.changes.computes_bf16", lambda device: False)
    model.subject.model.save_pretrained(tmp_path / "model")
    model.subject.tokenizer.save_pretrained(tmp_path / "model")
    spread = load(tmp_path / "model", dtype="fp32", device="auto", max_memory={"cpu": 100_000})
    assert is_spread(spread.model)
    asked = dataclasses.replace(REQUEST, units="L1.mlp_act:0,L1.head:2", out=str(tmp_path / "runs"))
    found, plain = (explain(asked, subject=s, corpus=planted_text()).result["units"] for s in (spread, fresh(model)))
    assert [entry["behaviour"] for entry in found] != [None] * len(found)
    assert found == plain
