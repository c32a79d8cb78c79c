"""A claim is settled before the test split is seen: its line, its threshold, its rival."""

from __future__ import annotations

import numpy as np
import pytest

from assay.explain.claims import CALIBRATIONS, Fitted, Fitter, budget, executed, make_claim, plain_r, upright
from assay.explain.names import EXPLAINERS, OUTPUTS, SAID, VERSIONS, WRITTEN
from assay.explain.prose import Prose
from assay.rules import Rule, RuleList
from assay.stats import best_threshold, calibrate
from explain.bench import Bench, true_rules


def arrays(sign: float, noise: float, n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    predicted = rng.normal(size=n).astype(np.float32)
    return predicted, (sign * 3 * predicted + noise * rng.normal(size=n) + 7).astype(np.float32)


def test_a_prediction_with_the_right_sign_gets_the_least_squares_line() -> None:
    predicted, activations = arrays(1, 0.5)
    assert upright(predicted, activations) == pytest.approx(calibrate(predicted, activations), rel=1e-5)
    assert upright(predicted, activations).slope == pytest.approx(3, abs=0.05)


@pytest.mark.parametrize("noise", [0, 1, 100])
def test_a_prediction_with_the_wrong_sign_is_flattened_and_never_turned_round(noise: float) -> None:
    predicted, activations = arrays(-1, noise)
    line = upright(predicted, activations)
    calibrated = line(predicted)
    assert calibrated.std() == pytest.approx(1e-3 * activations.std(), rel=1e-4)
    assert calibrated.mean() == pytest.approx(activations.mean(), abs=1e-5 * float(np.abs(activations).max()))
    assert np.corrcoef(calibrated, predicted)[0, 1] == pytest.approx(1)
    assert np.corrcoef(calibrated, activations)[0, 1] == pytest.approx(np.corrcoef(predicted, activations)[0, 1])


def test_a_constant_prediction_becomes_the_mean() -> None:
    _, activations = arrays(1, 1)
    line = upright(np.full(len(activations), 0.1, np.float32), activations)
    assert line.slope == 0
    assert line.intercept == pytest.approx(activations.mean())
    dead = upright(activations, np.zeros(len(activations), np.float32))
    assert np.abs(dead(activations)).max() < 1e-9


def test_calibration_and_threshold_are_those_of_the_choose_split(bench: Bench) -> None:
    unit = bench.unit("effect")
    claim = bench.claim(unit)
    predicted = true_rules(bench.planted.truths[unit]).predict(bench.material.choose.view)
    real = bench.chosen[:, unit.index]
    slope, intercept = np.polyfit(predicted.astype(float), real.astype(float), 1)
    assert claim.calibration == pytest.approx((slope, intercept), rel=1e-4, abs=1e-6)
    assert claim.threshold == best_threshold(claim.calibration(predicted), real > bench.fire_above[unit.index])
    assert plain_r(predicted, real) == pytest.approx(np.corrcoef(predicted, real)[0, 1], abs=1e-6)
    assert claim.role == "claim"


def test_the_rival_is_the_best_of_the_others_on_the_choose_split(bench: Bench) -> None:
    """Of explanations of other units, one names two of the unit's own days: it must be the one to beat."""
    unit = bench.unit("effect")
    near = RuleList.from_json(
        {"rules": [{"when": [{"slot": "token", "any_of": [" Monday", " Tuesday"]}], "value": 1.0}]}
    )
    others = bench.others(unit)
    stranger = others[3].unit
    others[3] = bench.fitted(stranger, near)
    claim = bench.claim(unit, others=others)
    assert claim.rival_unit == stranger
    view, real = bench.material.choose.view, bench.chosen[:, unit.index]
    r = [np.corrcoef(other.explanations["rules"].predict(view), real)[0, 1] for other in others]
    assert int(np.argmax(r)) == 3
    assert r[3] > 0.5
    assert claim.rival_calibration == pytest.approx(np.polyfit(near.predict(view).astype(float), real, 1), rel=1e-3)


def test_a_dead_unit_can_be_claimed_about(bench: Bench) -> None:
    claim = bench.claim(bench.unit("dead"), bench.fitted(bench.unit("effect")))
    predicted = claim.explanation.predict(bench.material.choose.view)
    assert plain_r(predicted, bench.chosen[:, claim.unit.index]) == 0
    assert np.abs(claim.calibration(claim.explanation.predict(bench.material.choose.view))).max() < 1e-9


def test_a_strangers_explanation_makes_a_control(bench: Bench) -> None:
    unit, stranger = bench.unit("effect"), bench.unit("effect", 1)
    control = bench.claim(unit, bench.fitted(stranger))
    assert (control.unit, control.role) == (unit, "control")
    assert control.explanation.to_json() == true_rules(bench.planted.truths[stranger]).to_json()
    assert control.calibration.slope > 0
    predicted = control.explanation.predict(bench.material.choose.view)
    assert plain_r(predicted, bench.chosen[:, unit.index]) < 0.05


def test_the_lookup_gets_no_more_bits_than_the_rules_used(bench: Bench) -> None:
    fitter = Fitter(bench.material.fit.view, bench.subject.vocab_size, ("rules", "lookup"), rules=2)
    unit = bench.unit("context")
    fitted = fitter.fit(unit, np.ascontiguousarray(bench.fit[:, unit.index]))
    rules, lookup = (fitted.explanations[name] for name in ("rules", "lookup"))
    assert lookup.bits <= rules.bits + 1e-6
    a_token = 1 + 8 + np.log2(bench.subject.vocab_size)
    assert rules.bits - lookup.bits < a_token or len(lookup.entries) == len(bench.planted.truths[unit].positive)
    for name in ("rules", "lookup"):
        beside = fitted.references[name]
        assert list(beside) == ["lookup", "bigram", "lookup_full", "bigram_full"]
        assert max(beside["lookup"].bits, beside["bigram"].bits) <= fitted.explanations[name].bits + 1e-6
        assert beside["bigram_full"].bits > 4 * beside["bigram"].bits


def test_the_lookup_alone_gets_what_the_rules_could_have_used(bench: Bench) -> None:
    fitter = Fitter(bench.material.fit.view, bench.subject.vocab_size, ("lookup",), rules=1)
    fitted = fitter.fit(bench.unit("effect"), np.ascontiguousarray(bench.fit[:, 0]), references=False)
    assert list(fitted.explanations) == ["lookup"]
    assert fitted.references == {}
    assert fitted.explanations["lookup"].bits <= budget(1, bench.subject.vocab_size)


def test_the_budget_is_what_a_full_list_of_tokens_costs() -> None:
    tokens = tuple(f" {i}" for i in range(12))
    full = RuleList.from_json(
        {"vocabulary": 49152, "rules": [{"when": [{"slot": "token", "any_of": list(tokens)}], "value": 1}] * 8}
    )
    assert budget(8, 49152) == pytest.approx(full.bits, rel=0.002)


def test_every_explainer_has_a_version() -> None:
    assert set(VERSIONS) == {*EXPLAINERS, SAID, WRITTEN, *OUTPUTS}


def test_golden_rules_and_lookups(bench: Bench) -> None:
    """If this fails, explainers say something else than in stored runs: raise the version, and write the new ones."""
    assert (VERSIONS["rules"], VERSIONS["lookup"]) == (2, 1)
    fitter = Fitter(bench.material.fit.view, bench.subject.vocab_size, ("rules", "lookup"), rules=2)
    found = {}
    for kind in ("context", "polysemantic"):
        unit = bench.unit(kind)
        found[kind] = fitter.fit(unit, np.ascontiguousarray(bench.fit[:, unit.index]), references=False).explanations
    rules = {kind: made["rules"].to_json()["rules"] for kind, made in found.items()}
    assert {kind: [rule["when"] for rule in own] for kind, own in rules.items()} == {
        "context": [
            [{"slot": "previous token", "named": "colour"}, {"slot": "token", "named": "starts a word"}],
            [
                {
                    "slot": "token",
                    "any_of": [" garden", " river", " letter", " horse", " table", " bridge", " quartz"],
                },
                {"slot": "previous token", "named": "colour"},
            ],
        ],
        "polysemantic": [
            [{"slot": "token", "named": "coordinating conjunction"}],
            [{"slot": "token", "any_of": [" old", " small", " quiet", " broken", " warm", " strange"]}],
        ],
    }
    values = [rule["value"] for own in rules.values() for rule in own]
    assert values == pytest.approx([1.17707, -0.259511, 0.987581, -0.972028], rel=1e-4)
    entries = {" but": 1.00459, " old": -0.926851, " and": 0.965103, " small": -1.09694, " quiet": -1.06518}
    assert found["polysemantic"]["lookup"].entries == pytest.approx(entries, rel=1e-4)


def test_prose_is_given_and_its_references_have_its_length(bench: Bench) -> None:
    prose = Prose("It fires on words such as red.", 7, 1024, "mock", ("explain@1", "simulate@1"), ())
    fitter = Fitter(bench.material.fit.view, bench.subject.vocab_size, ("rules", "self"), rules=2)
    unit = bench.unit("effect")
    fitted = fitter.fit(unit, np.ascontiguousarray(bench.fit[:, unit.index]), prose={"self": prose})
    assert list(fitted.explanations) == ["rules", "self"]
    assert fitted.explanations["self"] is prose
    assert prose.bits == 70
    beside = fitted.references["self"]
    assert 0 < beside["lookup"].bits <= 70
    assert beside["lookup_full"].bits > 70
    assert list(fitter.fit(unit, np.ascontiguousarray(bench.fit[:, unit.index]), False).explanations) == ["rules"]
    with pytest.raises(TypeError, match="simulated, not executed"):
        executed(prose, bench.material.choose.view)


def test_calibrations_differ_in_scale_and_never_turn_a_claim_round(bench: Bench) -> None:
    unit = bench.unit("effect")
    chosen = np.ascontiguousarray(bench.chosen[:, unit.index])
    view, level = bench.material.choose.view, float(bench.fire_above[unit.index])
    truth = bench.fitted(unit)
    upside_down = RuleList(tuple(Rule(rule.when, -rule.value) for rule in true_rules(bench.planted.truths[unit]).rules))
    errors = {}
    for name in CALIBRATIONS:
        claim = make_claim(unit, truth, "rules", bench.others(unit), view, chosen, level, calibration=name)
        predicted = claim.calibration(truth.explanations["rules"].predict(view))
        errors[name] = float(((predicted - chosen) ** 2).mean())
        assert plain_r(predicted.astype(np.float32), chosen) > 0.9
        wrong = Fitted(unit, {"rules": upside_down}, {})
        turned = make_claim(unit, wrong, "rules", bench.others(unit), view, chosen, level, calibration=name)
        assert plain_r(turned.calibration(upside_down.predict(view)).astype(np.float32), chosen) <= 0
    assert errors["monotone"] <= errors["linear"] <= errors["none"]
    assert make_claim(
        unit, truth, "rules", bench.others(unit), view, chosen, level, calibration="none"
    ).calibration == (1, 0)
