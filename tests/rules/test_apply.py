from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.rules import Condition, Lookup, Rule, RuleList, View
from assay.rules.apply import Applier
from assay.rules.classes import fold
from assay.rules.flags import FLAG_NAMES
from assay.rules.rule import PLACES
from rules.texts import Windows, view_of

TOKENS = [" the", " The", " a", "wha", "le", " whale", ",", " (", ")", "\n", " 7", "  ", ""]
UNSEEN = " unseen"
NAMED = ["article", "starts a word", "number in digits", "punctuation mark", "in small letters"]

windows_of_tokens = st.lists(st.lists(st.sampled_from(TOKENS), min_size=1, max_size=30), min_size=1, max_size=5)
values = st.floats(-100, 100, width=32)
# Plain data: building the objects draws random numbers in the tests' type checks, which hypothesis forbids here.
strings = st.lists(st.sampled_from([*(text for text in TOKENS if text), UNSEEN]), min_size=1, max_size=3)
names = st.one_of(st.sampled_from(NAMED), strings)
whens = st.lists(
    st.tuples(st.sampled_from(PLACES), names, st.sampled_from(FLAG_NAMES), st.booleans()), min_size=1, max_size=3
)
rule_lists = st.lists(st.tuples(st.lists(st.tuples(whens, values), max_size=4), values), max_size=4)


def condition(slot: str, named: str | list[str], flag: str, negated: bool) -> Condition:
    if slot == "flag":
        return Condition("flag", named=flag, negated=negated)
    if slot == "stem":
        words = [fold(text) for text in named if fold(text).isalpha()] if isinstance(named, list) else []
        return Condition(slot, tuple(dict.fromkeys(words)) or ("whales",), negated=negated)
    if isinstance(named, str):
        return Condition(slot, named=named, negated=negated)
    exact = slot in ("token", "previous token")
    return Condition(slot, tuple(dict.fromkeys(text if exact else fold(text) for text in named)), negated=negated)


@settings(max_examples=150, deadline=None)
@given(windows_of_tokens, rule_lists, st.integers(0, 2**32))
def test_rules_predict_to_the_bit_what_each_predicts_alone(windows: Windows, drawn: list[Any], seed: int) -> None:
    lists = [
        RuleList(tuple(Rule(tuple(condition(*each) for each in when), value) for when, value in rules), base)
        for rules, base in drawn
    ]
    n = sum(map(len, windows))
    view = view_of(windows, (np.random.default_rng(seed).random(n) < 0.8).tolist())
    found = Applier(view).predict_rules(lists)
    assert found.shape == (len(lists), view.size)
    for line, own in zip(found, lists, strict=True):
        np.testing.assert_array_equal(line, own.predict(view))


texts = st.sampled_from([*TOKENS, UNSEEN])
tables = st.tuples(st.dictionaries(st.one_of(texts, st.tuples(texts, texts)), values, max_size=6), values)


@settings(max_examples=150, deadline=None)
@given(windows_of_tokens, st.lists(tables, max_size=4))
def test_lookups_predict_to_the_bit_what_each_predicts_alone(windows: Windows, drawn: list[Any]) -> None:
    lookups = [Lookup(entries, base, 64) for entries, base in drawn]
    view = view_of(windows)
    found = Applier(view).predict_lookups(lookups)
    assert found.shape == (len(lookups), view.size)
    for line, own in zip(found, lookups, strict=True):
        np.testing.assert_array_equal(line, own.predict(view))


def test_strings_of_another_text_hold_nowhere_and_their_absence_everywhere() -> None:
    view = view_of([[" a", " b"]])
    rules = [
        Rule((Condition("token", (" c",)),), 4.0),
        Rule((Condition("nearby", ("c",), negated=True),), 2.0),
        Rule((Condition("token", (" c", " b")),), 1.0),
    ]
    assert Applier(view).predict_rules([RuleList(tuple(rules), 0.5)]).tolist() == [[2.5, 3.5]]


@pytest.mark.parametrize("tokens", [1, 63, 64, 65, 130])
def test_every_token_counts_whatever_the_length(tokens: int) -> None:
    view = view_of([[" a", " b"] * tokens][:1]) if tokens > 1 else view_of([[" b"]])
    view = View(view.ids[:, :tokens], view.texts)
    absent = RuleList((Rule((Condition("token", (" a",), negated=True),), 1.0),))
    expected = [float(name != " a") for name in np.array(view.keys("token").names)[view.keys("token").ids]]
    assert Applier(view).predict_rules([absent])[0].tolist() == expected


def test_many_units_in_two_threads_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """More units than a thread takes at a time."""
    rng = np.random.default_rng(0)
    view = view_of([[TOKENS[i] for i in rng.integers(0, len(TOKENS), 40)] for _ in range(5)])
    lists = [RuleList((Rule((Condition("token", (" whale", ",")),), float(i)),), float(-i)) for i in range(100)]
    found = []
    for threads in ("1", "2"):
        monkeypatch.setenv("NUMBA_NUM_THREADS", threads)
        found.append(Applier(view).predict_rules(lists))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], [own.predict(view) for own in lists])
