"""The whole lab on the planted model: what it learns, what it writes, and what can be made of that later."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from assay.core.ids import UnitId
from assay.errors import RunError
from assay.explain.experiment import ExplainOutcome, ExplainRequest, explain
from assay.explain.material import gather_material
from assay.explain.names import OUTPUTS
from assay.explain.verdicts import ARMS, recompute
from assay.model.changes import arithmetic
from assay.store import open_run
from assay.testing import Planted
from explain.bench import planted_text, true_rules

NAMED = "L1.mlp_act:0-10"
TOKENS = 32_000
ENTRY = {
    *("unit", "explainer", "explanation", "rules", "bits", "r", "r_lo", "r_hi", "r_pos", "r_neg", "r_context", "f1"),
    *("auprc", "nulls", "references", "rank", "rank_of", "behaviour", "behaviour_lo", "behaviour_hi"),
    *("behaviour_nulls", "behaviour_over_noise", "unscored", "verdict", "reason", "tokens_scored", "same_tokens"),
    *("also", "detection", "fuzzing"),
}
SUMMARY = {
    *("units", "mean_r", "median_r", "verdicts", "controls", "tokens", "seconds", "forward_seconds", "peak_rss_mb"),
    *("dtype", "self", "prose", "said", "judge", "outputs", "also", "neighbours"),
}
REAL = (
    *("r", "r_lo", "r_hi", "r_pos", "r_neg", "r_context", "f1", "auprc"),
    *("behaviour", "behaviour_lo", "behaviour_hi"),
)
EXECUTED = ("rules", "lookup")
SMALL = ExplainRequest(units="L1.mlp_act:0,L1.mlp_act:3", explainers=EXECUTED, tokens=12_000, rules=2)


def run(model: Planted, request: ExplainRequest, out: Path, **changes: Any) -> ExplainOutcome:
    asked = ExplainRequest(**{**request.__dict__, "out": str(out), **changes})
    return explain(asked, subject=model.subject, corpus=planted_text())


@pytest.fixture(scope="module")
def outcome(model: Planted, tmp_path_factory: pytest.TempPathFactory) -> ExplainOutcome:
    request = ExplainRequest(units=NAMED, explainers=EXECUTED, tokens=TOKENS, rules=3)
    return run(model, request, tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def small(model: Planted, tmp_path_factory: pytest.TempPathFactory) -> ExplainOutcome:
    return run(model, SMALL, tmp_path_factory.mktemp("small"))


def entries(outcome: ExplainOutcome, explainer: str) -> dict[str, dict[str, Any]]:
    return {entry["unit"]: entry for entry in outcome.result["units"] if entry["explainer"] == explainer}


def about_input(claims: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of claims that are not about what a unit writes."""
    return [row for row in claims if row["explainer"] not in OUTPUTS]


# what it learns


def test_learnt_rules_get_the_verdicts_that_the_truth_has(model: Planted, outcome: ExplainOutcome) -> None:
    rules = entries(outcome, "rules")
    expected = {
        "effect": {"supported"},
        "context": {"supported"},
        "polysemantic": {"supported"},
        "silent": {"predicts"},
        "noisy": {"predicts", "supported"},
        "rare": {"undecided"},
        "dead": {"undecided"},
    }
    for kind, allowed in expected.items():
        for unit in model.units(kind):
            assert rules[str(unit)]["verdict"] in allowed, (kind, unit, rules[str(unit)]["reason"])
    for unit in (*model.units("effect"), *model.units("context"), *model.units("polysemantic")):
        assert rules[str(unit)]["r"] > 0.97
        assert rules[str(unit)]["behaviour"] > 0.9
        assert rules[str(unit)]["rank"] == 1
    assert outcome.result["summary"]["controls"]["prediction"]["void"] is False


def test_context_needs_rules_and_the_lookup_shows_it(model: Planted, outcome: ExplainOutcome) -> None:
    rules, lookup = entries(outcome, "rules"), entries(outcome, "lookup")
    for unit in map(str, model.units("context")):
        assert rules[unit]["r"] - rules[unit]["references"]["lookup"] > 0.2
        assert rules[unit]["r_context"] > 0.9
        assert lookup[unit]["r_context"] < 0.3
        assert lookup[unit]["r"] == pytest.approx(lookup[unit]["references"]["lookup"], abs=1e-6)
        assert rules[unit]["references"]["bigram_full"] > 0.85


# the contract


def test_the_result_has_the_keys_of_the_contract_and_no_others(outcome: ExplainOutcome) -> None:
    result = outcome.result
    assert set(result) == {"run", "subject", "units", "outputs", "summary"}
    assert result["run"] == outcome.run_path.name
    assert result["subject"] == "planted-0"
    assert [(e["unit"], e["explainer"]) for e in result["units"]] == [
        (f"L1.mlp_act:{i}", name) for i in range(11) for name in ("rules", "lookup")
    ]
    for entry in result["units"]:
        assert set(entry) == ENTRY
        assert set(entry["nulls"]) == {"constant", "shuffled", "other_unit"}
        assert set(entry["references"]) == {"lookup", "bigram", "lookup_full", "bigram_full"}
        assert set(entry["behaviour_nulls"]) == {"other_unit", "shuffled", "noise_equal_r"}
        assert isinstance(entry["explanation"], str)
        assert all(isinstance(line, str) for line in entry["rules"])
        assert isinstance(entry["bits"], float)
        assert entry["rank_of"] == 48
        assert entry["verdict"] in ("supported", "predicts", "refuted", "undecided", "void")
        assert entry["reason"]
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_what_has_no_score_is_none_and_says_why(outcome: ExplainOutcome) -> None:
    for entry in outcome.result["units"]:
        missing = {name for name in ("r", "r_pos", "r_neg", "r_context", "f1", "auprc", "rank") if entry[name] is None}
        missing |= {"behaviour"} if entry["behaviour"] is None else set()
        assert set(entry["unscored"]) == missing, entry["unit"]
        assert all(isinstance(entry[name], float | None) for name in REAL)
        assert isinstance(entry["rank"], int | None)
        if entry["behaviour_over_noise"] is not None:
            assert len(entry["behaviour_over_noise"]) == 3
    dead = entries(outcome, "rules")["L1.mlp_act:10"]
    assert dead["r"] is dead["rank"] is dead["behaviour"] is None
    effect = entries(outcome, "rules")["L1.mlp_act:0"]
    assert set(effect["unscored"]) <= {"r_neg"}
    assert effect["r_lo"] <= effect["r"] <= effect["r_hi"]
    assert effect["behaviour_lo"] <= effect["behaviour"] <= effect["behaviour_hi"]


def test_the_summary_sums_up(outcome: ExplainOutcome) -> None:
    summary = outcome.result["summary"]
    assert set(summary) == SUMMARY
    rules = entries(outcome, "rules")
    r = [entry["r"] for entry in rules.values() if entry["r"] is not None]
    assert summary["mean_r"] == pytest.approx(np.mean(r))
    assert summary["median_r"] == pytest.approx(np.median(r))
    assert summary["units"] == 11
    assert summary["verdicts"]["rules"] == Counter(entry["verdict"] for entry in rules.values())
    assert sum(summary["verdicts"]["lookup"].values()) == 11
    assert TOKENS <= summary["tokens"] <= TOKENS + 3 * 64
    assert 0 < summary["forward_seconds"] < summary["seconds"]
    assert summary["peak_rss_mb"] > 50
    assert summary["dtype"] == "float32"
    assert set(summary["controls"]) == {"prediction", "behaviour"}
    assert set(summary["controls"]["behaviour"]) == {"n", "passed", "allowed_p", "void"}


# the run


def test_the_run_is_whole(model: Planted, outcome: ExplainOutcome) -> None:
    stored = open_run(outcome.run_path)
    tensors = {f"tensors/{name}.safetensors" for name in ("test", "behaviour", "outputs", "exemplars")}
    tables = {f"{name}.parquet" for name in ("units", "claims", "evidence", "tokens", "neighbours")}
    pages = {"figure.svg", "figure.json", "page.html"}
    assert set(stored.files) == {"spec.json", "result.json"} | tensors | tables | pages
    present = {path.relative_to(stored.path).as_posix() for path in stored.path.rglob("*") if path.is_file()}
    assert present == set(stored.files) | {"done.json"}
    for name in stored.files:
        stored.file(name)
    assert stored.result() == outcome.result
    assert stored.file("page.html").read_text().startswith("<!DOCTYPE html>")
    assert "<svg" in stored.file("figure.svg").read_text()
    assert stored.spec["asked"]["units"] == NAMED
    assert stored.spec["resolved"]["targets"] == [f"L1.mlp_act:{i}" for i in range(11)]
    assert stored.spec["resolved"]["effects"] == arithmetic(model.subject)
    assert stored.spec["corpus"]["tokens"]["test"] == len(stored.tensor("test", "ids"))


def test_tables_and_tensors_fit_each_other(model: Planted, outcome: ExplainOutcome) -> None:
    stored = open_run(outcome.run_path)
    units, claims, evidence = stored.rows("units"), about_input(stored.rows("claims")), stored.rows("evidence")
    test, behaviour = stored.tensors("test"), stored.tensors("behaviour")
    n, targets = len(test["ids"]), [row for row in units if row["role"] == "target"]
    assert test["activations"].shape == (11, n)
    assert test["predictions"].shape == test["other_unit"].shape == (len(claims), n)
    assert [row["claim"] for row in claims] == list(range(len(claims)))
    assert Counter(row["role"] for row in claims) == {"claim": 22, "control": 11}
    assert behaviour["J"].shape[:2] == (len(claims), len(ARMS))
    assert stored.tensor_metadata("behaviour")["arms"].split(",") == list(ARMS)
    assert {row["id"] for row in stored.rows("tokens")} >= set(test["ids"].tolist())
    assert set(test["positions"][test["scored"] == 1].tolist()) == set(range(1, 64))
    assert [row["unit"] for row in targets] == [f"L1.mlp_act:{i}" for i in range(11)]
    for i, row in enumerate(targets[:5]):
        truth = model.truths[UnitId.parse(row["unit"])]
        words = {model.subject.token_texts()[t] for t in test["ids"][(test["activations"][i] > 0.6)]}
        assert words <= set(truth.positive)
    by_claim = Counter(row["claim"] for row in evidence if row["check"] == "claim")
    assert by_claim == {row["claim"]: 1 for row in stored.rows("claims") if row["role"] == "claim"}
    for row in evidence:
        if row["check"] in ("prediction", "behaviour"):
            assert row["n"] >= 20, row


def test_a_stored_control_says_what_a_stranger_says(outcome: ExplainOutcome) -> None:
    claims = about_input(open_run(outcome.run_path).rows("claims"))
    own = {row["unit"]: row["rules"] for row in claims if row["role"] == "claim" and row["explainer"] == "rules"}
    for row in claims:
        if row["role"] == "control":
            assert row["rules"] in {rules for unit, rules in own.items() if unit != row["unit"]}


# verdicts from what is stored


def rewritten(source: Path, place: Path, change: Any, honest: bool) -> Path:
    """A copy of a run with other predictions; ``honest`` keeps the list of hashes true."""
    copy = place / source.name
    shutil.copytree(source, copy)
    path = copy / "tensors" / "test.safetensors"
    arrays = load_file(path)
    change(arrays)
    save_file(arrays, path)
    if honest:
        done = json.loads((copy / "done.json").read_text())
        done["files"]["tensors/test.safetensors"] = hashlib.sha256(path.read_bytes()).hexdigest()
        (copy / "done.json").write_text(json.dumps(done))
    return copy


def test_verdicts_come_out_the_same_from_the_stored_arrays(outcome: ExplainOutcome) -> None:
    rows = recompute(open_run(outcome.run_path))
    assert len(rows) == 44  # 11 units, by rules and lookup, and by tokens and rules that they write
    assert [row for row in rows if row.stored != row.recomputed] == []
    assert len({row.stored for row in rows}) >= 3


def test_other_predictions_give_other_verdicts(outcome: ExplainOutcome, tmp_path: Path) -> None:
    def swap(arrays: dict[str, np.ndarray]) -> None:
        arrays["predictions"][0] = -arrays["predictions"][0]

    copy = rewritten(outcome.run_path, tmp_path, swap, honest=True)
    differing = [row for row in recompute(open_run(copy)) if row.stored != row.recomputed]
    assert [(row.claim, row.stored, row.recomputed) for row in differing] == [(0, "supported", "refuted")]


def test_a_file_that_was_changed_afterwards_is_refused(outcome: ExplainOutcome, tmp_path: Path) -> None:
    copy = rewritten(outcome.run_path, tmp_path, lambda arrays: arrays["predictions"].fill(0), honest=False)
    with pytest.raises(RunError, match="is damaged: not the bytes that were written"):
        recompute(open_run(copy))


# again, and without behaviour


def test_the_same_request_gives_the_same_run(model: Planted, small: ExplainOutcome, tmp_path: Path) -> None:
    again = run(model, SMALL, tmp_path)
    assert again.result["run"] != small.result["run"]
    assert again.result["units"] == small.result["units"]
    one, two = open_run(small.run_path), open_run(again.run_path)
    for name in ("test", "behaviour", "exemplars"):
        for key, values in one.tensors(name).items():
            assert np.array_equal(values, two.tensors(name)[key], equal_nan=values.dtype.kind == "f"), (name, key)
    for name in ("units", "claims", "evidence", "tokens"):
        assert one.table(name).equals(two.table(name))


def test_another_seed_splits_anew(model: Planted, small: ExplainOutcome) -> None:
    stored = open_run(small.run_path).spec["corpus"]["splits_sha256"]
    split = {seed: gather_material(model.subject, planted_text(), 12_000, seed).splits.sha256 for seed in (0, 1)}
    assert split[0] == stored != split[1]


def test_without_behaviour_nothing_is_better_than_predicts(model: Planted, tmp_path: Path) -> None:
    found = run(model, SMALL, tmp_path, behaviour=False, tokens=TOKENS, explainers=("lookup",))
    assert [entry["verdict"] for entry in found.result["units"]] == ["predicts", "predicts"]
    for entry in found.result["units"]:
        assert entry["behaviour"] is None
        assert entry["behaviour_over_noise"] is None
        assert set(entry["behaviour_nulls"].values()) == {None}
        assert entry["unscored"]["behaviour"] == "not run"
        assert entry["reason"] == "prediction is supported; behaviour was not run"
    assert found.result["summary"]["controls"]["behaviour"] is None
    stored = open_run(found.run_path)
    assert not stored.has("tensors/behaviour.safetensors")
    assert all(row.stored == row.recomputed for row in recompute(stored))


def test_a_single_unit_finds_its_rival_and_its_stranger(model: Planted, tmp_path: Path) -> None:
    found = run(model, SMALL, tmp_path, units="L2.resid_post:3", behaviour=False)
    stored = open_run(found.run_path)
    roles = Counter(row["role"] for row in stored.rows("units"))
    assert roles["target"] == 1
    assert roles["companion"] >= 2
    assert Counter(row["role"] for row in stored.rows("claims")) == {"claim": 2, "control": 1}
    assert {row["unit"].split(":")[0] for row in stored.rows("units")} == {"L2.resid_post"}


# rules that a person wrote


def test_written_rules_are_tested_beside_what_is_learnt(model: Planted, tmp_path: Path) -> None:
    right, wrong = "L1.mlp_act:0", "L1.mlp_act:1"
    truth = true_rules(model.truths[UnitId.parse(right)])
    written = {right: truth, wrong: truth}
    found = run(model, SMALL, tmp_path, units=right, tokens=TOKENS, written=written)
    by_person = entries(found, "written")
    assert set(by_person) == {right, wrong}  # a unit that only the file names is explained as well
    assert by_person[right]["r"] > 0.97
    assert by_person[right]["verdict"] == "supported"
    assert by_person[right]["rules"] == truth.lines()
    assert by_person[wrong]["r"] < 0.1
    assert by_person[wrong]["verdict"] == "refuted"
    assert set(entries(found, "rules")) == {right, wrong}
    stored = open_run(found.run_path).spec["asked"]["written"]
    assert stored == {unit: rules.to_json() for unit, rules in written.items()}
    assert all(row.stored == row.recomputed for row in recompute(open_run(found.run_path)))


def test_the_noise_arm_is_stored_as_a_reference_and_what_decides_as_nulls(outcome: ExplainOutcome) -> None:
    stored = open_run(outcome.run_path)
    claims = {row["claim"]: row["role"] for row in stored.rows("claims")}
    rows = [row for row in stored.rows("evidence") if row["measure"] == "behaviour" and row["value"] is not None]
    assert rows
    for row in rows:
        nulls, references = json.loads(row["nulls"]), json.loads(row["references"])
        control = claims[row["claim"]] == "control"
        assert set(nulls) == {"mean", "other_unit", *(() if control else ("shuffled",))}
        assert set(references) == (set() if control else {"noise_equal_r"})
        if row["d"] is not None:
            assert row["d"] == pytest.approx(row["value"] - max(nulls.values()))
