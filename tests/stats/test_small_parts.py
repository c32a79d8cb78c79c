from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, false_discovery_control

from assay import stats
from assay.errors import UsageError
from assay.stats import Calibration, benjamini_hochberg, calibrate, top_and_random_r
from assay.stats.multiple import binomial_tail


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_adjusted_p_values_are_scipy_s(p: list[float]) -> None:
    assert benjamini_hochberg(np.array(p)) == pytest.approx(false_discovery_control(p), abs=1e-15)


def test_no_p_values_adjust_to_none() -> None:
    assert benjamini_hochberg(np.zeros(0)).size == 0


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.1])
def test_what_is_no_p_value_is_refused(bad: float) -> None:
    with pytest.raises(UsageError, match="must be 0 to 1"):
        benjamini_hochberg(np.array([0.5, bad]))


def test_calibration_is_least_squares() -> None:
    rng = np.random.default_rng(0)
    predicted = rng.standard_normal(500) + 1000
    activations = 3 * predicted + rng.standard_normal(500)
    slope, intercept = np.polyfit(predicted - 1000, activations, 1)
    found = calibrate(predicted, activations)
    assert found.slope == pytest.approx(slope)
    assert found(np.array([1000.0])) == pytest.approx([intercept])


def test_a_constant_prediction_is_calibrated_to_the_mean() -> None:
    found = calibrate(np.full(4, 0.1), np.array([1.0, 2.0, 3.0, 6.0]))
    assert found == Calibration(0.0, 3.0)
    assert found(np.array([[0.1, 5.0]], dtype=np.float32)).tolist() == [[3.0, 3.0]]


def test_top_and_random_looks_at_ten_windows() -> None:
    rng = np.random.default_rng(0)
    windows = np.repeat([f"w{i:02}" for i in range(10)], 8)
    activations, predicted = rng.random(80), rng.random(80)
    assert top_and_random_r(predicted, activations, windows) == pytest.approx(np.corrcoef(predicted, activations)[0, 1])
    with pytest.raises(UsageError, match="needs 10 windows; got 9"):
        top_and_random_r(predicted[:72], activations[:72], windows[:72])


def test_top_and_random_always_looks_at_the_top() -> None:
    windows = np.repeat(np.arange(100), 8)
    activations = np.zeros(800)
    activations[::8] = np.arange(100)
    predicted = np.where(activations >= 95, activations, -activations)  # right in the top five windows, wrong elsewhere
    over_seeds = [top_and_random_r(predicted, activations, windows, seed) for seed in range(20)]
    assert len(set(over_seeds)) > 15
    expected: list[float] = []
    for seed in range(20):
        others = np.random.default_rng(seed).choice(np.arange(94, -1, -1), 5, replace=False)
        seen = np.isin(windows, [95, 96, 97, 98, 99, *others])
        expected.append(float(np.corrcoef(predicted[seen], activations[seen])[0, 1]))
    assert over_seeds == pytest.approx(expected)


def test_the_door_is_sorted_and_every_name_exists() -> None:
    assert stats.__all__ == sorted(stats.__all__, key=lambda name: (not name[0].isupper(), name))
    assert all(hasattr(stats, name) for name in stats.__all__)


def test_stats_and_referee_import_no_torch() -> None:
    code = "import sys, assay.stats, assay.referee; print(sorted({'torch', 'scipy', 'sklearn'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_binomial_tail_is_the_binomial_s_for_few_and_for_very_many() -> None:
    for least, n in ((0, 0), (0, 5), (1, 1), (3, 16), (16, 16), (2400, 46_080), (2304, 46_080), (46_080, 46_080)):
        assert binomial_tail(least, n, 0.05) == pytest.approx(binom.sf(least - 1, n, 0.05), rel=1e-9)
