from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from assay.rules.classes import class_names, fold, membership, word_lists

# Of each class by shape: some that are in it, some that are nearly.
SHAPES: dict[str, tuple[list[str], list[str]]] = {
    "starts a word": ([" the", "\nThe", " 7"], ["the", " ,", " "]),
    "starts with a letter without a space": (["ing", "The"], [" ing", "7", "é"]),
    "capitalised": ([" The", "The"], [" the", "USA", "A"]),
    "capitalised after a space": ([" The"], ["The", " the"]),
    "all capitals": (["USA", " OK"], [" Ok", "A"]),
    "single capital letter": ([" A", "I"], [" a", "AB"]),
    "single small letter": ([" a", "b"], [" A", "ab"]),
    "in small letters": ([" whale", "ing"], [" Whale", "it's"]),
    "two or three letters long": ([" of", "The"], [" a", "whale"]),
    "four or five letters long": (["whale", " that"], [" the", "whales"]),
    "six to eight letters long": ([" whales", "Nineteen"], ["whale", "remembers"]),
    "nine or more letters long": ([" remembers"], ["nineteen", " re-members"]),
    "number in digits": (["7", " 1984"], ["7th", "1.5"]),
    "made of letters": ([" the", "A"], ["don't", "7"]),
    "punctuation mark": ([".", " (", '."'], ["_", "a.", " "]),
    "end of sentence mark": ([".", '!"', "?)\n"], [",", '"', ":."]),
    "full stop": ([".", " ..."], ["!", '."']),
    "exclamation or question mark": (["!", " ?!"], [".", '!"']),
    "comma": ([",", ',"'], [".", ",,"]),
    "colon": ([":", " ::"], [";", ":a"]),
    "semicolon": ([";", " ;"], [":", ";;"]),
    "dash": (["-", "—", " --"], ["-a", "_"]),
    "contains a double quote": (['"', '."', " “"], ["'", "''"]),
    "single quote": (["'", " ‘", "’"], ["'s", '"']),
    "ends in an opening bracket": (["(", "f(", " {\n"], [")", "(a"]),
    "starts with a closing bracket": ([")", ").", " ]"], ["(", "a)"]),
    "slash, star or similar sign": (["/", " **", "#"], ["a/b", "-"]),
    "operator sign": (["=", " ->", "!="], ["(", "a="]),
    "contains a line break": (["\n", "\n\n", ".\n"], ["\t", " "]),
    "contains a blank line": (["\n\n", ".\n \n"], ["\n", "a\nb"]),
    "only spaces": ([" ", "\t "], ["\n", " a", ""]),
    "without ASCII letters": (["7", "é", "."], ["a", "7th"]),
    "contains a non-ASCII sign": (["é", " “"], ["e", '"']),
    "mixes letters and other signs": (["'s", "x1", "a."], ["a", " b", "1."]),
    "Roman numeral": ([" IV", "X"], ["iv", "MM", "A"]),
    "currency sign": (["$", " €"], ["$5", "c"]),
    "starts with a vowel": ([" apple", "Oh", "i"], [" ball", "y", "'a"]),
}


def members(text: str) -> set[str]:
    return {name for name, inside in zip(class_names(), membership([text])[0], strict=True) if inside}


def shape_names() -> list[str]:
    return [name for name in class_names() if name not in word_lists()]


def test_every_shape_class_has_examples_here() -> None:
    affixes = [name for name in shape_names() if re.fullmatch(r"(ends in -|starts with )\w+-?", name)]
    assert set(SHAPES) | set(affixes) == set(shape_names())


@pytest.mark.parametrize("name", SHAPES)
def test_examples_of_shapes(name: str) -> None:
    inside, outside = SHAPES[name]
    for text in inside:
        assert name in members(text), text
    for text in outside:
        assert name not in members(text), text


@pytest.mark.parametrize("name", [name for name in shape_names() if name.startswith("ends in -")])
def test_a_suffix_needs_a_stem_of_two_letters(name: str) -> None:
    suffix = name.removeprefix("ends in -")
    for text in (f" xx{suffix}", f"XX{suffix}"):
        assert name in members(text), text
    for text in (suffix, f" x{suffix}", f"xx{suffix}q", f"12{suffix}", f"xx-{suffix}"):
        assert name not in members(text), text


@pytest.mark.parametrize("name", [n for n in shape_names() if re.fullmatch(r"starts with \w+-", n)])
def test_a_prefix_needs_two_letters_after_it(name: str) -> None:
    prefix = name.removeprefix("starts with ").removesuffix("-")
    for text in (f" {prefix}qx", f"{prefix.capitalize()}qx", f"{prefix.upper()}qx"):
        assert name in members(text), text
    for text in (prefix, f" {prefix}q", f"q{prefix}qx", f"{prefix}qx's", f"{prefix}-qx"):
        assert name not in members(text), text


@pytest.mark.parametrize("name", word_lists())
def test_every_listed_word_is_in_its_class_in_any_case_with_or_without_a_space(name: str) -> None:
    words = word_lists()[name]
    column = class_names().index(name)
    for change in (str, str.upper, str.capitalize, lambda word: " " + word, lambda word: word.replace("'", "’")):
        assert membership([change(word) for word in words])[:, column].all()
    assert not membership([f"{word}zz" for word in words])[:, column].any()
    assert not membership(["qqzz", "", " "])[:, column].any()


@pytest.mark.parametrize("name", word_lists())
def test_words_are_folded_and_occur_once_in_a_class(name: str) -> None:
    words = word_lists()[name]
    assert len(words) >= 3
    assert [word for word, times in Counter(words).items() if times > 1] == []
    assert all(word == fold(word) for word in words)


def test_names_are_distinct_and_no_two_lists_are_equal() -> None:
    assert len(set(class_names())) == len(class_names())
    assert len({frozenset(words) for words in word_lists().values()}) == len(word_lists())


def test_membership_is_the_same_one_by_one_and_together() -> None:
    texts = [" the", "7", ".", "ing", "", "\n\n", " Monday"]
    np.testing.assert_array_equal(membership(texts), np.concatenate([membership([text]) for text in texts]))
    assert membership([]).shape == (0, len(class_names()))


def test_some_words_by_sense() -> None:
    assert {"weekday", "capitalised after a space", "six to eight letters long"} <= members(" Monday")
    assert {"preposition", "starts a word", "two or three letters long"} <= members(" of")
    assert "weekday" not in members(" month")


@pytest.mark.parametrize(("text", "folded"), [(" The", "the"), ("\n", "\n"), ("  ", "  "), ("É ", "é"), ("", "")])
def test_fold(text: str, folded: str) -> None:
    assert fold(text) == folded
    assert fold(folded) == folded
