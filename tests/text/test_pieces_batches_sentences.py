import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.text import TokenTable, batches, pieces, sentences


@given(st.text(alphabet="ab \n", max_size=200), st.integers(1, 30))
def test_pieces_join_to_the_text(text, at_most):
    cut = pieces(text, at_most)
    assert "".join(cut) == text
    assert all(0 < len(piece) <= at_most for piece in cut)


def test_pieces_end_before_whitespace():
    assert pieces("one two  three four", 10) == ["one two", "  three", " four"]
    assert pieces("one two", 3) == ["one", " tw", "o"]
    assert pieces("abcdefgh ij", 5) == ["abcde", "fgh", " ij"]
    with pytest.raises(ValueError, match="at_most must be 1 or more"):
        pieces("a", 0)


def table_of(lengths, width=8):
    lengths = np.array(lengths, np.int64)
    ids = np.where(np.arange(width) < lengths[:, None], np.arange(len(lengths) * width).reshape(-1, width), -1)
    zeros = np.zeros(len(lengths), np.int64)
    return TokenTable(ids.astype(np.int32), lengths, zeros, zeros)


@given(st.lists(st.integers(1, 8), max_size=30), st.integers(1, 40))
def test_batches_hold_every_window_once_within_the_size(lengths, size):
    table = table_of(lengths)
    seen = []
    for batch in batches(table, size):
        assert batch.ids.size <= size or len(batch.rows) == 1
        assert batch.ids.dtype == batch.mask.dtype == np.int64
        for row, ids, mask in zip(batch.rows, batch.ids, batch.mask, strict=True):
            seen.append(row)
            assert mask.sum() == table.lengths[row]
            assert ids[mask == 1].tolist() == table.window(row).ids.tolist()
            assert not ids[mask == 0].any()
    assert sorted(seen) == list(range(len(lengths)))


def test_batches_are_bucketed_by_length():
    got = [(batch.rows.tolist(), batch.ids.shape) for batch in batches(table_of([1, 8, 2, 8, 8, 1]), 16)]
    assert got == [([1, 3], (2, 8)), ([4, 2], (2, 8)), ([0, 5], (2, 1))]
    with pytest.raises(ValueError, match="size_tokens must be 1 or more"):
        next(batches(table_of([1]), 0))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two? Three!", ["One.", "Two?", "Three!"]),
        ("Mr. Smith met J. R. Tolkien. They ate.", ["Mr. Smith met J. R. Tolkien.", "They ate."]),
        ('"Really?" she asked. He said: "No!" Then left.', ['"Really?" she asked.', 'He said: "No!"', "Then left."]),
        ("It cost $3.50 today... and more. End", ["It cost $3.50 today... and more.", "End"]),
        ("At 5 p.m. he left. At 6 p.m. The train came.", ["At 5 p.m. he left.", "At 6 p.m.", "The train came."]),
        ("See no. 5 and fig. 3. No. They stay.", ["See no. 5 and fig. 3.", "No.", "They stay."]),
        ("It was I. Then he, e.g. Bob, came.", ["It was I.", "Then he, e.g. Bob, came."]),
        ("1. First item. It is.\n2. Second\n- a\n- b", ["1. First item.", "It is.", "2. Second", "- a", "- b"]),
        ("A Title\nA line of verse\nand its end", ["A Title", "A line of verse\nand its end"]),
        (
            "This line was broken because it was too long for the page\nWidth. Next.",
            ["This line was broken because it was too long for the page\nWidth.", "Next."],
        ),
        ("Para one\n\npara two", ["Para one", "para two"]),
        (" \n ", []),
        ("", []),
    ],
)
def test_sentences(text, expected):
    assert sentences(text) == expected


@given(st.text(alphabet="aB. !?\n\"'1-", max_size=120))
def test_sentences_lose_nothing_but_whitespace(text):
    found = sentences(text)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert all(sentence == sentence.strip() != "" for sentence in found)


def test_a_giant_line_is_split_in_linear_time():
    assert len(sentences("Mr. X. " * 20_000 + "He ran. " * 20_000)) == 20_000
