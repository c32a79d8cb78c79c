from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.rules import View
from assay.rules.classes import class_names, membership
from assay.rules.rule import Condition
from assay.rules.stems import stem
from assay.rules.view import BAGS, SLOTS
from rules.texts import Windows, view_of

TOKENS = [
    " the",
    "The",
    " whale",
    "wha",
    "le",
    "'s",
    "’",
    "s",
    "don",
    "'t",
    ",",
    ".",
    "\n",
    "  ",
    " 7",
    "é",
    "",
    " A b",
]

windows_of_tokens = st.lists(st.lists(st.sampled_from(TOKENS), min_size=1, max_size=12), min_size=1, max_size=4)


def naive_fold(text: str) -> str:
    return text.lower() if text.isspace() else text.strip().lower()


def naive_words(window: list[str]) -> list[tuple[str, str]]:
    """(word so far, whole word before) at each token, word by word from the left."""
    words: list[list[str]] = []
    out = []
    for token in window:
        if token:
            goes_on = token[0].isalpha() or token[0] in "'’"
            open_word = words and (words[-1][-1][-1].isalpha() or (words[-1][-1] in ("'", "’") and len(words[-1]) > 1))
            if goes_on and open_word:
                words[-1].append(token)
            else:
                words.append([token])
            texts = ["".join(map(naive_fold, word)) for word in words]
            out.append((texts[-1], texts[-2] if len(texts) > 1 else ""))
        else:
            out.append(("", ""))
    return out


def naive_slot(slot: str, window: list[str], at: int) -> str:
    if slot in ("word", "previous word"):
        return naive_words(window)[at][slot == "previous word"]
    if slot == "stem":
        return stem(naive_words(window)[at][0])
    back = {"token": 0, "form": 0, "previous token": 1, "second last": 2, "third last": 3}[slot]
    if at < back:
        return ""
    text = window[at - back]
    return text if slot.endswith("token") else naive_fold(text)


def called(slot: str, name: str) -> str:
    """A stem goes by one of its words, which another text may not have."""
    return stem(name) if slot == "stem" else name


@settings(max_examples=60, deadline=None)
@given(windows_of_tokens, st.data())
def test_slots_are_what_a_reader_of_each_token_sees(windows: Windows, data: st.DataObject) -> None:
    places = [(list(window), at) for window in windows for at in range(len(window))]
    rows = data.draw(st.lists(st.booleans(), min_size=len(places), max_size=len(places)))
    view = view_of(windows, rows)
    assert view.size == sum(rows)
    for slot in SLOTS:
        keys = view.keys(slot)
        assert len(set(keys.names)) == len(keys.names)
        found = [called(slot, keys.names[i]) for i in keys.ids]
        expected = [naive_slot(slot, window, at) for (window, at), kept in zip(places, rows, strict=True) if kept]
        assert found == expected, slot


@settings(max_examples=60, deadline=None)
@given(windows_of_tokens, st.data())
def test_bags_hold_what_stands_before(windows: Windows, data: st.DataObject) -> None:
    places = [(list(window), at) for window in windows for at in range(len(window))]
    rows = data.draw(st.lists(st.booleans(), min_size=len(places), max_size=len(places)))
    view = view_of(windows, rows)
    kept = [place for place, keep in zip(places, rows, strict=True) if keep]
    for bag in BAGS:
        matrix, names = view.bag(bag)
        dense = matrix.toarray()
        assert set(np.unique(dense)) <= {0.0, 1.0}
        assert dense.shape == (sum(rows), len(names))
        for line, (window, at) in zip(dense, kept, strict=True):
            before = window[max(0, at - 8) : at] if bag == "nearby" else window[:at]
            assert {names[k] for k in np.flatnonzero(line)} == {naive_fold(text) for text in before} - {""}


@settings(max_examples=30, deadline=None)
@given(windows_of_tokens)
def test_a_class_is_nearby_when_one_of_the_previous_eight_is_in_it(windows: Windows) -> None:
    view = view_of(windows)
    found = iter(view.class_flags)
    for window in windows:
        for at in range(len(window)):
            before = [naive_fold(text) for text in window[max(0, at - 8) : at] if text]
            expected = membership(before).any(0) if before else np.zeros(len(class_names()), dtype=bool)
            np.testing.assert_array_equal(next(found) > 0, expected)


@settings(max_examples=40, deadline=None)
@given(windows_of_tokens, st.data())
def test_rows_left_out_are_context_all_the_same(windows: Windows, data: st.DataObject) -> None:
    size = sum(map(len, windows))
    rows = np.array(data.draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    whole, part = view_of(windows), view_of(windows, list(rows))
    np.testing.assert_array_equal(part.flags, whole.flags[rows])
    np.testing.assert_array_equal(part.class_flags, whole.class_flags[rows])


@settings(max_examples=40, deadline=None)
@given(windows_of_tokens)
def test_padding_and_other_windows_change_nothing(windows: Windows) -> None:
    together = view_of(windows)
    alone = [view_of([window]) for window in windows]
    np.testing.assert_array_equal(together.flags, np.concatenate([view.flags for view in alone]))
    for slot in SLOTS:
        names = [called(slot, view.keys(slot).names[i]) for view in alone for i in view.keys(slot).ids]
        assert [called(slot, together.keys(slot).names[i]) for i in together.keys(slot).ids] == names


def test_the_word_so_far_grows_piece_by_piece() -> None:
    view = view_of([[" Un", "believ", "able", ",", " don", "'t", " o", "’", "clock", "9", "th"]])
    word, before = view.keys("word"), view.keys("previous word")
    assert [word.names[i] for i in word.ids] == (
        ["un", "unbeliev", "unbelievable", ",", "don", "don't", "o", "o’", "o’clock", "9", "th"]
    )
    assert [before.names[i] for i in before.ids] == (
        ["", "", "", "unbelievable", ",", ",", "don't", "don't", "don't", "o’clock", "9"]
    )


def test_a_stem_goes_by_the_word_that_stands_there_most_often() -> None:
    view = view_of([[" drawing", " drew", ",", " draw", " drew", " whale"]])
    stems = view.keys("stem")
    assert [stems.names[i] for i in stems.ids] == ["drew", "drew", "", "drew", "drew", "whale"]
    assert Condition("stem", ("draws",)).holds(view).tolist() == [True, True, False, True, True, False]


def test_an_opening_quote_does_not_start_the_word_after_it() -> None:
    view = view_of([[" said", " '", "tis", "'", " '", "so"]])
    word = view.keys("word")
    assert [word.names[i] for i in word.ids] == ["said", "'", "tis", "tis'", "'", "so"]


def test_ids_with_the_same_text_are_one_key() -> None:
    view = View(np.array([[0, 1, 2, -1]], dtype=np.int32), [" a", " a", " b"])
    assert view.keys("token").ids.tolist() == [1, 1, 2]
    assert view.keys("token").names == ("", " a", " b")


def test_a_token_without_text_hides_nothing_after_it() -> None:
    view = view_of([["", " whale", "", "rs"]])
    word = view.keys("word")
    assert [word.names[i] for i in word.ids] == ["", "whale", "", "whalers"]


def test_nothing_belongs_to_no_class() -> None:
    view = view_of([["  ", " a"]])
    for slot in (*SLOTS, *BAGS):
        assert not view.members(slot)[0].any()
        assert view.members(slot)[1:].any()


@pytest.mark.parametrize("length", [1, 2, 3, 9, 15, 16, 17])
def test_windows_of_any_length(length: int) -> None:
    """As short as one token, and shorter than the reach of a flag."""
    view = view_of([[" a"] * length, [" b"]])
    assert view.flags.shape[0] == length + 1
    assert view.bag("earlier").matrix.sum() == max(length - 1, 0)
    assert view.keys("third last").ids.tolist() == [0] * min(length, 3) + [1] * max(length - 3, 0) + [0]


def test_no_rows_at_all() -> None:
    view = view_of([[" a", " b"]], [False, False])
    assert view.size == 0
    assert view.flags.shape[0] == 0
    assert view.bag("nearby").matrix.shape == (0, 3)


@settings(max_examples=40, deadline=None)
@given(windows_of_tokens, st.data())
def test_windows_with_counts_windows_and_not_tokens(windows: Windows, data: st.DataObject) -> None:
    places = [(list(window), at, number) for number, window in enumerate(windows) for at in range(len(window))]
    rows = data.draw(st.lists(st.booleans(), min_size=len(places), max_size=len(places)))
    view = view_of(windows, rows)
    seen = [place for place, wanted in zip(places, rows, strict=True) if wanted]
    for slot in SLOTS:
        expected: dict[str, set[int]] = {}
        for window, at, number in seen:
            expected.setdefault(naive_slot(slot, window, at), set()).add(number)
        names = [called(slot, name) for name in view.keys(slot).names]
        counted = dict(zip(names, view.windows_with(slot).tolist(), strict=True))
        assert {name: count for name, count in counted.items() if count} == {k: len(v) for k, v in expected.items()}
    matrix, names = view.bag("earlier")
    inside = [{names[j] for j in matrix[i].indices} for i in range(view.size)]
    counted = dict(zip(names, view.windows_with("earlier").tolist(), strict=True))
    for name in names:
        assert counted[name] == len({seen[i][2] for i in range(view.size) if name in inside[i]})
