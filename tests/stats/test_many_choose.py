from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.errors import UsageError
from assay.stats import Calibration, best_threshold, calibrate, documents_with_half_the_variance, reasons_undecided
from assay.stats.many_choose import Lines, many_best_threshold, many_calibrate, many_calibrated
from assay.stats.many_ranks import many_ranks
from assay.stats.many_undecided import many_grounds


def units(count: int, tokens: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((count, tokens)).astype(np.float32) ** 3
    p = (0.3 * a + rng.standard_normal((count, tokens))).astype(np.float32)
    p[::2] = np.round(p[::2] * 2)
    p[::3] = np.where(p[::3] > 1, p[::3], 0)  # mostly one value
    p[count // 2] = 1.5
    return p, a


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 9), st.integers(1, 700), st.floats(-3, 4), st.integers(0, 10**6))
def test_thresholds_are_each_unit_s(count: int, tokens: int, level: float, seed: int) -> None:
    p, a = units(count, tokens, seed)
    lines = many_calibrate(p, a, least_slope=1e-3)
    found = many_best_threshold(p, a, np.full(count, level), lines=lines)
    bare = many_best_threshold(p, a, np.full(count, level))
    for i in range(count):
        fires = a[i] > level
        line = Calibration(float(lines.slopes[i]), float(lines.intercepts[i]))
        for values, here in ((line(p[i]), found[i]), (p[i], bare[i])):
            expected = best_threshold(values, fires)
            assert np.isnan(here) if expected is None else here == expected


def test_lines_are_each_unit_s_and_never_turned_round() -> None:
    p, a = units(12, 800, 0)
    a[3] = -p[3]
    plain, upright = many_calibrate(p, a), many_calibrate(p, a, least_slope=1e-3)
    for i in range(12):
        assert (plain.slopes[i], plain.intercepts[i]) == pytest.approx(tuple(calibrate(p[i], a[i])), rel=1e-9)
    least = 1e-3 * a.std(axis=1, dtype=float)[3] / p.std(axis=1, dtype=float)[3]
    assert plain.slopes[3] == pytest.approx(-1)
    assert upright.slopes[3] == pytest.approx(least)
    assert upright.intercepts[3] == pytest.approx(a[3].mean(dtype=float) - least * p[3].mean(dtype=float))
    assert (upright.slopes[6], upright.intercepts[6]) == pytest.approx((0, a[6].mean(dtype=float)))
    rows = np.arange(12)[::-1]
    made = many_calibrated(p, upright, rows=rows)
    for i in range(12):
        line = Calibration(float(upright.slopes[i]), float(upright.intercepts[i]))
        assert np.array_equal(made[i], line(p[11 - i]).astype(np.float32))
    assert many_calibrate(p, a, rows=rows).slopes[0] == pytest.approx(calibrate(p[11], a[0]).slope)


def test_predictions_that_fit_no_unit_are_refused() -> None:
    p, a = units(4, 50, 0)
    with pytest.raises(UsageError, match="say in rows"):
        many_calibrated(p, Lines(np.ones(3), np.zeros(3)))
    p[2, 2] = np.inf
    with pytest.raises(UsageError, match="1 of 4 units"):
        many_calibrate(p, a)


def places(p: np.ndarray, a: np.ndarray) -> list[int]:
    """Ranks from numpy's own correlations in float64."""
    found = []
    for i in range(len(p)):
        with np.errstate(all="ignore"):
            r = [np.corrcoef(p[i].astype(float), row.astype(float))[0, 1] for row in a]
        r = [0.0 if np.isnan(x) else x for x in r]
        defined = np.ptp(p[i]) > 0 and np.ptp(a[i]) > 0
        found.append(1 + sum(x > r[i] for x in r) if defined else 0)
    return found


def test_ranks_are_the_place_among_all_units() -> None:
    rng = np.random.default_rng(0)
    p, a = units(40, 900, 1)
    p = (0.05 * p + 3 * rng.standard_normal(p.shape)).astype(np.float32)
    p[4], a[5] = 3.0, 0.25
    p += np.float32(100)
    found = many_ranks(p, a)
    assert found.tolist() == places(p, a)
    assert found[4] == found[5] == 0
    assert len(set(found.tolist())) > 10


def test_rounding_decides_no_rank() -> None:
    """Twins and near twins of a unit: float32 could not tell them apart."""
    rng = np.random.default_rng(2)
    tokens = 5000
    p = rng.standard_normal((8, tokens)).astype(np.float32)
    a = (p + rng.standard_normal((8, tokens))).astype(np.float32)
    a[1] = a[2] = a[0]
    a[3] = a[0] * np.float32(1 + 2e-7)
    a[4] = a[0] + 1e-3 * (p[0] - a[0])  # truly higher
    p[1] = p[2] = p[3] = p[4] = p[0]
    found = many_ranks(p, a)
    assert found[0] == found[1] == found[2]
    assert found[4] == 1
    assert found.tolist() == places(p, a)


def test_grouped_ranks_are_the_same() -> None:
    rng = np.random.default_rng(3)
    ids = np.minimum(rng.zipf(1.3, 2000), 300)
    p = rng.standard_normal((30, 301)).astype(np.float32)[:, ids]
    a = (0.1 * p + rng.standard_normal((30, 2000))).astype(np.float32)
    assert np.array_equal(many_ranks(p, a, groups=ids), many_ranks(p, a))
    p = p.copy()
    p[7, 5] += 1
    with pytest.raises(UsageError, match="predictions of 1 of 30 units differ"):
        many_ranks(p, a, groups=ids)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 300), st.integers(1, 40), st.floats(-1, 4), st.integers(0, 10**6))
def test_grounds_are_each_unit_s(tokens: int, documents: int, level: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    of_token = rng.integers(0, documents, tokens)
    a = rng.standard_normal((5, tokens)).astype(np.float32)
    a[1] = 0.1
    a[2, of_token > 0] *= np.float32(0.01)
    found = many_grounds(a, of_token, documents, np.full(5, level))
    for i in range(5):
        assert found.reasons(i) == reasons_undecided(a[i], of_token, documents, level)
        assert found.half[i] == documents_with_half_the_variance(a[i], of_token, documents)
    a[3, 0] = np.nan
    with pytest.raises(UsageError, match="1 of 5 units"):
        many_grounds(a, of_token, documents, np.full(5, level))
