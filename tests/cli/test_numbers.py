from __future__ import annotations

import pytest

from assay.cli.numbers import beside, highest, interval_text, listed, score_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.474, ".47"),
        (-0.031, "-.03"),
        (0.0, ".00"),
        (-0.001, ".00"),
        (0.996, "1.00"),
        (0.994, ".99"),
        (-0.999, "-1.00"),
        (1.0, "1.00"),
        (10.04, "10.04"),
        (-20.5, "-20.50"),
        (None, "–"),
    ],
)
def test_a_score_has_two_decimals_and_no_leading_zero(value: float | None, text: str) -> None:
    assert score_text(value) == text


def test_an_interval_needs_both_ends() -> None:
    assert interval_text(0.41, 0.533) == "[.41 .53]"
    assert interval_text(None, 0.5) == ""
    assert beside(0.5, 0.4, 0.6).plain == " .50 [.40 .60]"
    assert beside(-0.5).plain == "-.50"


def test_the_highest_null_leaves_out_what_was_not_scored() -> None:
    assert highest({"constant": 0.0, "other_unit": None, "shuffled": 0.02}) == 0.02
    assert highest({"constant": -0.5}) == -0.5
    assert highest({"constant": None}) is None
    assert highest({}) is None
    assert listed({"constant": 0.0, "bigram": None}) == "constant .00, bigram –"
