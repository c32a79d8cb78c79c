"""The index of a view and the loops over it, against a table of what holds where that is made from the view alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.rules import Condition, View
from assay.rules.classes import class_names
from assay.rules.flags import FLAG_NAMES
from assay.rules.index import Index, build_index, masks_of, names_of
from assay.rules.kernels import accumulate, clear, count_bags, narrow, new_tally, rows_in, sum_bags
from assay.rules.view import BAGS, SLOTS
from rules.texts import Windows, random_view, view_of

TOKENS = [" the", " The", " a", "wha", "le", " whale", ",", " (", ")", "\n", " 7", "  ", "", "'s"]
PLACES = (*SLOTS, *BAGS)
NO_CLASSES = ("word", "stem")

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
    tables += [view.members(slot)[view.keys(slot).ids] * (slot not in NO_CLASSES) for slot in SLOTS]
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
        np.testing.assert_array_equal(index.keys[:, i] - index.starts[i], view.keys(slot).ids)
    for string in range(int(index.starts[len(SLOTS)])):
        own = index.post_rows[index.post_start[string] : index.post_start[string + 1]]
        np.testing.assert_array_equal(own, np.flatnonzero(holds[:, string]))
    for i, column in enumerate(holds[:, bags_of(index)].T):
        here, own = slice(index.run_start[i], index.run_start[i + 1]), np.zeros(view.size)
        for first, last in zip(index.run_first[here], index.run_last[here], strict=True):
            assert not own[first:last].any()
            own[first:last] = 1
        np.testing.assert_array_equal(own, column * index.listable[index.starts[len(SLOTS)] + i])
    listed = holds[:, : index.starts[-1]] * index.listable
    names = holds[:, index.starts[-1] + len(SLOTS) * index.n_classes :]
    for row in range(view.size):
        own = index.bag_of[index.bag_start[row] : index.bag_start[row + 1]]
        assert sorted(own) == [i for i in np.flatnonzero(listed[row]) if i >= index.starts[len(SLOTS)]]
        own = index.column_of[index.column_start[row] : index.column_start[row + 1]]
        assert own.tolist() == np.flatnonzero(names[row]).tolist()
    unpacked = np.unpackbits(index.masks.view(np.uint8), axis=1, bitorder="little")
    np.testing.assert_array_equal(unpacked[:, : view.size].T, holds[:, index.starts[-1] :])
    assert not unpacked[:, view.size :].any()


@settings(max_examples=40, deadline=None)
@given(windows_of_tokens, seeds)
def test_the_classes_of_each_string(windows: Windows, seed: int) -> None:
    view, _ = drawn(windows, seed)
    index = build_index(view, 2)
    assert [SLOTS[slot] for slot, _ in index.class_slots] == [slot for slot in SLOTS if slot not in NO_CLASSES]
    for slot, shift in index.class_slots:
        for i, row in enumerate(view.members(SLOTS[slot])):
            at = i + index.starts[slot] + shift
            own = index.class_of[index.class_start[at] : index.class_start[at + 1]]
            assert own.tolist() == np.flatnonzero(row).tolist()


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
    """A few tokens and many, which are counted in different ways."""
    view, rng = drawn(windows, seed)
    index, holds = build_index(view, 1), features(view)
    rows = np.flatnonzero(rng.random(view.size) < rng.choice([0.0, 0.01, 0.5, 1.0])).astype(np.int32)
    residual, bags = rng.standard_normal(view.size).astype(np.float32), bags_of(index)
    counts = np.full(len(index.counts) - bags.start, 9, np.float32)
    count_bags(index, rows, np.full(view.size + 1, 7, np.int32), counts)
    here = bags.stop - bags.start
    np.testing.assert_array_equal(counts[:here], holds[rows, bags].sum(0) * index.listable[bags])
    assert np.all(counts[here:] == 9)
    sums = np.full(here, 9.0)
    sum_bags(index, residual.astype(np.float64), sums, np.full(view.size + 1, 7.0))
    np.testing.assert_allclose(sums, residual @ holds[:, bags] * index.listable[bags], atol=1e-6)
    tally = new_tally(index)
    for own in (rows, rows[::2]):  # the second time as at first
        accumulate(index, own, residual, tally)
        expected = np.stack([residual[own] @ holds[own], holds[own].sum(0)], axis=1)
        expected[bags] = 0
        np.testing.assert_allclose(tally.sums, expected, atol=1e-4)
        for i in range(len(SLOTS)):
            assert sorted(tally.seen[i, : tally.n_seen[i]]) == np.unique(index.keys[own, i]).tolist()
        clear(index, tally)
        assert not tally.sums.any()
        assert not tally.n_seen.any()


@pytest.mark.parametrize("size", [0, 1, 7, 8, 500])
def test_strings_of_bags_at_few_tokens_and_at_many(size: int) -> None:
    rng = np.random.default_rng(size)
    view = random_view(rng, 40, 15, TOKENS)
    index, holds = build_index(view, 25), features(view)
    rows, bags = np.sort(rng.permutation(view.size)[:size]).astype(np.int32), bags_of(index)
    counts = np.full(len(index.counts) - bags.start, 9, np.float32)
    count_bags(index, rows, np.full(view.size + 1, 7, np.int32), counts)
    assert index.listable[bags].any()
    np.testing.assert_array_equal(counts[: bags.stop - bags.start], holds[rows, bags].sum(0) * index.listable[bags])


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(0, 200)))
def test_the_places_of_set_bits(places: set[int]) -> None:
    table, out = np.zeros((1, 201), np.bool_), np.zeros(201, np.int32)
    table[0, list(places)] = True
    assert out[: rows_in(masks_of(table)[0], out)].tolist() == sorted(places)


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
    mask, out = masks_of(np.isin(np.arange(view.size), rows)[None])[0], np.zeros(view.size, np.int32)
    narrow(index, np.array(code, np.int32), strings, mask, np.full(len(mask), 5, np.uint64))
    assert out[: rows_in(mask, out)].tolist() == rows[condition.holds(view)[rows]].tolist()
