"""The planted models' language: its tokenizer, its grammar and how often each kind of word occurs."""

from __future__ import annotations

from collections import Counter

import pytest

from assay.testing.planted_language import KINDS, SPECIAL, VOCABULARY, planted_corpus, planted_tokens, tokenizer


def test_every_token_stands_once_in_the_vocabulary():
    assert len(set(VOCABULARY)) == len(VOCABULARY)
    assert len(VOCABULARY) == len(SPECIAL) + sum(map(len, KINDS.values()))
    assert 110 <= len(VOCABULARY) <= 140


def test_tokenizer_reads_back_every_document_token_by_token():
    reader = tokenizer()
    for tokens in planted_tokens(seed=3, documents=40, words=60):
        ids = reader("".join(tokens))["input_ids"]
        assert [VOCABULARY[i] for i in ids] == tokens
        assert reader.decode(ids) == "".join(tokens)


def test_spaces_belong_to_the_word_that_follows():
    reader = tokenizer()
    ids = reader("The red dog jumped on March 17.\nThe")["input_ids"]
    assert [reader.decode([i]) for i in ids] == [
        *("The", " red", " dog", " jumped", " on", " March", " 1", "7", ".", "\n", "The")
    ]


def test_words_outside_the_vocabulary_become_unknown():
    reader = tokenizer()
    assert reader("The zebra")["input_ids"] == [VOCABULARY.index("The"), reader.unk_token_id]


def test_corpus_depends_on_the_seed_alone():
    first = planted_corpus(seed=5, documents=12)
    assert first == planted_corpus(seed=5, documents=12)
    assert first != planted_corpus(seed=6, documents=12)
    assert len({document.id for document in first}) == 12


def test_documents_are_of_the_length_asked_for():
    lengths = [len(tokens) for tokens in planted_tokens(seed=0, documents=100, words=60)]
    assert min(lengths) >= 60
    assert max(lengths) < 60 + 16


@pytest.fixture(scope="module")
def counts() -> Counter[str]:
    return Counter(token for tokens in planted_tokens(seed=0, documents=400, words=60) for token in tokens)


@pytest.mark.parametrize("kind", ["weekday", "month", "colour", "number", "ing", "adverb", "adjective", "conjunction"])
def test_kinds_that_named_neurons_read_occur_in_one_to_five_per_cent(kind, counts):
    share = sum(counts[token] for token in KINDS[kind]) / counts.total()
    assert 0.01 < share < 0.05


def test_words_of_a_kind_follow_zipf(counts):
    first, last = counts[" dog"], counts[" bridge"]
    assert 4 < first / last < 11  # 1/2 against 1/13 is 6.5


def test_the_rare_word_stands_in_seven_documents_once_each():
    found = [tokens.count(" quartz") for tokens in planted_tokens(seed=0, documents=400, words=60)]
    assert sum(found) == 7
    assert max(found) == 1
