from __future__ import annotations

import json
import math
from collections import defaultdict
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.errors import UnknownName, UsageError
from assay.rules import Lookup, LookupLearner, View
from assay.rules.lookup_kernels import PRIOR
from rules.texts import Windows, random_view, view_of

TOKENS = [" a", " b", " c", " d", ""]
VOCABULARY = 64
Key = str | tuple[str, str]

windows_of_tokens = st.lists(st.lists(st.sampled_from(TOKENS), min_size=1, max_size=8), min_size=1, max_size=6)


def keys_of(view: View) -> list[tuple[str, str]]:
    """(previous token, token) at each token of the view."""
    token, previous = view.keys("token"), view.keys("previous token")
    return [(previous.names[p], token.names[t]) for p, t in zip(previous.ids, token.ids, strict=True)]


def naive_tables(view: View, target: np.ndarray) -> tuple[float, dict[Key, float]]:
    """Base, and the shrunk value of every token and every pair, from lists in a dict."""
    base = float(np.mean(target))
    of_token: dict[str, list[float]] = defaultdict(list)
    of_pair: dict[tuple[str, str], list[float]] = defaultdict(list)
    for (first, second), value in zip(keys_of(view), target, strict=True):
        of_token[second].append(float(value))
        of_pair[first, second].append(float(value))
    values: dict[Key, float] = {
        token: (sum(found) + PRIOR * base) / (len(found) + PRIOR) for token, found in of_token.items()
    }
    for pair, found in of_pair.items():
        values[pair] = (sum(found) + PRIOR * values[pair[1]]) / (len(found) + PRIOR)
    return base, values


def naive_predict(entries: dict[Key, float], base: float, view: View) -> list[float]:
    return [entries.get(pair, entries.get(pair[1], base)) for pair in keys_of(view)]


def squared_error(lookup: Lookup, view: View, target: np.ndarray) -> float:
    return float(((lookup.predict(view).astype(float) - target) ** 2).sum())


@settings(max_examples=60, deadline=None)
@given(windows_of_tokens, st.integers(0, 2**32), st.booleans(), st.sampled_from([None, 32.0, 60.0, 100.0, 200.0]))
def test_values_are_shrunk_means_and_predictions_are_looked_up(
    windows: Windows, seed: int, pairs: bool, bits: float | None
) -> None:
    view = view_of(windows)
    target = np.random.default_rng(seed).standard_normal(view.size).astype(np.float32)
    base, values = naive_tables(view, target)
    lookup = LookupLearner(view, VOCABULARY).fit(target, pairs=pairs, bits=bits)
    assert lookup.base == pytest.approx(base, abs=1e-6)
    for key, value in lookup.entries.items():
        assert value == pytest.approx(values[key], abs=1e-5)
        assert all(key)
    assert pairs or not any(isinstance(key, tuple) for key in lookup.entries)
    expected = naive_predict(lookup.entries, lookup.base, view)
    np.testing.assert_allclose(lookup.predict(view), expected, rtol=1e-6)
    other = view_of([[" b", " a", " new", " b"]])
    np.testing.assert_allclose(lookup.predict(other), naive_predict(lookup.entries, lookup.base, other), rtol=1e-6)


@settings(max_examples=80, deadline=None)
@given(windows_of_tokens, st.integers(0, 2**32), st.booleans(), st.floats(0, 400))
def test_the_budget_is_never_exceeded(windows: Windows, seed: int, pairs: bool, bits: float) -> None:
    view = view_of(windows)
    target = np.random.default_rng(seed).standard_normal(view.size).astype(np.float32)
    lookup = LookupLearner(view, VOCABULARY).fit(target, pairs=pairs, bits=bits)
    assert lookup.bits <= max(bits, 32.0)


def test_description_length_by_hand() -> None:
    assert Lookup({}, 0.0, 1024).bits == 32
    assert Lookup({" a": 1.0}, 0.0, 1024).bits == pytest.approx(32 + 1 + 8 + 10)
    assert Lookup({" a": 1.0, (" b", " a"): 2.0}, 0.0, 1024).bits == pytest.approx(32 + 2 * 9 + 3 * 10)


def test_shrinkage_by_hand() -> None:
    """Base 1; " a" is 4 at its 2 places: (8 + 2 * 1) / (2 + 2) = 2.5; " a" after " b" once: (4 + 2 * 2.5) / 3 = 3."""
    view = view_of([[" a", " c"], [" b", " a"], [" c", " d", " d", " d"]])
    target = np.array([4, 0, 0, 4, 0, 0, 0, 0], dtype=np.float32)
    full = LookupLearner(view, VOCABULARY).fit(target, pairs=True, bits=None)
    assert full.base == 1
    assert full.entries[" a"] == pytest.approx(2.5)
    assert full.entries[" b", " a"] == pytest.approx(3.0)
    assert full.entries[" d"] == pytest.approx(2 / 5)
    assert (" ", " a") not in full.entries
    assert ("", " a") not in full.entries


def test_more_bits_never_fit_worse_and_no_limit_fits_best() -> None:
    rng = np.random.default_rng(1)
    view = random_view(rng, 40, 20, [f" {c}" for c in "abcdefghij"])
    effect = rng.standard_normal((11, 11))
    token, previous = view.keys("token").ids, view.keys("previous token").ids
    target = (effect[previous, token] + rng.standard_normal(11)[token]).astype(np.float32)
    learner = LookupLearner(view, VOCABULARY)
    for pairs in (False, True):
        errors = [
            squared_error(learner.fit(target, pairs=pairs, bits=b), view, target)
            for b in (32.0, 60.0, 150.0, 500.0, None)
        ]
        assert errors == sorted(errors, reverse=True)
        assert errors[0] == pytest.approx(float(((target - target.mean()) ** 2).sum()), rel=1e-5)
    assert len(learner.fit(target, pairs=False, bits=None).entries) == 10


def test_single_tokens_are_the_best_set_for_the_budget() -> None:
    """Of all tables of three tokens none fits better: tokens don't overlap, so the greedy choice is the optimum."""
    rng = np.random.default_rng(2)
    texts = [f" {c}" for c in "abcdefg"]
    view = random_view(rng, 12, 10, texts)
    target = rng.standard_normal(view.size).astype(np.float32)
    base, values = naive_tables(view, target)
    found = LookupLearner(view, VOCABULARY).fit(target, pairs=False, bits=78.0)
    assert len(found.entries) == 3
    errors = {
        subset: np.sum((np.array(naive_predict({t: values[t] for t in subset}, base, view)) - target) ** 2)
        for subset in combinations(texts, 3)
    }
    assert set(found.entries) == set(min(errors, key=errors.__getitem__))


def naive_greedy(view: View, target: np.ndarray, bits: float) -> dict[Key, float]:
    """Add the entry that removes most squared error per bit, computed anew from whole predictions, until none pays."""
    base, values = naive_tables(view, target)
    entries: dict[Key, float] = {}

    def error(table: dict[Key, float]) -> float:
        return float(np.sum((np.array(naive_predict(table, base, view)) - target) ** 2))

    left = bits - 32
    while True:
        rates = {
            key: (error(entries) - error(entries | {key: value})) / cost
            for key, value in values.items()
            for cost in [9 + math.log2(VOCABULARY) * (2 if isinstance(key, tuple) else 1)]
            if key not in entries and all(key) and cost <= left
        }
        best = max(rates, key=rates.__getitem__, default=None)
        if best is None or rates[best] <= 1e-9:
            return entries
        entries[best] = values[best]
        left -= 9 + math.log2(VOCABULARY) * (2 if isinstance(best, tuple) else 1)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("bits", [80.0, 150.0, 260.0])
def test_tokens_and_pairs_are_chosen_given_those_chosen_before(seed: int, bits: float) -> None:
    rng = np.random.default_rng(seed)
    view = random_view(rng, 8, 8, [" a", " b", " c", " d"])
    target = rng.standard_normal(view.size).astype(np.float32)
    target += np.where(view.keys("token").ids == 1, 2, 0).astype(np.float32)
    found = LookupLearner(view, VOCABULARY).fit(target, pairs=True, bits=bits)
    expected = naive_greedy(view, target.astype(np.float64), bits)
    assert {k: pytest.approx(v, abs=1e-4) for k, v in expected.items()} == found.entries


def test_a_pair_comes_before_its_token() -> None:
    lookup = Lookup({" a": 1.0, (" b", " a"): 5.0, (" a", " b"): 7.0}, -1.0, VOCABULARY)
    view = view_of([[" a", " b", " a", " c"], [" b", " a"]])
    assert lookup.predict(view).tolist() == [1, 7, 5, -1, -1, 5]


def test_values_of_small_units_keep_their_digits() -> None:
    view = view_of([[" a", " b"] * 4])
    target = np.array([1.2345e-7, 0] * 4, dtype=np.float32)
    entries = LookupLearner(view, VOCABULARY).fit(target, pairs=False, bits=None).entries
    assert entries[" a"] == pytest.approx((4 * 1.2345e-7 + 2 * 0.61725e-7) / 6, rel=1e-4)


def test_a_constant_has_nothing_to_look_up() -> None:
    view = view_of([[" a", " b", " a"]])
    for bits in (None, 500.0):
        lookup = LookupLearner(view, VOCABULARY).fit(np.full(3, 2, dtype=np.float32), pairs=True, bits=bits)
        assert lookup.entries == {}
        assert lookup.predict(view).tolist() == [2, 2, 2]


def test_lines_and_sentence() -> None:
    lookup = Lookup({" a": 0.5, (" b", " a"): -2.0, "\n": 1.0}, 0.0, VOCABULARY)
    assert lookup.lines() == ["-2 on “ a” after “ b”", "+1 on “⏎”", "+0.5 on “ a”"]
    assert lookup.sentence() == "It is -2 on “ a” after “ b”, +1 on “⏎” and +0.5 on “ a”."
    assert lookup.sentence(most=2) == "It is -2 on “ a” after “ b”, +1 on “⏎” and so on for 1 more."
    assert Lookup({" a": 0.5}, 0.0, VOCABULARY).sentence() == "It is +0.5 on “ a”."
    assert Lookup({}, 0.25, VOCABULARY).sentence() == "It is always 0.25."


def test_json_reads_back_what_was_written() -> None:
    lookup = Lookup({" a": 0.5, (" b", " a"): -2.0}, 0.125, 77)
    assert Lookup.from_json(json.dumps(lookup.to_json())) == lookup
    assert Lookup.from_json({"entries": [[" a", 1]]}) == Lookup({" a": 1.0}, 0.0, 49152)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("[", "a lookup must be JSON; line 1"),
        ("3", "a lookup must be an object with 'entries', got 3"),
        ({}, "a lookup needs 'entries'"),
        ({"entries": [], "kind": "rules"}, "this is an explanation of kind 'rules', not 'lookup'"),
        ({"entries": [], "bias": 1}, "unknown key of a lookup 'bias'; did you mean 'base'?"),
        ({"entries": [" a"]}, "entry 1: an entry must be a list, got ' a'"),
        ({"entries": [[" a"]]}, "entry 1: an entry must be [token, value] or [[previous token, token], value], got 1"),
        ({"entries": [[" a", "x"]]}, "entry 1: the value must be a finite number, got 'x'"),
        ({"entries": [[" a", 1], [[" a"], 1]]}, "entry 2: an entry must be [token, value]"),
        ({"entries": [[[1, 2], 1]]}, "entry 1: every member of the key must be a string, got 1"),
        ({"entries": [[" a", 1], [" a", 2]]}, "entry 2: ' a' has a value already"),
    ],
)
def test_a_mistake_in_a_table_by_hand_is_one_clear_line(data: object, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Lookup.from_json(data if isinstance(data, str) else json.dumps(data))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, UnknownName) == ("unknown" in message)
