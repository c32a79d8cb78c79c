"""Means of many units: their interval and their null stand beside them."""

from __future__ import annotations

import numpy as np
import pytest

from assay.view.means import mean_beside_null


def test_the_interval_holds_the_mean_as_wide_as_its_error() -> None:
    r = np.random.default_rng(3).normal(0.4, 0.2, 4000)
    found = mean_beside_null(r, np.where(r > 0.4, 0.1, np.nan))
    assert found["mean_r"] == pytest.approx(r.mean())
    assert found["mean_null"] == pytest.approx(0.1)
    half = 1.96 * r.std() / np.sqrt(len(r))
    assert found["mean_r_lo"] == pytest.approx(r.mean() - half, abs=half / 5)
    assert found["mean_r_hi"] == pytest.approx(r.mean() + half, abs=half / 5)


def test_few_units_have_no_interval_and_none_have_no_mean() -> None:
    few = mean_beside_null(np.full(19, 0.5), np.full(19, np.nan))
    assert few == {"mean_r": 0.5, "mean_r_lo": None, "mean_r_hi": None, "mean_null": None}
    assert set(mean_beside_null(np.zeros(0), np.zeros(0)).values()) == {None}
