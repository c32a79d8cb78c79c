from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from assay.core.bundled import TOKENIZER
from assay.errors import UsageError
from assay.ladder.tokenizer import END, documents_of, read_tokenizer, train_tokenizer, windows_of
from assay.text import Document, load_corpus, split

DOCUMENTS = tuple(
    Document(str(i), f"the cat sat on the mat in 19{i:02d}, and the dog too.\n", str(i)) for i in range(40)
)


@functools.cache
def small() -> Any:
    return train_tokenizer(DOCUMENTS, 275, 128)


@functools.cache
def of_the_package() -> Any:
    return read_tokenizer(TOKENIZER)


@pytest.mark.parametrize("made", [small, of_the_package])
@settings(deadline=None)
@given(text=st.text(max_size=60) | st.sampled_from([END, f"a{END}b ", "  x\t\n\n", " 'll é\u0301 \U0001f44d\ufeff"]))
def test_any_text_comes_back(made: Any, text: str) -> None:
    ids = made()(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert made().decode(ids) == text
    assert made().bos_token_id not in ids
    assert made().decode([made().bos_token_id, *ids], skip_special_tokens=True) == text


@pytest.mark.parametrize("made", [small, of_the_package])
def test_one_special_token_and_single_digits(made: Any) -> None:
    tokenizer = made()
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == (END, END, END)
    assert (tokenizer.bos_token_id, tokenizer.all_special_ids) == (0, [0])
    assert tokenizer("1984")["input_ids"] == [tokenizer.convert_tokens_to_ids(digit) for digit in "1984"]
    assert not [token for token in tokenizer.get_vocab() if len(token) > 1 and set(token) & set("0123456789")]


def test_it_is_trained_the_same_again_and_loads_by_autotokenizer(tmp_path: Path) -> None:
    again = train_tokenizer(DOCUMENTS, 275, 128)
    assert again.backend_tokenizer.to_str() == small().backend_tokenizer.to_str()
    again.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert isinstance(loaded, PreTrainedTokenizerFast)
    assert loaded.get_vocab() == again.get_vocab()
    assert len(loaded) == 275


def test_that_of_the_package_knows_the_fit_documents_only() -> None:
    corpus = load_corpus("bundled")
    splits = split(corpus, seed=0)
    made_of = json.loads((TOKENIZER / "made_of.json").read_text(encoding="utf-8"))
    assert made_of["corpus_sha256"] == corpus.sha256
    assert made_of["splits_sha256"] == splits.sha256
    again = train_tokenizer(splits.fit, 4096, of_the_package().model_max_length)
    assert again.get_vocab() == of_the_package().get_vocab()
    assert again.get_vocab() != train_tokenizer(splits.fit + splits.choose, 4096, 512).get_vocab()


@pytest.mark.parametrize(("vocabulary", "message"), [(257, "258 entries or more"), (5000, "most. Got 5,000")])
def test_a_vocabulary_that_can_not_be_had(vocabulary: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        train_tokenizer(DOCUMENTS, vocabulary, 128)


def test_documents_are_whole_and_windows_leave_room_for_the_first_token() -> None:
    longer = (*DOCUMENTS, Document("long", "the cat sat on the dog. " * 400, "long"))
    ids = documents_of(longer, small())
    assert [small().decode(row) for row in ids] == [document.text for document in longer]
    table = windows_of(longer, small(), 128)
    assert table.length == 127
    assert np.array_equal(table.flat_ids, np.concatenate(ids))
