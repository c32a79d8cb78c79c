from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.rules import Condition, Rule, RuleList
from assay.rules.classes import class_names
from assay.rules.flags import FLAG_NAMES
from assay.rules.phrases import quoted
from rules.test_rule import Said, conditions, rule_list, rule_lists


def listed(slot: str, *strings: str, negated: bool = False) -> Condition:
    return Condition(slot, strings, negated=negated)


def named(slot: str, name: str, negated: bool = False) -> Condition:
    return Condition(slot, named=name, negated=negated)


PHRASES: list[tuple[Condition, str]] = [
    (listed("token", " whale"), "the token is “ whale”"),
    (listed("token", " a", "B", "\n"), "the token is “ a”, “B” or “⏎”"),
    (listed("token", " a", " b", negated=True), "the token is not “ a” or “ b”"),
    (listed("form", "a"), "the token is “a” in any case"),
    (listed("word", "unbeliev"), "the word so far is “unbeliev”"),
    (listed("stem", "draw", "eat"), "the word so far is a form of “draw” or “eat”"),
    (listed("stem", "draw", negated=True), "the word so far is not a form of “draw”"),
    (listed("previous token", " Mr"), "the previous token is “ Mr”"),
    (listed("previous word", "new"), "the previous word is “new”"),
    (listed("second last", "in"), "the token two back is “in”"),
    (listed("third last", "in"), "the token three back is “in”"),
    (listed("nearby", "in"), "“in” is among the previous 8 tokens"),
    (listed("nearby", "in", "is", negated=True), "none of “in” or “is” is among the previous 8 tokens"),
    (listed("nearby", "is", negated=True), "“is” is not among the previous 8 tokens"),
    (listed("earlier", "in", "is"), "“in” or “is” came earlier"),
    (listed("earlier", "is", negated=True), "“is” did not come earlier"),
    (named("token", "preposition"), "the token is a preposition"),
    (named("previous word", "article", True), "the previous word is not an article"),
    (named("token", "unit of measure"), "the token is a unit of measure"),
    (named("form", "ordinal"), "the token is an ordinal in any case"),
    (named("token", "capitalised", True), "the token is not capitalised"),
    (named("token", "in small letters"), "the token is in small letters"),
    (named("token", "ends in -ing"), "the token ends in -ing"),
    (named("previous token", "ends in -ing", True), "the previous token does not end in -ing"),
    (named("token", "starts a word", True), "the token does not start a word"),
    (named("token", "contains a line break", True), "the token does not contain a line break"),
    (named("nearby", "animal"), "an animal is among the previous 8 tokens"),
    (named("nearby", "animal", True), "no animal is among the previous 8 tokens"),
    (named("nearby", "ends in -ed"), "a token that ends in -ed is among the previous 8 tokens"),
    (named("earlier", "capitalised", True), "no token that is capitalised came earlier"),
    (named("flag", "inside brackets"), "the token is inside brackets"),
    (named("flag", "inside brackets", True), "the token is not inside brackets"),
    (named("flag", "first token of a line"), "the token is the first token of a line"),
    (named("flag", "third or later piece of a word", True), "the token is not the third or later piece of a word"),
    (named("flag", "a repetition of an earlier token"), "the token is a repetition of an earlier token"),
]


@pytest.mark.parametrize(("condition", "phrase"), PHRASES, ids=[phrase for _, phrase in PHRASES])
def test_a_condition_in_words(condition: Condition, phrase: str) -> None:
    assert condition.phrase() == phrase


@pytest.mark.parametrize("name", class_names())
def test_every_class_makes_a_phrase_and_its_opposite(name: str) -> None:
    phrase, opposite = named("token", name).phrase(), named("token", name, True).phrase()
    assert re.match(r"the token (is|starts|ends|contains|mixes) ", phrase)
    assert re.match(r"the token (is not|does not (start|end|contain|mix)) ", opposite)
    assert not re.search(r"\ba (?=[aeio])|\ban (?![aeio])", phrase)


@pytest.mark.parametrize("name", FLAG_NAMES)
def test_every_flag_completes_the_token_is(name: str) -> None:
    assert re.fullmatch(
        r"the token is ((the|a|in|inside|among|past|after|right after|soon after|within|new) .*)",
        named("flag", name).phrase(),
    )


def test_conditions_begin_with_the_token_and_say_a_subject_once() -> None:
    rule = Rule(
        (
            named("nearby", "animal"),
            named("flag", "inside brackets", True),
            listed("previous word", "the", "a"),
            named("token", "capitalised"),
        ),
        1.0,
    )
    assert rule.phrase() == (
        "the token is capitalised, is not inside brackets, the previous word is “the” or “a”"
        " and an animal is among the previous 8 tokens"
    )


def test_lines_show_the_value_and_every_string_exactly() -> None:
    explanation = RuleList(
        (
            Rule((listed("token", *(f" w{i}" for i in range(12))),), 0.152345),
            Rule((named("previous word", "preposition", True),), -12.0),
        )
    )
    strings = ", ".join(f"“ w{i}”" for i in range(11))
    assert explanation.lines() == [
        f"+0.152 when the token is {strings} or “ w11”",
        "-12 when the previous word is not a preposition",
    ]


def test_one_sentence_for_both_signs() -> None:
    explanation = RuleList(
        (
            Rule((listed("token", " Monday", " Friday"),), 2.0),
            Rule((named("token", "month"), named("previous word", "preposition")), 1.0),
            Rule((named("flag", "inside brackets"),), -0.5),
        )
    )
    assert explanation.sentence() == (
        "It rises when the token is “Monday” or “Friday”, or when the token is a month and the previous word is a"
        " preposition; it falls when the token is inside brackets."
    )
    assert explanation.sentence(most_rules=1) == (
        "It rises when the token is “Monday” or “Friday”; 2 more rules refine this."
    )
    assert explanation.sentence(most_rules=2).endswith("; 1 more rule refines this.")
    assert RuleList(explanation.rules[2:]).sentence() == "It falls when the token is inside brackets."


def test_a_list_without_rules_says_so() -> None:
    assert RuleList((), 0.3).sentence() == "Nothing in the left context predicts it."
    assert RuleList((Rule((named("token", "month"),), 0.0),)).sentence() == "Nothing in the left context predicts it."
    assert RuleList(()).lines() == []


def test_strings_that_differ_in_case_and_spaces_are_named_once() -> None:
    explanation = RuleList((Rule((listed("token", " Whale", "whale", " whale", " sea", "\n", "  "),), 1.0),))
    assert explanation.sentence() == "It rises when the token is “Whale”, “sea”, “⏎” or “  ”."


def test_long_lists_are_cut_and_counted() -> None:
    explanation = RuleList((Rule((listed("form", *"abcdefgh"),), 1.0),))
    assert explanation.sentence() == "It rises when the token is “a”, “b”, “c”, “d” or 4 more in any case."
    assert explanation.sentence(most_listed=1) == "It rises when the token is “a” or 7 more in any case."


def test_rules_that_differ_in_one_list_only_are_said_as_one() -> None:
    inside = named("flag", "inside brackets")
    explanation = RuleList(
        (
            Rule((listed("word", "a", "b"), inside), 1.0),
            Rule((inside, listed("word", "b", "c")), 0.5),
            Rule((listed("word", "d"), inside), -0.5),
            Rule((listed("word", "e"),), 0.5),
        )
    )
    assert explanation.sentence(most_listed=9) == (
        "It rises when the token is inside brackets and the word so far is “a”, “b” or “c”, or when the word so far is"
        " “e”; it falls when the token is inside brackets and the word so far is “d”."
    )
    assert explanation.sentence(most_rules=1).endswith("; 2 more rules refine this.")


@settings(max_examples=150, deadline=None)
@given(rule_lists)
def test_a_sentence_is_one_sentence_of_at_most_280_characters(drawn: Any) -> None:
    explanation = rule_list(drawn)
    text = explanation.sentence()
    assert len(text) <= 280
    assert "\n" not in text
    assert text[0].isupper()
    assert text.endswith((".", "…"))
    bare = re.sub("“[^”]*”", "", text)
    assert bare.count(".") == (not text.endswith("…"))


@settings(max_examples=50, deadline=None)
@given(st.lists(conditions(), min_size=1, max_size=4))
def test_a_phrase_names_every_string_and_class(said: list[Said]) -> None:
    when = tuple(Condition(*condition) for condition in said)
    phrase = Rule(when, 1.0).phrase()
    for condition in when:
        for text in condition.any_of:
            assert quoted(text) in phrase


def test_hostile_strings_are_cut_and_made_visible() -> None:
    assert quoted("\x1b[31m\u202e\ta") == "“\\x1b[31m\\u202e⇥a”"
    long = RuleList((Rule(tuple(listed("word", f"{i}" + "x" * 500) for i in range(4)), 1.0),))
    assert len(long.sentence()) <= 280
    assert "x" * 22 + "…" in long.sentence()
    assert "x" * 500 in long.lines()[0]
