"""A unit on a text that somebody typed, against the subject's own forward pass and the claims' own predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from assay.core.direction import Direction
from assay.core.ids import SiteId, UnitId
from assay.errors import UsageError
from assay.explain.claims import Claim
from assay.explain.evidence import claim_rows
from assay.explain.prose import Prose
from assay.live.activations import activations
from assay.live.reading import WINDOW
from assay.live.shelf import Held
from assay.rules import Lookup, RuleList, View
from assay.stats import Calibration, Steps
from assay.store import RunWriter
from live.asking import MODEL, TEXT, UNIT, asking, quiet

RULES = RuleList.from_json(
    {"base": 0.5, "rules": [{"when": [{"slot": "form", "any_of": ["he", "the"]}], "value": 2.0}]}
)
LOOKUP = Lookup({" he": 1.0, (" what", " he"): 3.0}, 0.0, 4096)
LONG = " ".join([TEXT] * 4)
MODULE = "L0.module.self_attn.q_proj"


def ask(held: Held, **given: Any) -> dict[str, Any]:
    return activations(held, asking("activations", model=MODEL, **given), quiet)


def values(answer: dict[str, Any]) -> np.ndarray:
    return np.array([token["value"] for token in answer["tokens"]])


def captured(held: Held, unit: str, ids: list[int]) -> np.ndarray:
    """The unit's values of a plain fp32 pass with a capture."""
    found, subject = UnitId.parse(unit), held.precise
    with torch.inference_mode(), subject.capture([found.site]) as got:
        subject.hidden(torch.tensor([ids]))
    return subject.units.values(found.site, got[found.site], [found.index])[0, :, 0].double().numpy()


@pytest.mark.parametrize(
    "unit", [UNIT, "L0.head:2", "L0.resid_pre:7", "L1.resid_post:7", "L1.attn_out:1", f"{MODULE}:5"]
)
def test_values_are_those_of_a_forward_pass(held: Held, unit: str) -> None:
    answer = ask(held, unit=unit, text=LONG)
    ids = [token["id"] for token in answer["tokens"]]
    assert len(ids) > WINDOW
    np.testing.assert_array_equal(values(answer), captured(held, unit, ids))
    assert "".join(token["text"] for token in answer["tokens"]) == LONG
    assert [token["position"] for token in answer["tokens"]] == [i % WINDOW for i in range(len(ids))]
    assert [token["counts"] for token in answer["tokens"]] == [i % WINDOW > 0 for i in range(len(ids))]
    assert answer["r_tokens"] == sum(token["counts"] for token in answer["tokens"])
    assert not held.precise._board.in_use


def test_values_in_windows_are_those_that_the_lab_sees(held: Held) -> None:
    answer = ask(held, unit=UNIT, text=LONG, context="window")
    ids = [token["id"] for token in answer["tokens"]]
    apart = [captured(held, UNIT, ids[i : i + WINDOW]) for i in range(0, len(ids), WINDOW)]
    np.testing.assert_allclose(values(answer), np.concatenate(apart), rtol=2e-4, atol=2e-6)
    whole = values(ask(held, unit=UNIT, text=LONG))
    np.testing.assert_allclose(values(answer)[:WINDOW], whole[:WINDOW], rtol=2e-4, atol=2e-6)
    assert np.abs(values(answer) - whole)[WINDOW:].max() > 1e-3


def test_a_direction_comes_from_its_file_and_is_known_by_its_name_from_then_on(held: Held, tmp_path: Path) -> None:
    vector = np.random.default_rng(0).standard_normal(held.subject.d_model).astype(np.float32)
    direction = Direction(SiteId(1, "resid_post"), vector, offset=0.25, scale=2.0)
    direction.save(tmp_path / "typed.safetensors")
    answer = ask(held, unit=f"L1.resid_post:@{tmp_path}/typed.safetensors", text=TEXT)
    assert answer["unit"] == "L1.resid_post:@typed"
    with torch.inference_mode(), held.precise.capture([direction.site]) as got:
        held.precise.hidden(torch.tensor([[token["id"] for token in answer["tokens"]]]))
    np.testing.assert_allclose(values(answer), direction.value(got[direction.site][0].numpy()), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(values(ask(held, unit="L1.resid_post:@typed", text=TEXT)), values(answer))


def test_a_direction_comes_from_a_stored_run(held: Held, tmp_path: Path) -> None:
    vector = np.random.default_rng(1).standard_normal(held.subject.d_model).astype(np.float32)
    unit, direction = "L1.resid_post:@stored", Direction(SiteId(1, "resid_post"), vector, offset=0.5, scale=3.0)
    about = {"directions": {unit: direction.describe()}}
    with RunWriter(tmp_path, "explain", asked={}, resolved=about, subject={}, corpus={}) as writer:
        writer.tensors("directions", {unit: vector})
    answer = ask(held, unit=unit, text=TEXT, run=str(writer.path))
    assert held.precise.directions[UnitId.parse(unit)].sha256 == direction.sha256
    np.testing.assert_array_equal(values(ask(held, unit=unit, text=TEXT)), values(answer))
    with pytest.raises(UsageError, match=r"there is no direction L1\.resid_post:@other"):
        ask(held, unit="L1.resid_post:@other", text=TEXT, run=str(writer.path))


@pytest.mark.parametrize("as_text", [True, False])
def test_predictions_are_those_of_the_claim_on_its_windows(held: Held, as_text: bool) -> None:
    form = json.dumps if as_text else dict
    lines = [Calibration(2.0, -1.0), Steps((0.0, 1.0, 3.0), (5.0, 6.0, 6.5))]
    claims = [
        {"explainer": name, "rules": form(one.to_json()), "calibration": form(line._asdict())}
        for name, one, line in zip(("written", "lookup"), (RULES, LOOKUP), lines, strict=True)
    ]
    answer = ask(held, unit=UNIT, text=LONG, claims=claims)
    ids = np.array([token["id"] for token in answer["tokens"]])
    windows = np.full((-(-len(ids) // WINDOW), WINDOW), -1)
    windows.flat[: len(ids)] = ids
    view = View(windows, held.subject.token_texts())
    counts = np.array([token["counts"] for token in answer["tokens"]])
    for said, explanation, line in zip(answer["claims"], (RULES, LOOKUP), lines, strict=True):
        wanted = line(explanation.predict(view))
        np.testing.assert_array_equal(said["predictions"], wanted)
        assert said["r"] == pytest.approx(np.corrcoef(wanted[counts], values(answer)[counts])[0, 1])
        assert said["r_null"]["low"] < said["r_null"]["mean"] < said["r_null"]["high"]
        assert abs(said["r_null"]["mean"]) < 0.05
        assert (said["unscored"], said["r_unscored"], said["simulated_by"]) == (None, None, None)
    assert answer["claims"][0]["sentence"] == RULES.sentence()


def claim(rules: RuleList | Prose, explainer: str) -> dict[str, Any]:
    return {"explainer": explainer, "rules": rules.to_json(), "calibration": {"slope": 1.0, "intercept": 0.0}}


def test_the_shuffled_prediction_of_a_perfect_claim_has_no_r(held: Held) -> None:
    """A lookup of the unit's own mean by token: its r is far outside the null's bounds."""
    plain = ask(held, unit="L0.mlp_act:3", text=LONG)
    table: dict[str, float] = {}
    for token in plain["tokens"]:
        table[token["text"]] = token["value"]
    said = ask(held, unit="L0.mlp_act:3", text=LONG, claims=[claim(Lookup(table, 0.0, 4096), "lookup")])["claims"][0]
    assert said["r"] > 0.5
    assert said["r"] > 2 * said["r_null"]["high"]


def test_few_tokens_and_a_flat_prediction_have_no_r(held: Held) -> None:
    few = ask(held, unit=UNIT, text="He took it.", claims=[claim(RULES, "rules")])["claims"][0]
    assert few["r"] is few["r_null"] is None
    assert "an r takes 20" in few["r_unscored"]
    flat = ask(held, unit=UNIT, text=TEXT, claims=[claim(RuleList(()), "rules")])["claims"][0]
    assert flat["r"] is None
    assert flat["r_unscored"] == "the prediction is the same at every token that counts"


def prose(text: str = "It fires on verbs.", judge: str = MODEL, unscored: str | None = None) -> Prose:
    return Prose(text, 4, 4096, judge, ("explain@1", "simulate@1"), (), unscored)


def test_a_sentence_is_simulated_where_it_is_asked_for(held: Held) -> None:
    left = ask(held, unit=UNIT, text=TEXT, claims=[claim(prose(), "self")])["claims"][0]
    assert left["unscored"] == "not simulated: it was not asked for"
    assert set(left["predictions"]) == {None}
    told = [claim(prose(), "self"), claim(prose(judge="other"), "prose"), claim(prose(unscored="bad reply"), "self")]
    own, other, none = ask(held, unit=UNIT, text=TEXT, claims=told, simulate=True)["claims"]
    texts = [token["text"] for token in ask(held, unit=UNIT, text=TEXT)["tokens"]]
    stretches = [texts[i : i + 8] for i in range(0, len(texts), 8)]
    wanted = np.concatenate([np.asarray(part) for part in held.simulator.predict("It fires on verbs.", stretches)])
    np.testing.assert_allclose(own["predictions"], wanted, atol=0.02)  # batches of another size, in bf16
    assert own["simulated_by"] == other["simulated_by"] == MODEL
    assert (own["note"], other["note"]) == ("", f"calibrated for other, simulated by {MODEL}")
    assert own["r"] is not None
    assert none["unscored"] == "bad reply"


def test_claims_about_what_it_writes_predict_nothing_here(held: Held) -> None:
    said = ask(held, unit=UNIT, text=TEXT, claims=[claim(RULES, "output_rules")])["claims"][0]
    assert said["unscored"] == "it says what the unit writes, not when it fires"
    told = {"explainer": "report", "rules": {"kind": "report"}, "calibration": {}}
    assert ask(held, unit=UNIT, text=TEXT, claims=[told])["claims"][0]["unscored"].startswith("a claim of 'report'")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"explainer": None}, "claim 1: a claim needs 'explainer'"),
        ({"rules": "{"}, "claim 1: 'rules' of a claim is not JSON"),
        ({"rules": []}, "claim 1: 'rules' of a claim must be an object"),
        ({"rules": {"rules": [{"when": [], "value": 1}]}}, "claim 1: rule 1: a rule has 0 conditions"),
        ({"calibration": None}, "claim 1: 'calibration' of a claim must be an object"),
        ({"calibration": {"slope": 1}}, "must have 'slope' and 'intercept'"),
        ({"calibration": {"slope": "x", "intercept": 1}}, "holds something that is no number"),
    ],
)
def test_a_claim_that_can_not_be_read_is_one_clear_line(held: Held, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ask(held, unit=UNIT, text=TEXT, claims=[claim(RULES, "rules") | changed])


def test_it_reads_what_runs_store(held: Held) -> None:
    """The columns of the table ``claims`` as they are written."""
    unit, line = UnitId.parse(UNIT), Calibration(0.5, 0.25)
    row = claim_rows([Claim(unit, "rules", "claim", RULES, line, None, RULES, unit, line)])[0]
    columns = {name: row[name] for name in ("explainer", "rules", "calibration")}
    said = ask(held, unit=UNIT, text=TEXT, claims=[columns])["claims"][0]
    assert set(said["predictions"]) == {0.5, 1.5}
