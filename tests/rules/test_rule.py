from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.errors import UnknownName, UsageError
from assay.rules import Condition, Rule, RuleList
from assay.rules.classes import class_names, fold, membership
from assay.rules.flags import FLAG_NAMES
from assay.rules.rule import PLACES
from assay.rules.stems import stem
from assay.rules.view import BAGS
from rules.texts import Windows, view_of

TOKENS = [" the", "The", " whale", "wha", "le", ",", ".", "\n", " 7", " Monday", "("]
FORMS = sorted({fold(token) for token in TOKENS} | {"whale", "a"})
WORDS = ["the", "whale", "whaling", "wha", "mondays"]

windows_of_tokens = st.lists(st.lists(st.sampled_from(TOKENS), min_size=1, max_size=11), min_size=1, max_size=3)


Said = tuple[str, tuple[str, ...], str, bool]  # plain data: the package's type checks may not run inside a strategy


@st.composite
def conditions(draw: st.DrawFn, most: int = 3) -> Said:
    slot, negated = draw(st.sampled_from(PLACES)), draw(st.booleans())
    if slot == "flag":
        return slot, (), draw(st.sampled_from(FLAG_NAMES)), negated
    if draw(st.booleans()) and slot != "stem":
        return slot, (), draw(st.sampled_from(class_names())), negated
    strings = {"token": TOKENS, "previous token": TOKENS, "stem": WORDS}.get(slot, FORMS)
    return slot, tuple(draw(st.lists(st.sampled_from(strings), min_size=1, max_size=most, unique=True))), "", negated


rules = st.tuples(st.lists(conditions(), min_size=1, max_size=4), st.floats(-5, 5, allow_nan=False, width=32))
rule_lists = st.tuples(st.lists(rules, max_size=4), st.floats(-2, 2, allow_nan=False), st.integers(2, 10**6))


def rule_list(drawn: tuple[list[tuple[list[Said], float]], float, int]) -> RuleList:
    said, base, vocabulary = drawn
    made = tuple(Rule(tuple(Condition(*condition) for condition in when), value) for when, value in said)
    return RuleList(made, base, vocabulary)


def naive_condition(condition: Condition, windows: Windows) -> list[bool]:
    """Token by token: is one of the strings that stand there listed, or in the class?"""
    view = view_of(windows)
    out = []
    for i in range(view.size):
        if condition.slot == "flag":
            holds = bool(view.flags[i, FLAG_NAMES.index(condition.named)])
        else:
            if condition.slot in BAGS:
                matrix, names = view.bag(condition.slot)
                there = [names[k] for k in np.flatnonzero(matrix.toarray()[i])]
            else:
                keys = view.keys(condition.slot)
                there = [keys.names[keys.ids[i]]]
            column = class_names().index(condition.named) if condition.named else 0
            same = stem if condition.slot == "stem" else str
            listed = [same(text) for text in condition.any_of]
            holds = any(
                bool(membership([text])[0, column]) if condition.named else same(text) in listed for text in there
            )
        out.append(holds != condition.negated)
    return out


@settings(max_examples=150, deadline=None)
@given(windows_of_tokens, conditions())
def test_a_condition_holds_where_a_naive_reader_says(windows: Windows, said: Said) -> None:
    condition = Condition(*said)
    assert condition.holds(view_of(windows)).tolist() == naive_condition(condition, windows)


@settings(max_examples=60, deadline=None)
@given(windows_of_tokens, rule_lists)
def test_a_prediction_is_the_base_and_every_rule_that_holds(windows: Windows, drawn: Any) -> None:
    explanation = rule_list(drawn)
    expected = np.full(sum(map(len, windows)), explanation.base)
    for rule in explanation.rules:
        holds = np.all([naive_condition(condition, windows) for condition in rule.when], axis=0)
        np.testing.assert_array_equal(rule.holds(view_of(windows)), holds)
        expected += holds * rule.value
    np.testing.assert_allclose(explanation.predict(view_of(windows)), expected, rtol=1e-5, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(windows_of_tokens, conditions())
def test_a_condition_and_its_negation_share_out_the_tokens(windows: Windows, said: Said) -> None:
    condition = Condition(*said)
    other = Condition(condition.slot, condition.any_of, condition.named, not condition.negated)
    view = view_of(windows)
    np.testing.assert_array_equal(condition.holds(view), ~other.holds(view))
    assert condition.bits(1000) == other.bits(1000)


@settings(max_examples=100, deadline=None)
@given(rule_lists)
def test_json_reads_back_what_was_written(drawn: Any) -> None:
    explanation = rule_list(drawn)
    text = json.dumps(explanation.to_json())
    assert RuleList.from_json(text) == explanation
    assert RuleList.from_json(json.loads(text)) == explanation


def test_an_unknown_string_matches_nothing_in_another_text() -> None:
    view = view_of([[" a", " b"]])
    assert Condition("token", (" whale",)).holds(view).tolist() == [False, False]
    assert Condition("nearby", ("whale",), negated=True).holds(view).tolist() == [True, True]


def test_description_lengths_by_hand() -> None:
    """11 places, negated or not, list or class; 12 list lengths; 8 bits a value, 4 numbers of conditions, 32 a list."""
    assert len(PLACES) == 11
    place = math.log2(11) + 1
    two = Condition("token", (" a", " b"))
    named = Condition("previous word", named="article", negated=True)
    flag = Condition("flag", named="inside brackets")
    assert two.bits(1024) == pytest.approx(place + 1 + math.log2(12) + 2 * 10)
    assert named.bits(1024) == pytest.approx(place + 1 + math.log2(len(class_names())))
    assert flag.bits(1024) == pytest.approx(place + math.log2(len(FLAG_NAMES)))
    rule = Rule((two, named, flag), 1.0)
    assert rule.bits(1024) == pytest.approx(2 + 8 + two.bits(1024) + named.bits(1024) + flag.bits(1024))
    assert RuleList((rule, rule), vocabulary=1024).bits == pytest.approx(32 + 2 * rule.bits(1024))
    assert RuleList(()).bits == 32


def test_twelve_strings_and_four_conditions_are_the_limit() -> None:
    letters = tuple("abcdefghijklm")
    Condition("form", letters[:12])
    with pytest.raises(UsageError, match="a condition lists 13 strings; at most 12 are allowed"):
        Condition("form", letters)
    six = Condition("form", letters[:6])
    Rule((six, Condition("word", letters[6:12])), 1.0)
    with pytest.raises(UsageError, match="a rule lists 13 strings over its conditions; at most 12 are allowed"):
        Rule((six, Condition("word", letters[6:])), 1.0)
    flag = Condition("flag", named="inside brackets")
    Rule((flag,) * 4, 1.0)
    with pytest.raises(UsageError, match="a rule has 5 conditions; give 1 to 4"):
        Rule((flag,) * 5, 1.0)
    with pytest.raises(UsageError, match="a rule has 0 conditions; give 1 to 4"):
        Rule((), 1.0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_is_finite(value: float) -> None:
    with pytest.raises(UsageError, match="a rule's value must be a finite number, got"):
        Rule((Condition("flag", named="inside brackets"),), value)


BY_HAND = """
{"base": -0.5, "rules": [
    {"when": [{"slot": "token", "any_of": [" Monday", " 7"]}], "value": 2},
    {"when": [{"slot": "form", "named": "weekday"}, {"slot": "previous token", "any_of": [","], "not": true}],
     "value": -1.5}]}
"""


def test_rules_written_by_hand() -> None:
    explanation = RuleList.from_json(BY_HAND)
    view = view_of([[" Monday", ",", "monday", " 7", " tuesday"]])
    assert explanation.predict(view).tolist() == [0.0, -0.5, -0.5, 1.5, -2.0]
    assert explanation.vocabulary == 49152


def one(condition: object, value: object = 1.0) -> dict[str, Any]:
    return {"rules": [{"when": [condition], "value": value}]}


WRONG: list[tuple[object, str]] = [
    ("{", "a rule list must be JSON; line 1, column 2: "),
    ("[]", "a rule list must be an object with 'rules', got []"),
    ({}, "a rule list needs 'rules'"),
    ({"rules": [], "basis": 1}, "unknown key of a rule list 'basis'; did you mean 'base'?"),
    ({"rules": [], "kind": "lookup"}, "this is an explanation of kind 'lookup', not 'rules'"),
    ({"rules": {}}, "'rules' must be a list, got {}"),
    ({"rules": [], "base": "x"}, "'base' must be a finite number, got 'x'"),
    ({"rules": [], "vocabulary": 1}, "'vocabulary' must be a whole number of at least 2, got 1"),
    ({"rules": [], "vocabulary": True}, "'vocabulary' must be a whole number of at least 2, got True"),
    ({"rules": ["x"]}, "rule 1: a rule must be an object with 'when' and 'value', got 'x'"),
    ({"rules": [{"when": []}]}, "rule 1: a rule needs 'value'"),
    ({"rules": [{}]}, "rule 1: a rule needs 'when' and 'value'"),
    ({"rules": [{"when": [], "value": 1}]}, "rule 1: a rule has 0 conditions; give 1 to 4"),
    ({"rules": [{"when": "x", "value": 1}]}, "rule 1: 'when' must be a list, got 'x'"),
    ({"rules": [{"when": [], "valeu": 1}]}, "rule 1: unknown key of a rule 'valeu'; did you mean 'value'?"),
    (one({"slot": "form", "any_of": ["a"]}, "2"), "rule 1: 'value' must be a finite number, got '2'"),
    (one({"slot": "form", "any_of": ["a"]}, True), "rule 1: 'value' must be a finite number, got True"),
    (one({"slot": "form", "any_of": ["a"]}, math.nan), "rule 1: 'value' must be a finite number, got nan"),
    (one("x"), "rule 1: condition 1: a condition must be an object with 'slot', got 'x'"),
    (one({}), "rule 1: condition 1: a condition needs 'slot'"),
    (one({"slot": 3}), "rule 1: condition 1: 'slot' must be a string, got 3"),
    (one({"slot": "tokn", "any_of": ["a"]}), "rule 1: condition 1: unknown slot 'tokn'; did you mean 'token'?"),
    (one({"slot": "form", "anyof": ["a"]}), "unknown key of a condition 'anyof'; did you mean 'any_of'?"),
    (
        one({"slot": "form", "any_of": "a"}),
        "'any_of' must be a list of strings, got the string 'a'; put it in brackets",
    ),
    (one({"slot": "form", "any_of": [7]}), "every member of 'any_of' must be a string, got 7"),
    (one({"slot": "form", "named": 7}), "'named' must be a string, got 7"),
    (one({"slot": "form", "named": "month", "not": "false"}), "'not' must be true or false, got 'false'"),
    (one({"slot": "form"}), "a condition on 'form' must list strings ('any_of') or name a class ('named')"),
    (
        one({"slot": "form", "any_of": ["a"], "named": "month"}),
        "a condition on 'form' must list strings ('any_of') or name a class ('named')",
    ),
    (one({"slot": "form", "named": "monht"}), "unknown class 'monht'; did you mean 'month'?"),
    (one({"slot": "flag", "named": "in brackets"}), "unknown flag 'in brackets'; did you mean 'inside brackets'?"),
    (one({"slot": "flag"}), "a condition on 'flag' must name a flag ('named') and list no strings"),
    (one({"slot": "flag", "any_of": ["a"]}), "a condition on 'flag' must name a flag ('named') and list no strings"),
    (one({"slot": "form", "any_of": [""]}), "a condition on 'form' lists the empty string, which no token has"),
    (one({"slot": "form", "any_of": ["a", "b", "a"]}), "a condition on 'form' lists 'a' twice"),
    (
        one({"slot": "form", "any_of": [" Monday"]}),
        "'form' holds lower-case text without spaces around it, never ' Monday'; write 'monday'",
    ),
    (one({"slot": "earlier", "any_of": ["The"]}), "'earlier' holds lower-case text"),
    (one({"slot": "stem", "any_of": [","]}), "'stem' goes by words made of the letters a to z, which ',' is not"),
    (one({"slot": "stem", "named": "month"}), "a stem belongs to no class; name 'month' of 'word' or 'form' instead"),
    (one({"slot": "form", "any_of": list("abcdefghijklm")}), "a condition lists 13 strings; at most 12 are allowed"),
    ([1] * 400, "a rule list must be an object with 'rules', got [1, 1, 1,"),
]


@pytest.mark.parametrize(("data", "message"), WRONG, ids=[message for _, message in WRONG])
def test_a_mistake_in_a_list_by_hand_is_one_clear_line(data: object, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        RuleList.from_json(data if isinstance(data, str) else json.dumps(data))
    text = str(caught.value)
    assert message in text
    assert "\n" not in text
    assert len(text) < 250
    assert isinstance(caught.value, UnknownName) == ("unknown" in message)


def test_the_second_rule_s_third_condition_is_named_as_such() -> None:
    fine = {"slot": "form", "named": "month"}
    data = {"rules": [{"when": [fine], "value": 1}, {"when": [fine, fine, {"slot": "x"}], "value": 1}]}
    with pytest.raises(UnknownName, match=r"^rule 2: condition 3: unknown slot 'x'"):
        RuleList.from_json(data)
