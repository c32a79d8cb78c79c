"""Whole layers: every unit of the planted model, its tables, and a run that is broken off and taken up again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from assay.cli.app import run as cli
from assay.cli.numbers import interval_text, score_text
from assay.core.ids import SiteId, UnitId
from assay.errors import UsageError
from assay.explain.experiment import ExplainOutcome, ExplainRequest, explain
from assay.explain.material import WHOLE_SHARES, gather_material
from assay.explain.whole.compare import compare_runs, comparison_figure, comparison_json
from assay.explain.whole.scope import whole_scope
from assay.explain.whole.sketches import LEVELS, NATURAL
from assay.explain.whole.verdicts import mean_beside_null
from assay.model.twins import twin
from assay.record import stream
from assay.rules import Lookup, RuleList
from assay.stats import correlate, document_index, document_weights
from assay.store import open_run
from assay.store.entries import entries
from assay.testing import Planted
from explain.bench import planted_text

TOKENS = 24_000
REQUEST = ExplainRequest(units="all", tokens=TOKENS, rules=3, sample=2)
CONTRACT = {
    *("unit", "explainer", "explanation", "rules", "bits", "r", "r_lo", "r_hi", "r_pos", "r_neg", "r_context", "f1"),
    *("auprc", "nulls", "references", "rank", "rank_of", "behaviour", "behaviour_lo", "behaviour_hi"),
    *("behaviour_nulls", "unscored", "verdict", "reason", "also"),
}


class Broken(Exception):
    """The process died here."""


def run(model: Planted, out: Path, stop_at: str | None = None, **changes: Any) -> ExplainOutcome:
    def progress(message: str, share: float | None = None) -> None:
        if stop_at is not None and message.startswith(stop_at):
            raise Broken(message)

    request = ExplainRequest(**{**REQUEST.__dict__, "out": str(out), **changes})
    return explain(request, progress, subject=model.subject, corpus=planted_text())


@pytest.fixture(scope="module")
def outcome(model: Planted, tmp_path_factory: pytest.TempPathFactory) -> ExplainOutcome:
    return run(model, tmp_path_factory.mktemp("whole"))


def test_every_unit_of_every_layer_has_its_claims(model: Planted, outcome: ExplainOutcome) -> None:
    stored = open_run(str(outcome.run_path))
    subject = model.subject
    widths = [subject.width(SiteId(layer, "mlp_act")) for layer in range(subject.n_layers)]
    units = stored.table("units")["unit"].to_pylist()
    assert units == [f"L{layer}.mlp_act:{i}" for layer, width in enumerate(widths) for i in range(width)]
    claims = stored.table("claims").to_pandas()
    assert claims["claim"].tolist() == list(range(3 * sum(widths)))
    assert claims.groupby(["explainer", "role"]).size().to_dict() == {
        ("rules", "claim"): sum(widths),
        ("rules", "control"): sum(widths),
        ("lookup", "claim"): sum(widths),
    }
    summary = outcome.result["summary"]
    assert summary["units"] == sum(widths)
    assert [row["layer"] for row in summary["per_layer"]] == list(range(subject.n_layers))
    assert {"layer", "mean_r", "median_r", "predicts"} <= set(summary["per_layer"][0])
    assert sum(summary["verdicts"]["rules"].values()) == sum(widths)
    assert summary["behaviour_sample"] == 2


def test_a_score_is_that_of_the_stored_explanation(model: Planted, outcome: ExplainOutcome) -> None:
    """Oracle: the explanation read back, predicted and correlated one by one, by the main job's own functions."""
    material = gather_material(model.subject, planted_text(), TOKENS, 0, WHOLE_SHARES)
    part, site = material.test, SiteId(1, "mlp_act")
    real = np.zeros((part.table.n_tokens, model.subject.width(site)), np.float32)
    for block in stream(model.subject, part.table, [site]):
        real[block.flat] = block.activations[site]
    where = document_index(part.table.flat_documents[part.scored])
    weights = document_weights(where.n_documents, 1000, 0)
    stored = open_run(str(outcome.run_path))
    rules = {
        row["unit"]: row for row in stored.rows("claims") if row["role"] == "claim" and row["explainer"] == "rules"
    }
    tables = {row["unit"]: row for row in stored.rows("claims") if row["explainer"] == "lookup"}
    checked = 0
    for entry in entries(stored, [f"{site}:{i}" for i in range(12)]):
        own = (rules if entry["explainer"] == "rules" else tables)[entry["unit"]]
        kind = RuleList if entry["explainer"] == "rules" else Lookup
        predicted = kind.from_json(json.loads(own["rules"])).predict(part.full_view)[part.scored]
        activation = real[part.scored, UnitId.parse(entry["unit"]).index].astype(np.float64)
        expected = correlate(predicted.astype(np.float64), activation, where.of_token, weights)
        if np.isnan(expected.value):
            assert entry["r"] is None
            continue
        low, high = expected.interval()[1:]
        assert entry["r"] == pytest.approx(expected.value, abs=1e-5)
        assert (entry["r_lo"], entry["r_hi"]) == pytest.approx((low, high), abs=1e-4)
        checked += 1
    assert checked > 12


def test_planted_neurons_are_found(model: Planted, outcome: ExplainOutcome) -> None:
    names = [str(unit) for unit in model.units("lexical")]
    found = {e["unit"]: e for e in entries(open_run(str(outcome.run_path)), names) if e["explainer"] == "rules"}
    assert np.mean([entry["r"] > 0.8 for entry in found.values()]) > 0.9
    assert np.mean([entry["rank"] == 1 for entry in found.values()]) > 0.9
    assert np.mean([entry["verdict"] in ("predicts", "supported") for entry in found.values()]) > 0.8


def test_natural_samples_are_the_activations_on_the_stored_text(model: Planted, outcome: ExplainOutcome) -> None:
    """Each site's values, run again on the stored windows; and they are a part of what the quantiles are of."""
    stored, subject = open_run(str(outcome.run_path)), model.subject
    text = stored.tensors("sample")
    ids, positions = torch.as_tensor(text["ids"]), text["positions"]
    assert text["ids"].shape == (NATURAL, 64)
    assert text["ids"].dtype == np.int32
    assert len({(tuple(row), at) for row, at in zip(text["ids"].tolist(), positions.tolist(), strict=True)}) == NATURAL
    assert positions.min() > 0
    assert not np.isin(text["ids"][np.arange(NATURAL), positions], [*subject.special_ids, -1]).any()
    fit = gather_material(subject, planted_text(), TOKENS, 0, WHOLE_SHARES).fit
    windows = {(int(d), tuple(row)) for d, row in zip(fit.table.documents, fit.table.ids.tolist(), strict=True)}
    assert {(int(d), tuple(row)) for d, row in zip(text["documents"], text["ids"].tolist(), strict=True)} <= windows
    sites = [SiteId(layer, "mlp_act") for layer in range(subject.n_layers)]
    seen = subject.activations(ids.clamp(min=0).long(), (ids >= 0).long(), sites)
    for site in sites:
        own = stored.tensors(f"exemplars-{site}")
        values, quantiles = own["sample_values"], own["quantiles"]
        assert values.dtype == np.float16
        assert values.shape == (subject.width(site), NATURAL)
        expected = seen[site][np.arange(NATURAL), positions].T
        assert values == pytest.approx(expected.numpy(), rel=2e-3, abs=2e-3)
        assert own["quantile_levels"] == pytest.approx(LEVELS)
        assert quantiles.shape == (subject.width(site), 33)
        assert (np.diff(quantiles, axis=1) >= 0).all()
        assert (values.min(1) >= quantiles[:, 0] - 2e-3).all()
        assert (values.max(1) <= quantiles[:, -1] + 2e-3).all()
        units = stored.table("units").to_pandas().query(f"layer == {site.layer}")
        assert quantiles[:, LEVELS.index(0.5)] == pytest.approx(units["q50"].to_numpy(), abs=1e-6)
        assert quantiles[:, LEVELS.index(0.01)] == pytest.approx(units["q01"].to_numpy(), abs=1e-6)
        rate = units["firing_rate"].to_numpy()  # the share above 0, as in a run of some units
        assert rate == pytest.approx((values > 0).mean(1), abs=0.15)
        assert rate.max() > 0.05


def test_entries_keep_the_contract(outcome: ExplainOutcome) -> None:
    every = list(entries(open_run(str(outcome.run_path))))
    assert {frozenset(entry) for entry in every} == {frozenset(CONTRACT)}
    tested = [entry for entry in every if entry["behaviour"] is not None]
    assert len({entry["unit"] for entry in tested}) == 2
    for entry in every:
        missing = {name for name in ("r", "r_context", "f1", "auprc", "behaviour", "rank") if entry[name] is None}
        assert missing <= set(entry["unscored"])


def test_means_stand_beside_the_means_of_their_best_nulls(outcome: ExplainOutcome) -> None:
    summary = outcome.result["summary"]
    own = [e for e in entries(open_run(str(outcome.run_path))) if e["explainer"] == "rules" and e["r"] is not None]
    for row, layer in [(summary, None), *((row, row["layer"]) for row in summary["per_layer"])]:
        units = [entry for entry in own if layer is None or entry["unit"].startswith(f"L{layer}.")]
        r = np.array([entry["r"] for entry in units])
        assert row["mean_r"] == pytest.approx(r.mean())
        assert row["mean_null"] == pytest.approx(np.mean([max(entry["nulls"].values()) for entry in units]))
        again = r[np.random.default_rng(3).integers(len(r), size=(20_000, len(r)))].mean(axis=1)
        expected = np.quantile(again, (0.025, 0.975))
        assert (row["mean_r_lo"], row["mean_r_hi"]) == pytest.approx(expected, abs=0.1 * np.diff(expected).item())


def test_few_units_have_a_mean_and_no_interval() -> None:
    r, nulls = np.array([0.5, np.nan, 0.3]), np.array([[0, 0.1, 0.05], [0, 0.9, 0.9], [0, -0.1, np.nan]])
    found = mean_beside_null(r, nulls)
    assert found == {"mean_r": pytest.approx(0.4), "mean_r_lo": None, "mean_r_hi": None, "mean_null": 0.05}
    assert set(mean_beside_null(r * np.nan, nulls).values()) == {None}


def test_what_is_printed_and_drawn_is_what_was_found(
    outcome: ExplainOutcome, capsys: pytest.CaptureFixture[str]
) -> None:
    stored, summary = open_run(str(outcome.run_path)), outcome.result["summary"]
    assert cli(["show", str(outcome.run_path)]) == 0
    said = capsys.readouterr().out
    page = stored.file("page.html").read_text()
    assert max(map(len, said.splitlines())) <= 100
    for row in summary["per_layer"]:
        mean, null, median = (score_text(row[name]) for name in ("mean_r", "mean_null", "median_r"))
        shares = [f"{row[name] / row['units']:.0%}" for name in ("above_lookup", "predicts")]
        references = [score_text(row["references"][name]) for name in ("lookup", "bigram_full")]
        [line] = [line.split() for line in said.splitlines() if line.split()[:1] == [str(row["layer"])]]
        assert [line[1], *line[3:]] == [mean, null, median, *references, *shares]
        bounds = f"{row['mean_r_lo']:.2f} to {row['mean_r_hi']:.2f}, over units"
        assert f'title="{bounds}">{row["mean_r"]:.2f}</td><td class="n">{row["mean_null"]:.2f}</td>' in page
    bounds = interval_text(summary["mean_r_lo"], summary["mean_r_hi"])
    means = f"{score_text(summary['mean_r'])} {bounds}, of their best nulls {score_text(summary['mean_null'])}"
    assert f"{summary['units']} units, mean r {means}; behaviour tested on 2 at random" in said
    own = [entry for entry in entries(stored) if entry["explainer"] == "rules"]
    drawn = [entry for entry in own if f"{entry['unit']}  r {score_text(entry['r'])} [" in said]
    assert len(drawn) == 5
    for entry in drawn:
        null = score_text(max(entry["nulls"].values()))
        assert f"{interval_text(entry['r_lo'], entry['r_hi'])}, best null {null}  {entry['verdict']}" in said
    lines = json.loads(stored.file("figure.json").read_text())["vconcat"][0]["layer"][3]["data"]["values"]
    drawn_nulls = [point["r"] for point in lines if point["series"] == "best null"]
    assert drawn_nulls == [row["mean_null"] for row in summary["per_layer"]]


def test_json_of_a_whole_run_is_the_contract(outcome: ExplainOutcome, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(["show", str(outcome.run_path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["units"] == list(entries(open_run(str(outcome.run_path))))
    assert said["summary"] == json.loads(json.dumps(outcome.result["summary"]))


@pytest.mark.parametrize("stop_at", ["layer 0: testing", "layer 1: recording", "layer 1: learning", "replacing"])
def test_a_run_that_was_broken_off_is_taken_up(
    model: Planted, outcome: ExplainOutcome, tmp_path: Path, stop_at: str
) -> None:
    with pytest.raises(Broken):
        run(model, tmp_path, stop_at)
    [left] = tmp_path.iterdir()
    assert not (left / "done.json").exists()
    (left / "tensors").mkdir(exist_ok=True)
    (left / "tensors" / ".tmpa1B2c3").touch()  # as a kill within a write leaves it
    again = run(model, tmp_path)
    assert again.run_path == left
    assert not (left / "work").exists()
    assert not list(left.rglob(".*tmp*"))
    whole, stored = open_run(str(outcome.run_path)), open_run(str(left))
    for name in ("units", "claims", "evidence", "tokens", "neighbours"):
        assert stored.table(name).equals(whole.table(name))
    for name in [name for name in whole.files if name.startswith("tensors/")]:
        assert stored.files[name] == whole.files[name]


def test_another_request_is_not_taken_up(model: Planted, tmp_path: Path) -> None:
    with pytest.raises(Broken):
        run(model, tmp_path, "layer 1: recording")
    run(model, tmp_path, units="L0.mlp_act:all", sample=0, behaviour=False)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("units", "said"),
    [
        ("all,L1.mlp_act:3", "mixes whole layers with single units"),
        ("L1.resid_post:all", "whole layers are explained at mlp_act only"),
    ],
)
def test_what_is_not_a_whole_layer(model: Planted, units: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        whole_scope(units, model.subject)


def test_scope(model: Planted) -> None:
    assert whole_scope("L1.mlp_act:3,spread2", model.subject) is None
    found = whole_scope("L1.mlp_act:all, L0.mlp_act:all", model.subject)
    assert found is not None
    assert list(found.sites) == [SiteId(0, "mlp_act"), SiteId(1, "mlp_act")]


@pytest.fixture(scope="module")
def twin_outcome(model: Planted, tmp_path_factory: pytest.TempPathFactory) -> ExplainOutcome:
    """The planted model with every weight matrix shuffled."""
    other = twin(model.subject, "shuffled", 0)
    request = ExplainRequest(**{**REQUEST.__dict__, "behaviour": False, "out": str(tmp_path_factory.mktemp("twin"))})
    return explain(request, subject=other, corpus=planted_text())


def test_trained_minus_twin(outcome: ExplainOutcome, twin_outcome: ExplainOutcome) -> None:
    one, other = (open_run(str(found.run_path)) for found in (outcome, twin_outcome))
    found = compare_runs(one, other)
    means = {}
    for run_ in (one, other):
        values = [entry["r"] for entry in entries(run_) if entry["explainer"] == "rules" and entry["r"] is not None]
        means[run_.id] = float(np.mean(values))
    everything = found.overall[0]
    assert everything.stratum == "all"
    assert everything.trained == pytest.approx(means[one.id])
    assert everything.twin == pytest.approx(means[other.id])
    assert everything.difference.value == pytest.approx(means[one.id] - means[other.id])
    single, rest = found.overall[1:]
    assert single.n_trained + rest.n_trained == everything.n_trained
    assert set(found.by_layer) == {0, 1, 2}
    assert comparison_figure(found).svg.startswith("<svg")
    assert json.loads(json.dumps(comparison_json(found), allow_nan=False))["overall"][0]["stratum"] == "all"


def test_runs_of_other_text_are_not_compared(outcome: ExplainOutcome, model: Planted, tmp_path: Path) -> None:
    other = run(model, tmp_path, tokens=20_000, behaviour=False)
    with pytest.raises(UsageError, match="not of the same text"):
        compare_runs(open_run(str(outcome.run_path)), open_run(str(other.run_path)))


def test_only_runs_of_whole_layers_are_compared(outcome: ExplainOutcome, model: Planted, tmp_path: Path) -> None:
    request = ExplainRequest(**{**REQUEST.__dict__, "units": "L1.mlp_act:3", "out": str(tmp_path)})
    few = explain(request, subject=model.subject, corpus=planted_text())
    with pytest.raises(UsageError, match=f"run {few.run_path.name} is not one of whole layers"):
        compare_runs(open_run(str(outcome.run_path)), open_run(str(few.run_path)))
