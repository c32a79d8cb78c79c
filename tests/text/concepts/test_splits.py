import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import UsageError
from assay.text.concepts import (
    ConceptData,
    ConceptSplits,
    Item,
    check_apart,
    concept_names,
    load_concept,
    split_concept,
    tear,
)
from assay.text.concepts.drawn import fraction, picked, shuffled


def made_of(rows):
    """Rows are (group, label)."""
    items = tuple(Item(f"text {i}", label, group, group) for i, (group, label) in enumerate(rows))
    return ConceptData("made", items, "", "")


def twins(count, name="g"):
    return made_of((f"{name}{i}", label) for i in range(count) for label in (1, 0))


ROWS = st.lists(st.tuples(st.integers(0, 12).map("g{}".format), st.integers(0, 1)), min_size=1, max_size=60)


@given(ROWS, st.integers(0, 3))
def test_every_row_once_and_no_group_torn(rows, seed):
    data = made_of(rows)
    try:
        splits = split_concept(data, seed)
    except UsageError:
        return
    assert sorted(np.concatenate(splits).tolist()) == list(range(len(data)))
    assert all(part.dtype == np.int64 and (np.diff(part) > 0).all() for part in splits)
    check_apart(data, splits)
    for part in splits:
        assert set(data.labels[part].tolist()) == {0, 1}


@given(ROWS, ROWS)
def test_a_group_of_two_sets_is_on_the_same_side_in_both(first, second):
    parts = []
    for rows in (first, second):
        data = made_of(rows)
        try:
            parts.append([set(data.groups[rows].tolist()) for rows in split_concept(data, 0)])
        except UsageError:
            return
    for side, elsewhere in ((0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)):
        assert not parts[0][side] & parts[1][elsewhere]


def test_the_side_is_that_of_the_hash():
    data = twins(50)
    side = np.empty(len(data), int)
    for number, rows in enumerate(split_concept(data, 7)):
        side[rows] = number
    for group, got in zip(data.groups, side, strict=True):
        at = int(hashlib.sha256(f"7\0{group}".encode()).hexdigest(), 16) / 2**256
        assert got == (0 if at < 0.6 else 1 if at < 0.8 else 2)


def test_shares_and_seeds():
    data = twins(4000)
    for shares in ((0.6, 0.2, 0.2), (0.2, 0.1, 0.7)):
        for part, share in zip(split_concept(data, 0, shares), shares, strict=True):
            assert abs(len(part) / 8000 - share) < 4 * np.sqrt(share * (1 - share) / 4000)
    first, again, other = (split_concept(data, seed) for seed in (0, 0, 1))
    assert first.sha256 == again.sha256 != other.sha256
    both = np.intersect1d(first.test, other.test).size / first.test.size
    assert abs(both - 0.2) < 4 * np.sqrt(0.2 * 0.8 / 800)


@pytest.mark.parametrize("name", sorted(set(concept_names()) - {"requests_benign"}))
def test_bundled_sets_split_and_are_apart(name):
    data = load_concept(name)
    for seed in range(3):
        splits = split_concept(data, seed)
        check_apart(data, splits)
        assert abs(len(splits.fit) / len(data) - 0.6) < 0.2


def test_a_denied_fact_is_on_the_side_of_the_fact():
    for name, denied in (("cities", "neg_cities"), ("sentiment", "neg_sentiment"), ("comparisons", "smaller")):
        plain, negated = (split_concept(load_concept(which), 3) for which in (name, denied))
        assert all((rows == others).all() for rows, others in zip(plain, negated, strict=True))
    easy, hard = load_concept("gender"), load_concept("gender_hard")
    learnt = set(easy.groups[split_concept(easy, 0).fit])
    assert learnt & set(hard.groups)
    assert not learnt & set(hard.groups[split_concept(hard, 0).test])


def test_one_class_on_a_side_is_refused():
    with pytest.raises(UsageError, match=r"requests_benign: .* 0 of them of label 1, and needs both labels"):
        split_concept(load_concept("requests_benign"), 0)
    with pytest.raises(UsageError, match=r"made: of 1 groups the \w+ side got 0 texts"):
        split_concept(twins(1), 0)


def test_shares_that_are_none():
    for shares in ((0.5, 0.5, 0.0), (0.5, 0.3, 0.3)):
        with pytest.raises(ValueError, match="three positive numbers with sum 1"):
            split_concept(twins(9), 0, shares)
        with pytest.raises(ValueError, match="three positive numbers with sum 1"):
            tear(twins(9), 0, shares)


def test_tearing_tears_and_is_refused_with_the_numbers():
    data = load_concept("cities")
    torn = tear(data, 0)
    assert sorted(np.concatenate(torn).tolist()) == list(range(len(data)))
    assert [len(part) for part in torn] == [440, 147, 147]
    assert tear(data, 0).sha256 == torn.sha256 != tear(data, 1).sha256
    side = {int(row): number for number, rows in enumerate(torn) for row in rows}
    halves = [{side[i] for i, item in enumerate(data.items) if item.pair == pair} for pair in set(data.pairs)]
    pairs = sum(len(half) > 1 for half in halves)
    # two rows of one set fall on different sides with probability 1 - (.36 + .04 + .04)
    assert abs(pairs / 367 - 0.56) < 4 * np.sqrt(0.56 * 0.44 / 367)
    with pytest.raises(UsageError, match=rf"cities: the split tears \d+ groups, {pairs} pairs"):
        check_apart(data, torn)


def test_a_text_that_stands_on_two_sides_counts_whatever_its_spaces():
    items = (Item("a  b", 1, "g"), Item("a b\n", 1, "h"), Item("c", 0, "i"))
    data = ConceptData("made", items, "", "")
    splits = ConceptSplits(*(np.array([i], np.int64) for i in range(3)))
    with pytest.raises(UsageError, match="tears 1 texts, so"):
        check_apart(data, splits)


def test_rows_without_a_pair_are_no_pair():
    items = tuple(Item(f"t{i}", i % 2, f"g{i}") for i in range(3))
    check_apart(ConceptData("made", items, "", ""), ConceptSplits(*(np.array([i], np.int64) for i in range(3))))


def test_fractions_are_uniform_and_orders_are_by_hash():
    drawn = np.array([fraction("uniform", i) for i in range(2000)])
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert abs(drawn.mean() - 0.5) < 4 / np.sqrt(12 * 2000)
    assert sorted(shuffled(list("abcdef"), "x")) == list("abcdef")
    assert shuffled(list("fedcba"), "x") == shuffled(list("abcdef"), "x") != shuffled(list("abcdef"), "y")
    counts = np.bincount([picked(range(4), "x", i) for i in range(2000)])
    assert (abs(counts - 500) < 4 * np.sqrt(2000 * 3 / 16)).all()
