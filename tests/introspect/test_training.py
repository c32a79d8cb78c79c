"""How patches come nearer while a reporter is taught."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy.special import ndtr

from assay.introspect import training
from assay.introspect.regimes import INT, doses, lengths
from assay.introspect.reporter import reporter
from assay.introspect.training import Lesson, Plan, how_far, train
from introspect.test_gates import WORDINGS, kept, neurons, sentences
from model.tiny_models import tiny


@pytest.mark.parametrize("regime", ["int", "int10", "swap"])
def test_patches_come_from_the_residuals_own_spread_down_to_their_regime(regime: str) -> None:
    asked = neurons(1)
    long = lengths(regime, asked)
    assert long == pytest.approx([INT.get(regime, 1.0) * n.sd * n.write_norm for n in asked])
    spread = 30 * float(long.min())
    far = how_far(regime, asked, spread, np.array([0.0, 0.5, 1.0, 1.4]))
    assert far[0] * long == pytest.approx(np.maximum(spread, long))
    assert far[1] ** 2 == pytest.approx(far[0])
    assert np.array_equal(far[2:], np.ones((2, 2)))
    assert np.array_equal(how_far(regime, asked, 0.0, np.array([0.0])), np.ones((1, 2)))  # never nearer than it says


@pytest.mark.parametrize("regime", ["int", "int10", "swap"])
def test_far_patches_are_told_on_the_regimes_own_scale(regime: str) -> None:
    asked, rng = neurons(1), np.random.default_rng(0)
    values = np.stack([n.mean + n.sd * rng.standard_normal(4000) for n in asked], 1).astype(np.float32)
    near = doses(regime, asked, values, np.random.default_rng(1))
    far = doses(regime, asked, values, np.random.default_rng(1), np.array([[20.0, 1.0]]))
    assert np.array_equal(near.digits[:, 1], far.digits[:, 1])
    assert np.array_equal(near.change[:, 1], far.change[:, 1])
    mean = asked[0].mean
    assert far.change[:, 0] + values[:, 0] - mean == pytest.approx(
        20 * (near.change[:, 0] + values[:, 0] - mean), rel=1e-3, abs=1e-3
    )
    wanted = (far.change[:, 0] + values[:, 0]).astype(np.float64)
    if regime == "swap":
        assert np.array_equal(far.digits[:, 0], asked[0].digits(wanted))
    else:
        z = (wanted - mean) / (INT[regime] * asked[0].sd)
        right = np.minimum((10 * ndtr(z)).astype(int), 9)
        assert (far.digits[:, 0] == right).mean() > 0.99  # but for rounding at the borders
        assert np.isin(far.digits[:, 0], (0, 9)).mean() > 0.85
    assert np.isin(near.digits[:, 0], (0, 9)).mean() < 0.4


def test_a_reporter_is_judged_only_on_what_it_will_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    subject, given = tiny("llama", torch.float32), list[np.ndarray]()
    found = kept(subject, sentences(40), "Q")
    asked, values = neurons(1), found.values[1][:, [n.unit.number for n in neurons(1)]]
    drawn = training.doses

    def spied(*args: object) -> object:
        given.append(np.asarray(args[4]))
        return drawn(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "doses", spied)
    scores = iter([0.0, 0.1, 0.3, 0.2])
    with reporter(subject, asked, WORDINGS["Q"], "above", 4, 0) as student:
        lesson = Lesson(found.batches, values, 50.0)
        train(student, asked, lesson, "int", Plan(patched_epochs=5, approach=0.6), 0, lambda: next(scores))
    assert next(scores, None) is None  # before, and after the third, fourth and fifth epoch
    assert [far.max() > 1 for far in given] == [True, True, True, False, False]
    for far, later in itertools.pairwise(given):
        assert (later.max(0) <= far.min(0) + 1e-9).all()
