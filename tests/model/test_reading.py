"""Activations and log odds against passes over one text at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from assay.core.ids import SiteId
from assay.errors import UnknownName, UsageError
from assay.model import reading
from assay.model.reading import encode, first_token, in_batches, log_odds, read
from assay.testing.language import SPECIAL, make_tokenizer

SITES = [SiteId(0, "resid_post"), SiteId(1, "resid_post")]
TEXTS = [
    "The city of Paris is in France.",
    "No.",
    "One day a girl named Lily went to the park with her mother, and there they saw a big brown dog that was sad.",
    "She was happy because",
    "Tom likes to play with his red ball and",
    "No",
]


def alone(subject: Any, text: str) -> dict[SiteId, torch.Tensor]:
    ids = torch.tensor([subject.tokenizer(text)["input_ids"]])
    with torch.inference_mode():
        return {site: tensor[0] for site, tensor in subject.activations(ids, None, SITES).items()}


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few texts a batch, of different lengths."""
    monkeypatch.setattr(reading, "in_batches", lambda subject, ids: in_batches(subject, ids, 30))


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("position", ["last", "mean"])
def test_texts_of_mixed_length_are_read_as_each_alone(ladder: Any, position: str) -> None:
    found = read(ladder, TEXTS, SITES, position)
    for place, text in enumerate(TEXTS):
        for site, tensor in alone(ladder, text).items():
            expected = tensor[-1] if position == "last" else tensor.mean(0)
            assert found[site][place] == pytest.approx(expected.numpy(), abs=1e-5)


def test_one_pass_serves_all_sites(ladder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[tuple[int, set[SiteId]]] = []
    own = ladder.activations

    def counted(ids, mask, sites):
        passes.append((len(ids), set(sites)))
        return own(ids, mask, sites)

    monkeypatch.setattr(ladder, "activations", counted)
    shares: list[float] = []
    read(ladder, TEXTS, SITES, "last", shares.append)
    assert passes == [(len(TEXTS), set(SITES))]
    assert shares == [1.0]
    passes.clear()
    monkeypatch.setattr(reading, "in_batches", lambda subject, ids: in_batches(subject, ids, 30))
    read(ladder, TEXTS, SITES, "last", shares.append)
    assert sum(rows for rows, _ in passes) == len(TEXTS)
    assert len(passes) > 1
    assert shares[1:] == sorted(shares[1:])
    assert shares[-1] == 1.0


def test_batches_hold_every_text_once_within_their_size(ladder: Any) -> None:
    ids = encode(ladder, TEXTS)
    batches = list(in_batches(ladder, ids, 30))
    assert sorted(np.concatenate([batch.rows for batch in batches]).tolist()) == list(range(len(TEXTS)))
    for batch in batches:
        assert batch.ids.numel() <= 30 or len(batch.rows) == 1
        assert batch.mask.sum(1).tolist() == batch.lengths.tolist()
        for row, own, mask in zip(batch.rows, batch.ids, batch.mask, strict=True):
            assert tuple(own[mask.bool()].tolist()) == ids[row]
            assert mask.tolist() == sorted(mask.tolist(), reverse=True)  # padded at the right


@pytest.mark.usefixtures("small_batches")
def test_log_odds_are_those_of_the_next_token(ladder: Any) -> None:
    found = log_odds(ladder, TEXTS, (" he", " she"))
    he, she = (ladder.tokenizer(word)["input_ids"][0] for word in (" he", " she"))
    for place, text in enumerate(TEXTS):
        ids = torch.tensor([ladder.tokenizer(text)["input_ids"]])
        with torch.inference_mode():
            logs = torch.log_softmax(ladder.logits(ids)[0, -1].double(), -1)
        assert found[place] == pytest.approx(float(logs[she] - logs[he]), abs=1e-4)
    assert np.ptp(found) > 0.1


def test_words_that_begin_alike_are_refused(ladder: Any) -> None:
    assert first_token(ladder, " she") == first_token(ladder, " she said")
    with pytest.raises(
        UsageError, match=r"^' she said' and ' she' begin with the same token of ladder-2-0; give other"
    ):
        log_odds(ladder, TEXTS, (" she said", " she"))


def test_bad_texts_and_positions_are_one_line(ladder: Any) -> None:
    long = "dog " * (ladder.context_length + 1)
    with pytest.raises(UsageError, match=rf"tokens and ladder-2-0 takes {ladder.context_length:,} at most") as error:
        read(ladder, ["dog", long], SITES)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 200
    with pytest.raises(UsageError, match="the text '' has no token; remove it"):
        read(ladder, ["dog", ""], SITES)
    with pytest.raises(UnknownName, match="unknown position 'first'; known: last, mean"):
        read(ladder, TEXTS, SITES, "first")
    with pytest.raises(UnknownName, match="L9"):
        read(ladder, TEXTS, [SiteId(9, "resid_post")])


def test_a_text_of_the_whole_context_is_read(ladder: Any) -> None:
    text = "dog"
    while len(ladder.tokenizer(text + " dog")["input_ids"]) <= ladder.context_length:
        text += " dog"
    assert len(encode(ladder, [text])[0]) == ladder.context_length
    assert np.isfinite(read(ladder, [text], SITES)[SITES[1]]).all()


class Bounded:
    """A tokenizer that begins a text with one special token and ends it with another."""

    def __init__(self) -> None:
        self.own = make_tokenizer((*SPECIAL, "a", " b", " c"), r" ?[a-z]")
        self.begin, self.end = 90, 91

    def __call__(self, texts: list[str], **_: Any) -> dict[str, list[list[int]]]:
        ids = self.own(texts)["input_ids"]
        return {
            "input_ids": [[self.begin, *(i for i in row if i not in self.own.all_special_ids), self.end] for row in ids]
        }


def test_what_the_tokenizer_puts_at_the_end_is_left_out_and_its_beginning_is_no_text() -> None:
    class Subject:
        tokenizer, special_ids, context_length, name = Bounded(), frozenset({90, 91}), 8, "bounded"

    a, b = Subject.tokenizer.own.convert_tokens_to_ids(["a", " b"])
    assert encode(Subject(), ["a b", "a"]) == [(90, a, b), (90, a)]  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="the text '' has no token"):
        encode(Subject(), ["a b", ""])  # type: ignore[arg-type]
