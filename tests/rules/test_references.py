from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.rules import LookupLearner, View
from assay.rules.references import REFERENCES, References, reference_predictions
from rules.texts import Windows, random_view, view_of

TOKENS = [" a", " b", " c", " d", ""]
VOCABULARY = 64

windows_of_tokens = st.lists(st.lists(st.sampled_from(TOKENS), min_size=1, max_size=8), min_size=1, max_size=6)
bit_counts = st.lists(st.floats(0, 400), min_size=1, max_size=4)


def drawn(view: View, units: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((units, view.size)).astype(np.float32)


def expected(learner: LookupLearner, target: np.ndarray, bits: float, view: View) -> dict[str, np.ndarray]:
    fits = {"lookup": (False, bits), "bigram": (True, bits), "lookup_full": (False, None), "bigram_full": (True, None)}
    return {name: learner.fit(target, pairs=pairs, bits=b).predict(view) for name, (pairs, b) in fits.items()}


@settings(max_examples=100, deadline=None)
@given(windows_of_tokens, windows_of_tokens, bit_counts, st.integers(0, 2**32))
def test_references_are_those_of_the_tables(fit: Windows, test: Windows, bits: list[float], seed: int) -> None:
    """On the text they were fitted on, and on another with tokens of its own."""
    view, other = view_of(fit), view_of([*test, [" new", " a", " new", " new", " b"]])
    learner, targets = LookupLearner(view, VOCABULARY), drawn(view, len(bits), seed)
    here, there = References(learner, [view, other]).predict(targets, np.array(bits))
    assert tuple(here) == REFERENCES
    for found, seen in ((here, view), (there, other)):
        for i, target in enumerate(targets):
            for name, line in expected(learner, target, bits[i], seen).items():
                np.testing.assert_allclose(found[name][i], line, rtol=1e-5, atol=1e-6)


def test_a_long_text_with_budgets_from_nothing_to_everything() -> None:
    """Hundreds of pairs compete, those of one token among themselves as well, and the budget ends between two costs."""
    rng = np.random.default_rng(3)
    texts = [f" {a}{b}" for a in "abcdef" for b in "abcdef"]
    view, other = random_view(rng, 60, 30, texts), random_view(rng, 20, 30, [*texts[:20], " new"])
    token, previous = view.keys("token").ids, view.keys("previous token").ids
    effect = rng.standard_normal((37, 37)) * (rng.random((37, 37)) < 0.2) * 4
    targets = drawn(view, 8, 1) + (effect[previous, token] + rng.standard_normal(37)[token]).astype(np.float32)
    bits = np.array([0.0, 40.0, 60.0, 111.0, 300.0, 1000.0, 4000.0, 1e6])
    learner = LookupLearner(view, VOCABULARY)
    found = reference_predictions(learner, targets, bits, other)
    pairs = 0
    for i, target in enumerate(targets):
        for name, line in expected(learner, target, float(bits[i]), other).items():
            np.testing.assert_allclose(found[name][i], line, rtol=1e-5, atol=1e-6)
        entries = learner.fit(target, pairs=True, bits=float(bits[i])).entries
        pairs = max(pairs, sum(isinstance(key, tuple) for key in entries))
    assert pairs > 100


@pytest.mark.parametrize("seed", range(20))
def test_equal_gains_are_picked_in_the_same_order(seed: int) -> None:
    """Activations of 0 and 1 on few tokens: entries tie exactly, within a token's pairs and between tokens."""
    rng = np.random.default_rng(seed)
    view = random_view(rng, 6, 8, [" a", " b", " c", " d", " e", " f", " g"])
    targets = rng.integers(0, 2, (3, view.size)).astype(np.float32)
    learner, bits = LookupLearner(view, VOCABULARY), np.array([90.0, 150.0, 260.0])
    found = reference_predictions(learner, targets, bits, view)
    for i, target in enumerate(targets):
        for name, line in expected(learner, target, float(bits[i]), view).items():
            np.testing.assert_allclose(found[name][i], line, rtol=1e-5, atol=1e-6)


@settings(max_examples=100, deadline=None)
@given(windows_of_tokens, bit_counts, st.integers(0, 2**32), st.booleans())
def test_many_tables_are_those_fitted_one_by_one(
    windows: Windows, bits: list[float], seed: int, few_values: bool
) -> None:
    view = view_of(windows)
    targets = drawn(view, len(bits), seed)
    targets = np.sign(targets) if few_values else targets
    learner = LookupLearner(view, VOCABULARY)
    alone = [learner.fit(target, pairs=False, bits=own) for target, own in zip(targets, bits, strict=True)]
    together = learner.fit_many(targets, np.array(bits))
    assert together == alone
    assert [list(own.entries) for own in together] == [list(own.entries) for own in alone]


def test_more_units_than_a_thread_takes_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    view = random_view(np.random.default_rng(0), 10, 12, TOKENS[:4])
    targets, learner = drawn(view, 50, 7), LookupLearner(view, VOCABULARY)
    bits = np.linspace(0, 300, 50)
    alone = [learner.fit(target, pairs=False, bits=float(own)) for target, own in zip(targets, bits, strict=True)]
    for threads in ("1", "2"):
        monkeypatch.setenv("NUMBA_NUM_THREADS", threads)
        assert learner.fit_many(targets, bits) == alone
        found = reference_predictions(learner, targets, bits, view)
        for line, own in zip(found["lookup"], alone, strict=True):
            np.testing.assert_allclose(line, own.predict(view), rtol=1e-5)


def test_no_units_and_units_in_columns() -> None:
    view = view_of([[" a", " b", " a"]])
    learner = LookupLearner(view, VOCABULARY)
    assert learner.fit_many(np.zeros((0, 3), np.float32), np.zeros(0)) == []
    assert reference_predictions(learner, np.zeros((0, 3), np.float32), np.zeros(0), view)["bigram"].shape == (0, 3)
    targets = drawn(view, 4, 0)
    assert learner.fit_many(np.asfortranarray(targets), np.full(4, 90.0)) == learner.fit_many(targets, np.full(4, 90.0))
