import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import CorpusError
from assay.text import Document, tokenise
from assay.text.windows import PIECE


class Characters:
    """One token a character: its code point. Remembers what it was handed."""

    def __init__(self):
        self.handed = []

    def __call__(self, text, /, **options):
        assert options["add_special_tokens"] is False
        assert options["split_special_tokens"] is True
        self.handed += text
        return {"input_ids": [[ord(c) for c in piece] for piece in text]}


def documents(*texts):
    return [Document(f"d{i}", text, f"d{i}") for i, text in enumerate(texts)]


def text_of(table, row):
    return "".join(map(chr, table.window(row).ids))


def test_windows_of_whole_documents():
    table = tokenise(documents("abcdefg", "", "hi"), Characters(), length=3)
    assert table.ids.tolist() == [[97, 98, 99], [100, 101, 102], [103, -1, -1], [104, 105, -1]]
    assert table.lengths.tolist() == [3, 3, 1, 2]
    assert table.documents.tolist() == [0, 0, 0, 2]
    assert table.starts.tolist() == [0, 3, 6, 0]
    assert (len(table), table.length, table.n_tokens, table.n_documents) == (4, 3, 9, 2)
    assert table.window(1).document == 0
    assert table.window(1).start == 3
    assert text_of(table, 2) == "g"


def test_flat_order():
    table = tokenise(documents("abcde", "hi"), Characters(), length=3)
    assert "".join(map(chr, table.flat_ids)) == "abcdehi"
    assert table.flat_positions.tolist() == [0, 1, 2, 0, 1, 0, 1]
    assert table.flat_windows.tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert table.flat_documents.tolist() == [0, 0, 0, 0, 0, 1, 1]
    assert table.offsets.tolist() == [0, 3, 5, 7]
    values = np.arange(9.0).reshape(3, 3)
    assert table.flat(values).tolist() == [0, 1, 2, 3, 4, 6, 7]
    assert table.padded(table.flat(values), fill=-1).tolist() == [[0, 1, 2], [3, 4, -1], [6, 7, -1]]
    vectors = np.arange(14).reshape(7, 2)
    assert table.flat(table.padded(vectors)).tolist() == vectors.tolist()


def test_take_keeps_rows_in_order():
    table = tokenise(documents("abcde", "hi"), Characters(), length=3).take(np.array([2, 0]))
    assert [text_of(table, i) for i in range(2)] == ["hi", "abc"]
    assert table.offsets.tolist() == [0, 2, 5]


@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=12),
    st.integers(1, 9),
    st.integers(1, 300),
    st.integers(0, 3),
)
def test_budget_is_met_within_a_window_and_spread_evenly(sizes, length, budget, seed):
    texts = ["".join(chr(1000 * (i + 1) + j) for j in range(size)) for i, size in enumerate(sizes)]
    table = tokenise(documents(*texts), Characters(), length=length, tokens=budget, seed=seed)
    whole = sum(sizes)
    assert min(budget, whole) <= table.n_tokens < min(budget, whole) + length
    # each window is what stands in the document, none twice
    places = list(zip(table.documents.tolist(), table.starts.tolist(), strict=True))
    assert len(set(places)) == len(places)
    assert places == sorted(places)
    for row, (document, start) in enumerate(places):
        assert start % length == 0
        assert text_of(table, row) == texts[document][start : start + length]
    # water-filling: a document that gives less than another by more than one window has given all
    given_ = np.bincount(table.documents, minlength=len(sizes))
    for i, size in enumerate(sizes):
        if given_[i] < -(-size // length):
            assert given_[i] >= given_.max() - 1


def test_a_documents_windows_are_one_run_that_wraps():
    table = tokenise(documents("x" * 100, "y" * 100), Characters(), length=10, tokens=80, seed=3)
    for document in (0, 1):
        numbers = table.starts[table.documents == document] // 10
        gaps = np.diff(np.append(numbers, numbers[0] + 10))
        assert len(numbers) == 4
        assert sorted(gaps) == [1, 1, 1, 7]


def test_every_window_of_a_document_has_the_same_chance():
    counts = np.zeros(10)
    for seed in range(2000):
        table = tokenise(documents("x" * 100), Characters(), length=10, tokens=30, seed=seed)
        counts[table.starts // 10] += 1
    # binomial with n = 2000, p = .3: standard deviation 20.5
    assert np.abs(counts - 600).max() < 4.5 * 20.5


def test_the_seed_and_the_ids_decide_not_the_order():
    texts = [chr(65 + i) * 40 for i in range(26)]
    some = documents(*texts)
    one = tokenise(some, Characters(), length=10, tokens=100)
    turned = tokenise(some[::-1], Characters(), length=10, tokens=100)
    letters = {text_of(one, row)[0] for row in range(len(one))}
    assert len(letters) == 10
    assert letters == {text_of(turned, row)[0] for row in range(len(turned))}
    other = tokenise(some, Characters(), length=10, tokens=100, seed=1)
    assert letters != {text_of(other, row)[0] for row in range(len(other))}


def test_only_as_many_documents_are_tokenised_as_the_budget_needs():
    tokenizer = Characters()
    tokenise(documents(*["x" * 20_000] * 300), tokenizer, tokens=640)
    assert len(tokenizer.handed) == 50  # the first million characters


def test_too_little_text():
    with pytest.raises(
        CorpusError, match=r"the test split needs 2,000 tokens, has 1,005 in 2 documents; ask for fewer"
    ):
        tokenise(documents("x" * 1000, "y" * 5), Characters(), tokens=2000, minimum=2000, name="the test split")
    assert tokenise(documents("x" * 1000), Characters(), minimum=1000).n_tokens == 1000
    assert len(tokenise([], Characters())) == 0


def test_giant_lines_reach_the_tokenizer_in_pieces():
    tokenizer = Characters()
    text = "x" * 2_500_000 + " " + "lorem ipsum " * 5000
    table = tokenise(documents("a", text, "b"), tokenizer, length=64)
    assert max(map(len, tokenizer.handed)) <= PIECE
    assert "".join(map(chr, table.flat_ids)) == "a" + text + "b"


@pytest.mark.parametrize("wrong", [{"length": 0}, {"tokens": 0}])
def test_sizes_must_be_positive(wrong):
    with pytest.raises(ValueError, match="length and tokens must be 1 or more"):
        tokenise(documents("a"), Characters(), **wrong)


def test_spelling_of_a_special_token_is_ordinary_text():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {c: i for i, c in enumerate("<|end>ab")}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|end|>")
    special = tokenizer.eos_token_id
    assert special in tokenizer("a<|end|>b")["input_ids"]
    table = tokenise(documents("a<|end|>b"), tokenizer)
    assert special not in table.flat_ids
    assert "".join("<|end>ab"[i] for i in table.flat_ids) == "a<|end|>b"
    assert special in tokenizer("a<|end|>b")["input_ids"]  # the tokenizer is as it was
