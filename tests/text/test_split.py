import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import CorpusError
from assay.text import Corpus, Document, Splits, split
from assay.text.split import check_disjoint


def corpus_of(documents):
    return Corpus("test", tuple(documents), "")


def documents(count, size=lambda i: 100, families=None):
    rng = np.random.default_rng(0)
    return [
        Document(f"d{i}", "".join(rng.choice(list("abcdefgh "), size(i))), f"f{i % families if families else i}")
        for i in range(count)
    ]


@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 12), st.integers(1, 400)), min_size=3, max_size=40),
    st.integers(0, 5),
)
def test_everything_once_nothing_shared_nothing_empty(rows, seed):
    # families and texts collide at random, so that groups are joined through chains of both
    corpus = corpus_of(
        Document(f"d{i}", f"{text} " * 3 + "x", f"f{family}") for i, (family, text, _) in enumerate(rows)
    )
    try:
        parts = split(corpus, seed)
    except CorpusError:
        return
    check_disjoint(parts)
    assert sorted(d.id for part in parts for d in part) == sorted(d.id for d in corpus.documents)
    assert all(parts)


def test_shares_of_characters_and_documents():
    corpus = corpus_of(documents(1000, size=lambda i: 50 + 37 * i % 500))
    total = sum(len(d.text) for d in corpus.documents)
    for part, share in zip(split(corpus, 0), (0.6, 0.2, 0.2), strict=True):
        assert abs(sum(len(d.text) for d in part) / total - share) < 0.03
        assert abs(len(part) / 1000 - share) < 0.03
    halves = split(corpus, 0, (0.4, 0.1, 0.5))
    assert abs(len(halves.test) - 500) < 30


def test_few_documents_of_very_different_length_leave_no_split_empty():
    for count in (3, 4, 5):
        corpus = corpus_of(documents(count, size=lambda i: 10_000 if i == 1 else 10))
        for seed in range(20):
            assert all(split(corpus, seed))


def test_order_of_documents_is_irrelevant_and_seed_is_not():
    rows = documents(60, families=30)
    parts = split(corpus_of(rows), 0)
    turned = split(corpus_of(rows[::-1]), 0)
    assert [{d.id for d in part} for part in parts] == [{d.id for d in part} for part in turned]
    assert parts.sha256 == split(corpus_of(rows), 0).sha256
    other = split(corpus_of(rows), 1)
    assert other.sha256 != parts.sha256
    assert {d.id for d in other.test} != {d.id for d in parts.test}
    assert [d.id for d in parts.fit] == [d.id for d in rows if d in parts.fit]


def test_copies_of_a_text_stay_together_through_their_families():
    # f0 and f1 share a text up to whitespace, f1 and f2 another one: three families, one group
    linked = [
        Document("a", "same text", "f0"),
        Document("b", "same \n text", "f1"),
        Document("c", "second", "f1"),
        Document("d", "second", "f2"),
    ]
    for seed in range(10):
        parts = split(corpus_of([*documents(20), *(d._replace(family="l" + d.family) for d in linked)]), seed)
        holders = [i for i, part in enumerate(parts) for d in part if d.id in "abcd"]
        assert len(holders) == 4
        assert len(set(holders)) == 1


def test_too_few_groups():
    with pytest.raises(CorpusError, match=r"test: needs at least 3 independent documents .* has 2 \(of 6 documents"):
        split(corpus_of(documents(6, families=2)), 0)


def test_bad_shares():
    with pytest.raises(ValueError, match="three positive numbers with sum 1"):
        split(corpus_of(documents(6)), 0, (0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    ("other", "what"),
    [(Document("a", "u", "g"), "id"), (Document("b", "u", "f"), "family"), (Document("b", "t\n", "g"), "text")],
)
def test_disjointness_check_finds_each_kind_of_overlap(other, what):
    with pytest.raises(AssertionError, match=f"{what}: 1 in more than one split"):
        check_disjoint(Splits((Document("a", "t", "f"),), (), (other,)))
