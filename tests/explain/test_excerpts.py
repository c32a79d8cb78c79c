"""Which tokens a page shows, and how their numbers become shades."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from assay.draw.heat import Scale, visible
from assay.explain.excerpts import Amount, TestText, draw, exemplars

AMOUNT = Amount(strongest=3, predicted=2, quantiles=4, random=2, exemplars=2, before=3, after=1)
LENGTH = 10
TEXTS = {i: f" w{i}" for i in range(7)}


def text_of(windows: int) -> TestText:
    """Windows of ten tokens, two a document; position 0 is not scored."""
    n = windows * LENGTH
    numbers = np.repeat(np.arange(windows, dtype=np.int32), LENGTH)
    scored = np.arange(n) % LENGTH > 0
    return TestText(np.arange(n, dtype=np.int32) % 7, numbers // 2, numbers, scored, TEXTS)


def noise(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 1, n).astype(np.float32)


def groups_of(text: TestText, real: np.ndarray, predicted: np.ndarray, unit: str = "L0.mlp_act:0"):
    found = draw(text, unit, real, predicted, AMOUNT, Scale.of(real[text.scored]))
    return {group.title: group.excerpts for group in found}


def test_strongest_shows_the_highest_scored_token_of_each_document():
    text, real = text_of(12), noise(120)
    real[[37, 33, 85, 112]] = 9, 8, 7, 6  # 33 and 37 are of one document
    real[20] = 50  # position 0: not scored
    shown = groups_of(text, real, noise(120, 1))["Strongest"]
    assert [x.real for x in shown] == ["9.00", "7.00", "6.00"]
    assert all(sum(token.looked_at for token in x.tokens) == 1 for x in shown)


def test_false_alarms_are_shown_under_the_claim_that_raises_them():
    text, real, predicted = text_of(12), noise(120), np.zeros(120, np.float32)
    real[45], predicted[78] = 9, 9
    shown = groups_of(text, real, predicted)["Strongest by claim"]
    assert (shown[0].real, shown[0].predicted) == (f"{real[78]:.2f}", "9.00")


def test_a_token_that_no_judge_was_asked_about_shows_the_real_number_alone():
    text, real, predicted = text_of(12), noise(120), np.full(120, 0.5, np.float32)
    real[45] = 9
    predicted[43] = np.nan
    text = replace(text, scored=text.scored & np.isfinite(predicted))
    tokens = {token.text: token for token in groups_of(text, real, predicted)["Strongest"][0].tokens}
    without, beside = tokens[" w1"], tokens[" w3"]  # tokens 43 and 45
    assert (without.real, without.predicted) == (f"{real[43]:.2f}", "")
    assert "p" not in without.shades
    assert (beside.predicted, beside.looked_at) == ("0.50", True)


def test_lowest_appears_only_when_there_is_a_negative_tail():
    text, real = text_of(12), noise(120)
    assert "Lowest" not in groups_of(text, real, real)
    real[64] = -0.9
    assert groups_of(text, real, real)["Lowest"][0].real == "−0.900"


def test_quantiles_are_those_of_the_scored_tokens():
    text, real = text_of(40), noise(400)
    real[~text.scored] = 77
    shown = groups_of(text, real, real)["Across the range"]
    assert [x.label for x in shown] == ["q99.9", "q99", "q90", "q50"]
    expected = np.quantile(real[text.scored], (0.999, 0.99, 0.9, 0.5))
    assert [float(x.real) for x in shown] == pytest.approx(expected, abs=0.02)


def test_an_excerpt_stays_in_its_window_and_says_where_the_document_goes_on():
    text, real = text_of(4), noise(40)
    real[11] = 9  # second token of the second window of document 0
    shown = groups_of(text, real, real)["Strongest"][0]
    assert [token.text for token in shown.tokens] == [" w3", " w4", " w5"]  # ids 10, 11, 12
    assert shown.cut_before
    assert shown.cut_after
    real[11], real[19] = 0, 9  # the last token of document 0
    shown = groups_of(text, real, real)["Strongest"][0]
    assert len(shown.tokens) == AMOUNT.before + 1
    assert not shown.cut_after


def test_draws_depend_on_the_unit_and_on_nothing_else():
    text, real = text_of(40), noise(400)
    one, again, other = (groups_of(text, real, real, unit)["At random"] for unit in ("a", "a", "b"))
    assert one == again != other


def test_ties_of_the_prediction_are_broken_at_random():
    text, real = text_of(60), noise(600)
    flat = np.ones(600, np.float32)
    firsts = {groups_of(text, real, flat, f"unit {i}")["Strongest by claim"][0].real for i in range(12)}
    assert len(firsts) > 6


def test_both_halves_are_shaded_on_one_scale():
    text, real, predicted = text_of(2), np.zeros(20, np.float32), np.zeros(20, np.float32)
    real[5], predicted[5] = 8, -4
    scale = Scale(8.0, 2)
    [shown] = [g for g in draw(text, "u", real, predicted, AMOUNT, scale) if g.title == "Strongest"]
    [token] = [token for token in shown.excerpts[0].tokens if token.looked_at]
    assert (token.shades, token.real, token.predicted) == ("a8 pn4", "8.00", "−4.00")
    assert {token.shades for token in shown.excerpts[0].tokens if not token.looked_at} == {""}


@pytest.mark.parametrize(
    ("value", "shade", "number"),
    [(2.0, "a8", "2.00"), (5.0, "a8", "5.00"), (0.99, "a4", "0.99"), (-0.26, "an1", "−0.26"), (-0.001, "", "0.00")],
)
def test_scale(value, shade, number):
    scale = Scale.of(np.array([0.1] * 50 + [2.0] * 10, np.float32))
    assert scale.full == pytest.approx(2.0)
    assert scale.shade("a", value) == shade
    assert scale.number(value) == number


def test_scale_of_small_and_of_dead_units():
    assert Scale.of(np.full(30, 0.004, np.float32)).decimals == 5
    assert Scale.of(np.full(30, 512.0, np.float32)).decimals == 0
    assert Scale.of(np.zeros(30, np.float32)).full == 1.0


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (" the", " the"),
        (" ", " "),
        ("    ", "␣␣␣␣"),
        ("\n\n", "⏎⏎"),
        ("\tx\r", "⇥x␍"),
        ("\x1b[31m", "␛[31m"),
        ("a\u202eb", "a[U+202E]b"),
    ],
)
def test_what_can_not_be_seen_is_made_visible(text, shown):
    assert visible(text) == shown


def test_exemplars_are_cut_around_their_peak_and_padding_is_dropped():
    ids = np.array([[1, 2, 3, 4, 5, 6, -1, -1], [-1] * 8, [1, 1, 1, 1, 1, 1, 1, 2]], np.int32)
    values = np.array([[0, 0, 0, 0, 5, 0, 99, 99], [0] * 8, [0, 0, 0, 0, 0, 0, 0, -3]], np.float32)
    texts = {i: str(i) for i in range(9)}
    top = exemplars(texts, ids, values, False, AMOUNT, Scale(5.0, 1))
    assert "".join(token.text for token in top[0].tokens) == "23456"
    assert (top[0].real, top[0].predicted) == ("5.0", "")
    low = exemplars(texts, ids, values, True, AMOUNT, Scale(5.0, 1))
    assert low[1].real == "−3.0"
    assert low[1].tokens[-1].shades == "bn5"
