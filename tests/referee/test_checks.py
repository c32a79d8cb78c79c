from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from assay.errors import UsageError
from assay.referee import (
    BEHAVIOUR_VERSION,
    PREDICTION_VERSION,
    Verdict,
    behaviour_check,
    judge_check,
    prediction_check,
    shuffled,
    unscored_check,
)
from assay.stats import document_weights, score


def unit(seed: int = 0, noise: float = 1.0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    predicted, other = rng.standard_normal((2, 8000)).astype(np.float32)
    activations = predicted + noise * rng.standard_normal(8000).astype(np.float32)
    return {
        "predicted": predicted,
        "activations": activations,
        "documents": np.arange(8000) // 100,
        "fire_above": 1.0,
        "other_unit": other + activations / 4,
    }


def excerpts(seed: int = 0, share: float = 0.4) -> dict[str, Any]:
    """Behaviour of a claim that leaves ``share`` of the mean's divergence, in 120 excerpts of 60 documents."""
    rng = np.random.default_rng(seed)
    mean = rng.gamma(2, 1e-5, 120)
    return {
        "divergences": {
            "prediction": share * mean * rng.uniform(0.5, 1.5, 120),
            "mean": mean,
            "other_unit": 1.1 * mean * rng.uniform(0.5, 1.5, 120),
            "shuffled": 1.5 * mean * rng.uniform(0.5, 1.5, 120),
            "noise_equal_r": (share + 0.2) * mean * rng.uniform(0.5, 1.5, 120),
        },
        "documents": np.arange(120) // 2,
        "excerpt_weights": rng.uniform(0.5, 2, 120),
        "floor": np.full(120, 1e-7),
    }


def test_prediction_scores_r_against_its_nulls() -> None:
    given = unit()
    found = prediction_check(**given, replicates=300, seed=5)
    p, a = given["predicted"].astype(float), given["activations"].astype(float)
    assert found.score == pytest.approx(np.corrcoef(p, a)[0, 1])
    assert found.nulls["constant"] == 0
    assert found.nulls["shuffled"] == pytest.approx(np.corrcoef(shuffled(p, 5), a)[0, 1])
    assert found.nulls["other_unit"] == pytest.approx(np.corrcoef(given["other_unit"], a)[0, 1])
    assert found.nulls["other_unit"] > 0.2 > 0.05 > abs(found.nulls["shuffled"])
    assert found.reasons == ()


def test_prediction_is_paired_and_agrees_with_score() -> None:
    """The same seed resamples the same documents for the claim, its nulls and ``assay.score``."""
    given = unit()
    found = prediction_check(**given, replicates=300, seed=5)
    twin = prediction_check(**{**given, "predicted": given["other_unit"]}, replicates=300, seed=5)
    assert np.array_equal(found.replicates_nulls["other_unit"], twin.replicates_score)
    shown = score(given["predicted"], given["activations"], given["documents"], replicates=300, seed=5).r
    assert shown is not None
    assert (shown.lo, shown.hi) == pytest.approx(tuple(np.quantile(found.replicates_score, [0.025, 0.975])))


def test_prediction_without_another_unit_has_two_nulls() -> None:
    given = unit()
    del given["other_unit"]
    assert set(prediction_check(**given, replicates=50).nulls) == {"constant", "shuffled"}


def test_shuffling_keeps_the_values_and_depends_on_the_seed() -> None:
    values = np.random.default_rng(0).standard_normal(1000)
    assert np.array_equal(np.sort(shuffled(values, 1)), np.sort(values))
    assert np.array_equal(shuffled(values, 1), shuffled(values, 1))
    assert (shuffled(values, 1) != shuffled(values, 2)).mean() > 0.99
    assert (shuffled(values, 1) != values).mean() > 0.99
    assert abs(np.corrcoef(np.arange(1000), np.argsort(shuffled(np.arange(1000.0), 1)))[0, 1]) < 0.15


def test_prediction_reasons_come_with_the_input() -> None:
    assert prediction_check(**{**unit(), "fire_above": 99.0}, replicates=50).reasons == (
        "too few firings: 0 in 0 documents; 20 in 10 are needed",
    )
    assert (
        "10 documents; 20 are needed"
        in prediction_check(**{**unit(), "documents": np.arange(8000) // 800}, replicates=50).reasons
    )


def test_a_constant_activation_is_undecided() -> None:
    check = prediction_check(**{**unit(), "activations": np.zeros(8000)}, replicates=50)
    found = judge_check({0: check}, {}).claims[0]
    assert found.verdict is Verdict.UNDECIDED
    assert found.reason.startswith("the activation is constant")


def test_a_constant_prediction_is_refuted() -> None:
    check = prediction_check(**{**unit(), "predicted": np.ones(8000)}, replicates=50)
    found = judge_check({0: check}, {}).claims[0]
    assert found.verdict is Verdict.REFUTED
    assert found.null == "other_unit"


def test_bad_arrays_are_refused() -> None:
    with pytest.raises(UsageError, match="one length"):
        prediction_check(**{**unit(), "other_unit": np.zeros(7)})
    with pytest.raises(UsageError, match="NaN"):
        prediction_check(**{**unit(), "other_unit": np.full(8000, np.nan)})


def test_behaviour_scores_the_ratio_of_weighted_sums() -> None:
    given = excerpts()
    found = behaviour_check(**given, replicates=300)
    w, j = given["excerpt_weights"], given["divergences"]
    for arm in ("prediction", "other_unit", "shuffled", "noise_equal_r"):
        assert found.arms[arm].value == pytest.approx(1 - (w @ j[arm]) / (w @ j["mean"]))
    assert found.score == found.arms["prediction"]
    assert found.check.score == found.score.value
    assert found.check.nulls == {
        "mean": 0.0,
        "other_unit": found.arms["other_unit"].value,
        "shuffled": found.arms["shuffled"].value,
    }
    assert found.check.reasons == ()


def test_the_benchmark_arm_is_shown_and_decides_nothing() -> None:
    given = excerpts()
    found = behaviour_check(**given, replicates=300)
    assert found.surplus is not None
    assert found.surplus.value == pytest.approx(found.arms["prediction"].value - found.arms["noise_equal_r"].value)
    assert found.surplus.lo < found.surplus.value < found.surplus.hi
    perfect = dict(given["divergences"], noise_equal_r=np.zeros(120))
    better = behaviour_check(**{**given, "divergences": perfect}, replicates=300)
    assert better.surplus is not None
    assert better.surplus.hi < 0
    assert judge_check({0: better.check}, {}).claims[0].verdict is Verdict.SUPPORTED


def test_worse_than_the_mean_is_refuted_even_when_other_nulls_are_worse_still() -> None:
    found = behaviour_check(**excerpts(share=1.2), replicates=300)
    assert found.score.value < 0
    assert found.check.nulls["shuffled"] < found.score.value
    assert judge_check({0: found.check}, {}).claims[0].verdict is Verdict.REFUTED


@pytest.mark.parametrize(("multiple", "carried"), [(10.01, True), (9.99, False)])
def test_an_effect_under_ten_times_the_noise_is_undecided(multiple: float, carried: bool) -> None:
    given = excerpts()
    w = given["excerpt_weights"]
    given["floor"] = np.full(120, (w @ given["divergences"]["mean"]) / multiple / w.sum())
    found = behaviour_check(**given, replicates=50)
    assert found.check.reasons == (() if carried else ("effect under 10 times the numerical noise",))


def test_no_effect_at_all_is_undecided() -> None:
    given = excerpts()
    given["divergences"] = {"prediction": np.zeros(120), "mean": np.zeros(120)}
    given["floor"] = np.zeros(120)
    found = judge_check({0: behaviour_check(**given, replicates=50).check}, {}).claims[0]
    assert found.verdict is Verdict.UNDECIDED


def test_few_documents_leave_behaviour_undecided() -> None:
    given = excerpts()
    found = behaviour_check(**{**given, "documents": np.arange(120) // 7}, replicates=50)
    assert found.check.reasons == ("18 documents; 20 are needed",)


def test_arms_that_were_not_run_are_left_out() -> None:
    given = excerpts()
    arms = dict(given["divergences"], other_unit=np.full(120, np.nan))
    del arms["noise_equal_r"]
    found = behaviour_check(**{**given, "divergences": arms}, replicates=50)
    assert set(found.check.nulls) == {"mean", "shuffled"}
    assert found.surplus is None
    assert set(found.arms) == {"prediction", "shuffled"}


@pytest.mark.parametrize(("missing", "reasons"), [(6, ()), (7, ("too much unscored: 7 of 120 excerpts",))])
def test_unscored_excerpts_are_left_out_of_all_arms_and_counted(missing: int, reasons: tuple[str, ...]) -> None:
    given = excerpts()
    arms = given["divergences"] = {name: j.copy() for name, j in given["divergences"].items()}
    arms["shuffled"][:missing] = np.nan
    found = behaviour_check(**given, replicates=50)
    w = given["excerpt_weights"][missing:]
    assert found.score.value == pytest.approx(1 - (w @ arms["prediction"][missing:]) / (w @ arms["mean"][missing:]))
    assert found.check.reasons == reasons


def test_arms_have_names() -> None:
    given = excerpts()
    with pytest.raises(UsageError, match="unknown arm 'noise'"):
        behaviour_check(**{**given, "divergences": {**given["divergences"], "noise": np.zeros(120)}})
    with pytest.raises(UsageError, match="needs the arm 'mean'"):
        behaviour_check(**{**given, "divergences": {"prediction": np.zeros(120)}})
    with pytest.raises(UsageError, match="needs the arm 'prediction'"):
        behaviour_check(**{**given, "divergences": {"mean": np.ones(120), "prediction": np.full(120, np.nan)}})


def test_golden_numbers_of_both_checks() -> None:
    """If this fails, numbers of stored runs changed: raise the version of the check, and write the new ones here."""
    assert (PREDICTION_VERSION, BEHAVIOUR_VERSION) == (1, 1)
    assert document_weights(4, 3, seed=7).tolist() == [[1, 2, 1, 0], [0, 1, 2, 1], [0, 2, 2, 0]]
    faint = {**unit(noise=20.0), "fire_above": 20.0}
    del faint["other_unit"]
    prediction = judge_check({0: prediction_check(**faint, replicates=500, seed=7)}, {}).claims[0]
    assert prediction.verdict is Verdict.SUPPORTED
    expected = (0.049178827269482195, 0.02680908629, 0.06744537839880467, 0.0020025882556433776, 0.9979974117443566)
    assert prediction[1:6] == pytest.approx(expected)
    behaviour = judge_check({0: behaviour_check(**excerpts(share=0.96), replicates=500, seed=7).check}, {}).claims[0]
    assert behaviour.verdict is Verdict.UNDECIDED
    expected = (0.033002299279531244, -0.03147722176505985, 0.09467535101658757, 0.3465870208202539, 0.6534129791797461)
    assert behaviour[1:6] == pytest.approx(expected)


def test_more_than_5_per_cent_of_tokens_without_a_prediction_leave_it_undecided() -> None:
    given = unit()
    few, many = (prediction_check(**given, unscored=n, replicates=50) for n in (421, 422))  # of 8,421 and 8,422 tokens
    assert few.reasons == ()
    assert many.reasons == ("too much unscored: 422 of 8422 tokens",)
    assert many.score == few.score


def test_what_could_not_be_measured_has_no_score_and_is_undecided_with_its_reason() -> None:
    found = judge_check({"a": unscored_check("the reply is empty")}, {"b": unscored_check("the same")})
    verdict = found.claims["a"]
    assert verdict.verdict is Verdict.UNDECIDED
    assert verdict.reason.startswith("unscored: the reply is empty")
    assert np.isnan([verdict.d, verdict.d_lo, verdict.d_hi]).all()
    assert verdict.p_support is None
    assert found.summary.n == 0
    assert found.controls["b"].verdict is Verdict.UNDECIDED
