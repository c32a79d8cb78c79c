"""Known truth goes in; the verdicts that must come out, come out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from assay.explain.verdicts import ARMS, judge
from assay.rules import RuleList
from explain.bench import Bench, Trial


@pytest.fixture(scope="module")
def trial(bench: Bench) -> dict[str, Any]:
    """One run over all kinds of planted neurons, each with its true explanation, and strangers' as controls."""
    kinds = ("effect", "context", "silent", "polysemantic", "noisy", "rare", "dead")
    units = [bench.unit(kind) for kind in kinds]
    claims = [bench.claim(unit) for unit in units]
    claims += [bench.claim(unit, bench.fitted(units[i - 1])) for i, unit in enumerate(units)]
    return {"kinds": kinds, "trial": bench.test(claims), "units": units, "claims": claims}


def of(trial: dict[str, Any], kind: str) -> tuple[Trial, int]:
    return trial["trial"], trial["kinds"].index(kind)


@pytest.mark.parametrize("kind", ["effect", "context", "polysemantic"])
def test_the_truth_about_a_neuron_with_an_effect_is_supported(trial: dict[str, Any], kind: str) -> None:
    found, i = of(trial, kind)
    assert (found.verdict(i), found.reason(i)) == ("supported", "prediction and behaviour beat their nulls")
    assert found.judged.prediction_inputs[i].score > 0.95
    assert found.judged.behaviours[i].score.value > 0.85
    assert found.judged.behaviours[i].score.lo > 0.8
    assert found.tested.rank[i] == 1


def test_the_truth_about_a_neuron_without_an_effect_only_predicts(trial: dict[str, Any]) -> None:
    found, i = of(trial, "silent")
    assert found.verdict(i) == "predicts"
    assert found.reason(i).startswith("prediction is supported; behaviour is undecided: ")
    check = found.judged.check(i, "behaviour")
    assert check is not None
    assert check.verdict == "undecided"


def test_the_truth_about_a_noisy_neuron_is_seen_through_its_noise(trial: dict[str, Any]) -> None:
    found, i = of(trial, "noisy")
    assert found.judged.prediction_inputs[i].score == pytest.approx(0.5, abs=0.1)
    assert found.verdict(i) in ("predicts", "supported")
    check = found.judged.check(i, "prediction")
    assert check is not None
    assert check.verdict == "supported"
    assert 0.0 < found.judged.behaviours[i].score.value < 0.5


def test_a_rare_neuron_stays_undecided_however_right_the_claim(trial: dict[str, Any]) -> None:
    """It predicts all of the few firings: r is 1, and still nothing can be said."""
    found, i = of(trial, "rare")
    assert found.judged.prediction_inputs[i].score > 0.99
    assert found.verdict(i) == "undecided"
    assert "too few firings: " in found.reason(i)
    behaviour = found.judged.check(i, "behaviour")
    assert behaviour is not None
    assert behaviour.verdict == "undecided"
    assert "too few firings: " in behaviour.reason


def test_a_dead_neuron_stays_undecided(trial: dict[str, Any]) -> None:
    found, i = of(trial, "dead")
    assert found.verdict(i) == "undecided"
    assert "the activation is constant" in found.reason(i)


def test_no_control_passes_and_no_verdict_is_void(trial: dict[str, Any]) -> None:
    found: Trial = trial["trial"]
    summary = found.judged.prediction.summary
    assert (summary.n, summary.passed, summary.void) == (5, 0, False)
    assert found.judged.behaviour is not None
    assert found.judged.behaviour.summary.passed == 0
    assert found.judged.behaviour.summary.n >= 4
    assert set(found.judged.overall) == set(range(len(trial["kinds"])))
    assert set(found.judged.prediction.controls) == set(range(len(trial["kinds"]), 2 * len(trial["kinds"])))


def rules(*tokens: str, value: float = 1.0) -> RuleList:
    return RuleList.from_json({"rules": [{"when": [{"slot": "token", "any_of": list(tokens)}], "value": value}]})


def test_wrong_explanations_are_refuted(bench: Bench) -> None:
    """Another unit's, the opposite, a decoy near the truth, and nothing at all."""
    effect, month, context = bench.unit("effect"), bench.unit("effect", 1), bench.unit("context")
    opposite = rules(*bench.planted.truths[effect].positive, value=-1.0)
    wrong = [
        (effect, bench.fitted(effect, rules(*bench.planted.truths[month].positive))),
        (effect, bench.fitted(effect, opposite)),
        (effect, bench.fitted(effect, rules(" was", " had", " is", " Anna"))),
        (context, bench.fitted(context, rules(*bench.planted.truths[context].after))),
        (context, bench.fitted(context, RuleList((), 3.0, 129))),
    ]
    found = bench.test([bench.claim(unit, source) for unit, source in wrong])
    assert [found.verdict(i) for i in range(len(wrong))] == ["refuted"] * len(wrong)
    assert all(found.judged.prediction_inputs[i].score < 0.03 for i in range(len(wrong)))
    assert found.judged.behaviours[1].score.value < 0.02


def test_too_narrow_and_too_broad_explanations_score_less_than_the_truth(bench: Bench) -> None:
    unit = bench.unit("effect")
    truth = bench.planted.truths[unit].positive
    sources = [None, rules(*truth[:3]), rules(*truth, " was", ".", " the")]
    found = bench.test(
        [bench.claim(unit, source and bench.fitted(unit, source)) for source in sources], behaviour=False
    )
    r = [found.judged.prediction_inputs[i].score for i in range(3)]
    assert r[0] > 0.95
    assert max(r[1:]) < 0.85


def test_an_explanation_that_fits_a_rival_as_well_is_refuted(bench: Bench) -> None:
    """Two neurons with equal weights: what is said of one holds for the other, so it says nothing of its own."""
    one, two = bench.unit("twin"), bench.unit("twin", 1)
    found = bench.test([bench.claim(one, others=[bench.fitted(two), *bench.others()])], behaviour=False)
    assert found.verdict(0) == "refuted"
    assert found.reason(0) == "prediction: does not beat its best null (other_unit) by 0.02"


def test_controls_that_pass_make_the_checks_void(bench: Bench) -> None:
    """Twins as each other's negative control: these are true, and pass; so the run's checks can't be trusted."""
    one, two, clean = bench.unit("twin"), bench.unit("twin", 1), bench.unit("effect")
    claims = [bench.claim(one), bench.claim(two), bench.claim(clean)]
    claims += [bench.claim(one, bench.fitted(two)), bench.claim(two, bench.fitted(one))]
    assert [claim.role for claim in claims] == ["claim"] * 3 + ["control"] * 2
    found = bench.test(claims)
    assert [found.verdict(i) for i in range(3)] == ["void"] * 3
    assert found.reason(2) == "prediction: 2 of 2 negative controls passed; the check can't be trusted in this run"
    assert found.judged.prediction.summary.void
    assert found.judged.behaviour is not None
    assert found.judged.behaviour.summary.void


def test_without_behaviour_the_best_is_predicts(bench: Bench) -> None:
    found = bench.test([bench.claim(bench.unit("effect"))], behaviour=False)
    assert (found.verdict(0), found.reason(0)) == ("predicts", "prediction is supported; behaviour was not run")
    assert found.judged.behaviour is None
    assert found.judged.check(0, "behaviour") is None


# arrays made by hand: what no planted neuron does


def hand_made(j_prediction: float, fires: float = 0.05, documents: int = 40) -> Any:
    """A claim that predicts well; replacing the unit by it costs ``j_prediction`` where its mean costs 1."""
    rng = np.random.default_rng(6)
    n = documents * 100
    activations = np.where(rng.random(n) < fires, rng.normal(5, 1, n), rng.normal(0, 0.1, n)).astype(np.float32)
    predicted = (activations + rng.normal(0, 0.5, n)).astype(np.float32)
    test = {
        "documents": np.repeat(np.arange(documents), 100),
        "activations": activations[None],
        "predictions": predicted[None],
        "other_unit": rng.normal(size=(1, n)).astype(np.float32),
        "scored": (np.arange(n) % 100 > 0).astype(np.uint8),
    }
    size = np.exp(rng.normal(0, 0.3, documents)) * 1e-3
    arms = dict.fromkeys(ARMS, size)
    arms |= {"prediction": j_prediction * size, "noise_equal_r": 0.1 * size, "shuffled": 1.9 * size}
    behaviour = {
        "J": np.stack([arms[arm] for arm in ARMS])[None],
        "documents": np.arange(documents)[None],
        "weights": np.ones((1, documents)),
        "floor": np.full((1, documents), 1e-9),
    }
    claims = [{"claim": 0, "unit": "L0.mlp_act:0", "role": "claim"}]
    units = [{"unit": "L0.mlp_act:0", "role": "target", "q99": 2.0}]
    return claims, units, test, behaviour, 0


def test_a_good_prediction_that_changes_the_output_as_the_mean_does_is_refuted() -> None:
    judged = judge(*hand_made(j_prediction=1.1))
    assert judged.prediction_inputs[0].score > 0.9
    prediction, behaviour = judged.check(0, "prediction"), judged.check(0, "behaviour")
    assert prediction is not None
    assert behaviour is not None
    assert (prediction.verdict, behaviour.verdict) == ("supported", "refuted")
    assert judged.overall[0].verdict == "refuted"
    assert judged.overall[0].reason.startswith("behaviour: does not beat its best null")
    assert judged.documents == {"prediction": {0: 40}, "behaviour": {0: 40}}


def test_the_same_with_an_output_that_stays_is_supported() -> None:
    judged = judge(*hand_made(j_prediction=0.2))
    assert judged.overall[0].verdict == "supported"
    assert judged.behaviours[0].score.value == pytest.approx(0.8)
    assert judged.behaviours[0].surplus is not None
    assert judged.behaviours[0].surplus.value == pytest.approx(-0.1)


def test_an_effect_under_the_noise_leaves_the_behaviour_undecided() -> None:
    claims, units, test, behaviour, seed = hand_made(j_prediction=0.2)
    behaviour["floor"] = behaviour["J"][:, ARMS.index("mean")] / 5
    judged = judge(claims, units, test, behaviour, seed)
    assert judged.overall[0].verdict == "predicts"
    assert judged.overall[0].reason.endswith("behaviour is undecided: effect under 10 times the numerical noise")


def test_no_effect_at_all_is_no_crash() -> None:
    claims, units, test, behaviour, seed = hand_made(j_prediction=0.2)
    behaviour["J"][:] = 0
    behaviour["floor"][:] = 0
    judged = judge(claims, units, test, behaviour, seed)
    assert judged.overall[0].verdict == "predicts"
    assert "behaviour is undecided" in judged.overall[0].reason


def test_few_firings_keep_both_checks_undecided_though_the_behaviour_would_refute() -> None:
    judged = judge(*hand_made(j_prediction=1.1, fires=0.003))
    check = judged.check(0, "behaviour")
    assert check is not None
    assert check.verdict == "undecided"
    assert "too few firings" in check.reason
    assert judged.overall[0].verdict == "undecided"


def test_tokens_that_do_not_count_do_not_count() -> None:
    claims, units, test, behaviour, seed = hand_made(j_prediction=0.2)
    before = judge(claims, units, test, behaviour, seed)
    test["activations"][0, test["scored"] == 0] = 1e6
    after = judge(claims, units, test, behaviour, seed)
    assert after.prediction_inputs[0].score == before.prediction_inputs[0].score


def test_padding_of_the_behaviour_arrays_is_no_excerpt() -> None:
    claims, units, test, behaviour, seed = hand_made(j_prediction=0.2)
    padded = {
        "J": np.concatenate([behaviour["J"], np.full((1, len(ARMS), 5), np.nan)], axis=2),
        "documents": np.concatenate([behaviour["documents"], np.full((1, 5), -1)], axis=1),
        "weights": np.concatenate([behaviour["weights"], np.zeros((1, 5))], axis=1),
        "floor": np.concatenate([behaviour["floor"], np.zeros((1, 5))], axis=1),
    }
    plain, same = (judge(claims, units, test, arrays, seed) for arrays in (behaviour, padded))
    assert same.behaviours[0].score == plain.behaviours[0].score
    assert same.overall == plain.overall
