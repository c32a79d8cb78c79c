"""The index of a view and the loops over it, against a table of what holds where that is made from the view alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.rules import Condition, View
from assay.rules.classes import class_names
from assay.rules.flags import FLAG_NAMES
from assay.rules.index import Index, build_index, names_of
from assay.rules.kernels import accumulate, clear, count_features, filter_rows, new_tally, sum_bags
from assay.rules.view import BAGS, SLOTS
from rules.texts import Windows, view_of

TOKENS = [" the", " The", " a", "wha", "le", " whale", ",", " (", ")", "\n", " 7", "  ", "", "'s"]
PLACES = (*SLOTS, *BAGS)

windows_of_tokens = st.lists(st.lists(st.sampled_from(TOKENS), min_size=1, max_size=24), min_size=1, max_size=5)
seeds = st.integers(0, 2**32)


def drawn(windows: Windows, seed: int) -> tuple[View, np.random.Generator]:
    """A view of some of the tokens, at least one; windows of which none counts are among them."""
    rng = np.random.default_rng(seed)
    rows = rng.random(sum(map(len, windows))) < rng.choice([0.1, 0.7, 1.0])
    rows[rng.integers(len(rows))] = True
    return view_of(windows, rows.tolist()), rng


def features(view: View) -> np.ndarray:
    """(tokens, p) where each feature holds, in the order of the index."""
    tables = [np.eye(len(view.keys(slot).names))[view.keys(slot).ids] for slot in SLOTS]
    tables += [view.bag(slot).matrix.toarray() for slot in BAGS]
    tables += [view.members(slot)[view.keys(slot).ids] for slot in SLOTS]
    return np.concatenate([*tables, view.flags, view.class_flags], axis=1)


def bags_of(index: Index) -> slice:
    return slice(int(index.starts[len(SLOTS)]), int(index.starts[-1]))


@settings(max_examples=40, deadline=None)
@given(windows_of_tokens, seeds)
def test_the_index_says_what_the_view_says(windows: Windows, seed: int) -> None:
    view, _ = drawn(windows, seed)
    index, holds = build_index(view, 2), features(view)
    np.testing.assert_array_equal(index.counts, holds.sum(0))
    assert index.starts.tolist() == np.cumsum([0, *(len(names_of(view, i)) for i in range(len(PLACES)))]).tolist()
    for i, slot in enumerate(SLOTS):
        np.testing.assert_array_equal(index.keys[i] - index.starts[i], view.keys(slot).ids)
    for i, column in enumerate(holds[:, bags_of(index)].T):
        own = index.post_rows[index.post_start[i] : index.post_start[i + 1]]
        np.testing.assert_array_equal(np.sort(own), np.flatnonzero(column))
    members = np.concatenate([view.members(slot) for slot in SLOTS])
    columns = np.concatenate([view.flags, view.class_flags], axis=1)
    for bits, start, of, table in (
        (index.class_bits, index.class_start, index.class_of, members),
        (index.column_bits, index.column_start, index.column_of, columns),
    ):
        unpacked = np.unpackbits(bits.view(np.uint8), axis=1, bitorder="little")
        np.testing.assert_array_equal(unpacked[:, : table.shape[1]], table)
        for row in range(len(table)):
            assert of[start[row] : start[row + 1]].tolist() == np.flatnonzero(table[row]).tolist()


@settings(max_examples=40, deadline=None)
@given(windows_of_tokens, seeds)
def test_places_and_repetitions_of_word_forms(windows: Windows, seed: int) -> None:
    view, _ = drawn(windows, seed)
    index = build_index(view, 1)
    length = view.ids.shape[1]
    for forms, again, first in zip(index.forms.tolist(), index.again.tolist(), index.first.tolist(), strict=True):
        for q, form in enumerate(forms):
            assert again[q] == next((r for r in range(q + 1, length) if forms[r] == form), length)
            assert first[q] == (form not in forms[:q])
    names = view.keys("form").names
    for row, (window, position) in enumerate(zip(index.window, index.position, strict=True)):
        assert names[index.forms[window, position]] == names[view.keys("form").ids[row]]
    number = np.stack([index.window, index.position])
    assert np.all(np.diff(number[0] * length + number[1]) > 0)


@settings(max_examples=40, deadline=None)
@given(windows_of_tokens, seeds, st.integers(1, 4))
def test_what_may_be_listed(windows: Windows, seed: int, needed: int) -> None:
    """Every string of a slot but nothing, and a bag's where enough windows have it."""
    view, _ = drawn(windows, seed)
    index = build_index(view, needed)
    for i, place in enumerate(PLACES):
        own = index.listable[index.starts[i] : index.starts[i + 1]]
        expected = np.ones(len(own)) if place in SLOTS else view.windows_with(place) >= needed
        np.testing.assert_array_equal(own[1:], expected[1:])
        assert own[0] == 0


@settings(max_examples=60, deadline=None)
@given(windows_of_tokens, seeds)
def test_sums_and_counts_over_some_tokens(windows: Windows, seed: int) -> None:
    """Dense and sparse choices of tokens, so that windows with few and with many of them are gone through."""
    view, rng = drawn(windows, seed)
    index, holds = build_index(view, 1), features(view)
    rows = np.flatnonzero(rng.random(view.size) < rng.choice([0.1, 0.5, 1.0])).astype(np.int32)
    residual, before = rng.standard_normal(view.size), np.zeros(view.ids.shape[1] + 1)
    counts = np.full(len(index.counts), 9, np.float32)
    count_features(index, rows, counts, before)
    np.testing.assert_array_equal(counts, holds[rows].sum(0))
    sums = rng.standard_normal(len(index.counts))
    added = sums.copy()
    sum_bags(index, residual, added, before)
    added -= sums
    bags = bags_of(index)
    np.testing.assert_allclose(added[bags], residual @ holds[:, bags], atol=1e-9)
    assert not added[: bags.start].any()
    assert not added[bags.stop :].any()
    tally = new_tally(index)
    for own in (rows, rows[::2]):  # the second time as at first
        accumulate(index, own, residual, tally)
        expected = np.stack([residual[own] @ holds[own], holds[own].sum(0)], axis=1)
        expected[bags] = 0
        np.testing.assert_allclose(tally.sums, expected, atol=1e-4)
        for i in range(len(SLOTS)):
            assert sorted(tally.seen[i, : tally.n_seen[i]]) == np.unique(index.keys[i, own]).tolist()
        clear(index, tally)
        assert not tally.sums.any()
        assert not tally.n_seen.any()


NAMED = ["article", "starts a word", "number in digits", "punctuation mark", class_names()[-1]]
conditions = st.tuples(
    st.sampled_from((*PLACES, "flag")), st.sampled_from([*NAMED, ""]), st.sampled_from(FLAG_NAMES), st.booleans()
)


def coded(view: View, index: Index, slot: str, named: str, flag: str, negated: bool, rng: np.random.Generator):
    """A condition as an object, as four integers, and its strings."""
    strings = np.zeros(12, np.int32)
    if slot == "flag":
        code = [len(PLACES), FLAG_NAMES.index(flag), negated, 0]
        return Condition("flag", named=flag, negated=negated), code, strings
    place = PLACES.index(slot)
    if named and slot not in ("earlier", "word", "stem"):  # of which the search names no classes
        return Condition(slot, named=named, negated=negated), [place, class_names().index(named), negated, 0], strings
    names = names_of(view, place)
    chosen = rng.permutation(np.arange(1, len(names)))[:12]
    if not len(chosen):
        return None
    strings[: len(chosen)] = chosen + index.starts[place]
    return Condition(slot, tuple(names[i] for i in chosen), negated=negated), [place, -1, negated, len(chosen)], strings


@settings(max_examples=150, deadline=None)
@given(windows_of_tokens, seeds, conditions)
def test_where_a_condition_holds(windows: Windows, seed: int, drawn_condition: tuple[str, str, str, bool]) -> None:
    view, rng = drawn(windows, seed)
    index = build_index(view, 1)
    made = coded(view, index, *drawn_condition, rng)
    if made is None:
        return
    condition, code, strings = made
    rows = np.flatnonzero(rng.random(view.size) < 0.7).astype(np.int32)
    marks, out = np.zeros(max(view.size, int(index.starts[-1])), np.uint8), np.zeros(view.size, np.int32)
    found = filter_rows(index, rows, np.array(code, np.int32), strings, marks, out)
    assert out[:found].tolist() == rows[condition.holds(view)[rows]].tolist()
    assert not marks.any()
