"""Bars are numpy's counts, areas are masses, and the marks stand where the numbers say."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from assay.draw import activation_histogram, quantile_histogram
from draw.reading import elements, layer, rows, titles


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    """Heavy tails: most near 0, a few far out on both sides."""
    return np.random.default_rng(7).standard_t(2.5, 20_000) * 0.1


def test_bars_are_the_counts_of_numpy(values):
    bars = rows(activation_histogram(values), "bars")
    edges = np.array([bar["low"] for bar in bars] + [bars[-1]["high"]])
    assert sum(bar["height"] for bar in bars) == values.size
    for bar in bars:
        inside = (values >= bar["low"]) & ((values < bar["high"]) | (bar["high"] == edges[-1]))
        assert bar["height"] == inside.sum()


def test_bins_are_of_one_width_and_none_has_both_signs(values):
    bars = rows(activation_histogram(values, bins=50), "bars")
    widths = np.array([bar["high"] - bar["low"] for bar in bars])
    np.testing.assert_allclose(widths, np.ptp(values) / 50, rtol=1e-9)
    assert {bar["side"] for bar in bars if bar["high"] <= 1e-12} == {"below 0"}
    assert {bar["side"] for bar in bars if bar["low"] >= -1e-12} == {"above 0"}
    assert all(bar["high"] <= 1e-12 or bar["low"] >= -1e-12 for bar in bars)


def test_a_single_token_far_out_is_a_bar_to_be_seen(values):
    figure = activation_histogram(np.append(values, 50.0))
    last = rows(figure, "bars")[-1]
    assert (last["height"], last["base"]) == (1, 0.5)  # on a logarithm the bar begins below 1
    scale = layer(figure, "bars", "bar")["encoding"]["y"]["scale"]
    assert scale["type"] == "log"
    assert scale["domain"][0] == 0.5
    assert titles(figure)[-1].endswith(": 1 token")


def test_threshold_is_the_99th_percentile_unless_it_is_given(values):
    assert rows(activation_histogram(values), "threshold")[0]["at"] == np.quantile(values, 0.99)
    figure = activation_histogram(values, fires_above=0.25)
    assert rows(figure, "threshold") == [{"at": 0.25, "says": "fires above 0.25"}]
    assert f"on {100 * (values > 0.25).mean():.3g} % of the tokens" in figure.alternative
    assert rows(figure, "zero") == [{"at": 0.0}]


def test_the_threshold_stands_at_its_place_in_the_picture(values):
    figure = activation_histogram(values, fires_above=1.0, width=400)
    low, high = layer(figure, "bars", "bar")["encoding"]["x"]["scale"]["domain"]
    places = [line.attrib["transform"] for line in elements(figure, "line") if line.attrib.get("stroke") == "#5c5c64"]
    across = [float(re.match(r"translate\(([\d.]+),", place).group(1)) for place in places]
    assert across == pytest.approx([400 * (1.0 - low) / (high - low)], abs=0.6)


def test_positive_units_have_no_zero_line_and_start_at_zero():
    figure = activation_histogram(np.random.default_rng(0).exponential(1, 1000))
    assert rows(figure, "zero") == []
    assert rows(figure, "bars")[0]["low"] == 0.0


def test_a_constant_unit_and_values_that_are_not_finite():
    bars = rows(activation_histogram([0.0] * 9 + [np.nan]), "bars")
    assert [bar["height"] for bar in bars] == [9]
    assert [bar["height"] for bar in rows(activation_histogram([-2.0] * 5), "bars")] == [5]
    with pytest.raises(ValueError, match="at least one finite value"):
        activation_histogram([np.nan])


def test_area_of_a_bar_from_quantiles_is_the_share_of_tokens(values):
    levels = np.array([0, 0.01, 0.25, 0.5, 0.75, 0.99, 1])
    bars = rows(quantile_histogram(levels, np.quantile(values, levels)), "bars")
    area = {bar["high"]: (bar["high"] - bar["low"]) * bar["height"] for bar in bars}
    assert sum(area.values()) == pytest.approx(1)
    assert area[np.quantile(values, 0.01)] == pytest.approx(0.01)
    assert area[values.max()] == pytest.approx(0.01)


def test_quantiles_that_coincide_share_a_bar():
    levels = [0, 0.25, 0.5, 0.75, 1]
    figure = quantile_histogram(levels, [0, 0, 0, 0.5, 2])  # a rectified unit: half of it is 0
    bars = rows(figure, "bars")
    assert [(bar["low"], bar["high"]) for bar in bars] == [(0.0, 0.5), (0.5, 2.0)]
    assert [bar["height"] * (bar["high"] - bar["low"]) for bar in bars] == pytest.approx([0.75, 0.25])
    assert rows(quantile_histogram([0, 1], [3, 3]), "bars")[0]["height"] == 1.0


def test_the_bar_across_zero_is_split_at_equal_density():
    bars = rows(quantile_histogram([0, 1], [-1, 3]), "bars")
    assert [(bar["low"], bar["high"], bar["side"]) for bar in bars] == [(-1, 0, "below 0"), (0, 3, "above 0")]
    assert bars[0]["height"] == bars[1]["height"] == 0.25


def test_firing_from_quantiles():
    assert rows(quantile_histogram([0, 0.99, 1], [0, 2, 5]), "threshold")[0]["at"] == pytest.approx(2)
    assert rows(quantile_histogram([0.1, 0.9], [0, 2]), "threshold") == []
    assert (
        "1 % below −1, 50 % below 0.5, 99 % below 2"
        in quantile_histogram([0, 0.01, 0.5, 0.99, 1], [-4, -1, 0.5, 2, 5]).alternative
    )


@pytest.mark.parametrize(
    ("levels", "values"),
    [([0], [1]), ([0, 1], [1, 0]), ([0, 0.5, 0.5], [0, 1, 2]), ([0, 2], [0, 1]), ([0, 1], [0, math.nan])],
)
def test_quantiles_that_are_none_are_refused(levels, values):
    with pytest.raises(ValueError, match="levels"):
        quantile_histogram(levels, values)
