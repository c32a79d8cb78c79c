"""Whole-number arithmetic coding against fractions and against closed forms."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.errors import UsageError
from assay.probe.stego.interval import PLACES, Interval, Stream, cuts, entropy

bits = st.lists(st.integers(0, 1), max_size=60)
weights = st.lists(st.floats(0.01, 1.0), min_size=2, max_size=6)


def draw(stream: Stream, divided: np.ndarray, least: int) -> tuple[list[int], Interval]:
    """Symbols that a stream chooses, until ``least`` bits stand."""
    at, symbols = Interval(), list[int]()
    while at.known < least:
        slot = at.slot(stream.first(at.places + PLACES))
        symbol = int(np.searchsorted(divided, slot, side="right")) - 1
        at = at.part(int(divided[symbol]), int(divided[symbol + 1]))
        symbols.append(symbol)
    return symbols, at


@settings(max_examples=60, deadline=None)
@given(bits, weights, st.integers(0, 5))
def test_what_was_coded_comes_back(message: list[int], given_weights: list[float], seed: int) -> None:
    divided = cuts(np.array(given_weights))
    symbols, _ = draw(Stream(message, seed), divided, len(message))
    at = Interval()
    for symbol in symbols:
        at = at.part(int(divided[symbol]), int(divided[symbol + 1]))
    assert at.bits[: len(message)] == tuple(message)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), weights.filter(lambda one: len(one) > 3))
def test_the_interval_is_that_of_fractions(symbols: list[int], given_weights: list[float]) -> None:
    divided = cuts(np.array(given_weights))
    low, width, at = Fraction(0), Fraction(1), Interval()
    for symbol in symbols:
        start, stop = (Fraction(int(one), 1 << PLACES) for one in divided[symbol : symbol + 2])
        low, width = low + width * start, width * (stop - start)
        at = at.part(int(divided[symbol]), int(divided[symbol + 1]))
    unit = Fraction(1, 1 << at.places)
    assert (at.low * unit, at.width * unit) == (low, width)
    known, last = at.known, low + width - unit
    assert int(low * 2**known) == int(last * 2**known)
    assert known == at.places or int(low * 2 ** (known + 1)) != int(last * 2 ** (known + 1))


def test_no_bit_is_lost_however_long() -> None:
    """3,000 bits; a coder of 32 bits would have to mend its carries here."""
    message = np.random.default_rng(0).integers(0, 2, 3000).tolist()
    divided = cuts(np.array([0.5, 0.499, 0.001]))
    symbols, at = draw(Stream(message), divided, len(message))
    assert at.bits[:3000] == tuple(message)
    assert abs(at.known / len(symbols) / entropy(divided) - 1) < 0.02


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(1e-9, 1.0), min_size=1, max_size=300))
def test_probabilities_are_whole_and_near(given_weights: list[float]) -> None:
    share = np.array(given_weights) / sum(given_weights)
    counts = np.diff(cuts(np.array(given_weights)))
    assert counts.sum() == 1 << PLACES
    assert counts.min() >= 1
    assert np.abs(counts / (1 << PLACES) - share).max() <= 2 * len(share) / (1 << PLACES)


def test_even_bits_draw_symbols_as_lots_would() -> None:
    divided = cuts(np.array([0.6, 0.3, 0.1]))
    symbols, _ = draw(Stream([], 3), divided, 3000)
    share = np.bincount(symbols, minlength=3) / len(symbols)
    assert np.abs(share - [0.6, 0.3, 0.1]).max() < 4 * np.sqrt(0.25 / len(symbols))


def test_entropy_of_equal_symbols_is_their_logarithm() -> None:
    assert entropy(cuts(np.ones(32))) == pytest.approx(5, abs=1e-12)
    assert entropy(cuts(np.ones(1))) == 0


def test_what_can_not_be_coded_is_said() -> None:
    with pytest.raises(UsageError, match="made of bits"):
        Stream([0, 2])
    with pytest.raises(UsageError, match=r"1 to 16,384 symbols. Got 0"):
        cuts(np.ones(0))
