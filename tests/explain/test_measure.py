"""The test pass: predictions, activations and ranks against the plain way to get them."""

from __future__ import annotations

import numpy as np
import pytest

from assay.core.ids import UnitId
from assay.explain.claims import plain_r
from assay.explain.measure import run_behaviour, run_test_pass
from assay.explain.verdicts import ARMS
from assay.referee import shuffled
from assay.rules import RuleList
from explain.bench import SEED, SITE, Bench, quiet


@pytest.fixture(scope="module")
def activations(bench: Bench) -> np.ndarray:
    return bench.activations(bench.material.test)


def test_predictions_are_those_of_the_explanations_calibrated(bench: Bench, activations: np.ndarray) -> None:
    units = [bench.unit("effect"), bench.unit("context")]
    claims = [bench.claim(units[1]), bench.claim(units[0]), bench.claim(units[1], bench.fitted(units[0]))]
    tested = run_test_pass(bench.subject, bench.material.test, units, claims, quiet)
    view = bench.material.test.full_view
    for i, claim in enumerate(claims):
        expected = claim.calibration.intercept + claim.calibration.slope * claim.explanation.predict(view)
        assert tested.predictions[i] == pytest.approx(expected, rel=1e-5, abs=1e-6)
        line = claim.rival_calibration
        assert tested.other_unit[i] == pytest.approx(line.intercept + line.slope * claim.rival.predict(view), abs=1e-6)
    assert np.array_equal(tested.activations, activations[:, [unit.index for unit in units]].T)
    assert tested.predictions.dtype == tested.activations.dtype == np.float32
    assert np.ptp(tested.predictions[0]) > 0.5


def test_rank_is_the_place_among_all_units_of_the_site(bench: Bench, activations: np.ndarray) -> None:
    """Own units, another's explanation, twins (which tie), a weak one, and what has no rank."""
    effect, context, silent = bench.unit("effect"), bench.unit("context"), bench.unit("silent")
    vague = RuleList.from_json({"rules": [{"when": [{"slot": "form", "named": "starts a word"}], "value": 1.0}]})
    claims = [
        bench.claim(effect),
        bench.claim(effect, bench.fitted(context)),
        bench.claim(bench.unit("twin", 1)),
        bench.claim(context, bench.fitted(context, vague)),
        bench.claim(bench.unit("lexical")),
        bench.claim(silent, bench.fitted(silent, RuleList((), 1.0, 129))),
        bench.claim(bench.unit("dead"), bench.fitted(effect)),
    ]
    units = list(dict.fromkeys(claim.unit for claim in claims))
    part = bench.material.test
    tested = run_test_pass(bench.subject, part, units, claims, quiet)
    everything = activations[part.scored].astype(float)
    alive = everything.std(0) > 0
    expected: list[int | None] = []
    for claim, predicted in zip(claims, tested.predictions[:, part.scored], strict=True):
        if np.ptp(predicted) == 0 or not alive[claim.unit.index]:
            expected.append(None)
            continue
        r = [np.corrcoef(predicted, everything[:, i])[0, 1] if alive[i] else 0.0 for i in range(everything.shape[1])]
        expected.append(1 + sum(value > r[claim.unit.index] + 1e-9 for value in r))
    assert list(tested.rank) == expected
    assert expected[0] == expected[2] == expected[4] == 1
    assert expected[1] is not None
    assert expected[1] > 1
    assert expected[5:] == [None, None]


def test_a_site_may_have_large_constant_units(bench: Bench) -> None:
    """In the residual the constant axis is far from 0: rounding must not pass for variation."""
    site = SITE._replace(kind="resid_pre")
    unit = UnitId(site, 5)
    claim = bench.claim(bench.unit("effect"))
    moved = type(claim)(**{**claim.__dict__, "unit": unit})
    part = bench.material.test
    tested = run_test_pass(bench.subject, part, [unit], [moved], quiet)
    assert tested.activations[0].std() > 0
    assert tested.rank[0] is not None
    assert 1 <= tested.rank[0] <= bench.subject.d_model


def test_behaviour_arrays_hold_every_arm_in_its_place(bench: Bench) -> None:
    """Arms handed to the runs are told apart by what they do: J of the stored arm equals J of that arm alone."""
    from assay.explain.behaviour import Behaviour
    from assay.explain.measure import noisy

    unit, stranger = bench.unit("effect"), bench.unit("effect", 1)
    claims = [bench.claim(unit), bench.claim(unit, bench.fitted(stranger))]
    part = bench.material.test
    tested = run_test_pass(bench.subject, part, [unit], claims, quiet)
    mean = float(bench.fit[:, unit.index].mean())
    stored = run_behaviour(bench.subject, part, [unit], claims, tested, {unit: mean}, seed=SEED, progress=quiet)
    real = tested.activations[0]
    permuted = tested.predictions[0].copy()
    permuted[part.scored] = shuffled(tested.predictions[0][part.scored].astype(float), SEED)
    alone = {
        "prediction": tested.predictions[0],
        "mean": np.full_like(real, mean),
        "other_unit": tested.other_unit[0],
        "shuffled": permuted,
        "noise_equal_r": noisy(real, part.scored, plain_r(tested.predictions[0][part.scored], real[part.scored]), SEED),
    }
    found = Behaviour(bench.subject, part, {1}, SEED, quiet).run(unit, real, alone)
    for a, arm in enumerate(ARMS):
        assert stored["J"][0, a] == pytest.approx(found.j[arm], rel=1e-9), arm
    assert len({round(float(stored["J"][0, a] @ stored["weights"][0]), 9) for a in range(len(ARMS))}) >= 4
    control = dict(zip(ARMS, stored["J"][1], strict=True))
    assert control["mean"] == pytest.approx(found.j["mean"], rel=1e-9)
    assert control["prediction"].sum() > 5 * stored["J"][0, 0].sum()
    assert np.isnan(control["noise_equal_r"]).all()
    assert np.array_equal(stored["documents"][0], part.table.documents[stored["windows"][0]])
    assert np.array_equal(stored["weights"][0], found.weights)
