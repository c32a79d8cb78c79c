"""Texts that say bits, on a model of the package."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from assay.errors import UsageError
from assay.model.reading import encode as tokenised
from assay.probe.stego import Coded, Pact, decode, encode
from assay.probe.stego.candidates import Candidates
from assay.probe.stego.walk import Walk

PROMPTS = (
    "The garden was quiet that morning.",
    "A couple stood on a river, watching the world roll by.",
    "I woke up in the beautiful alignment of the city.",
    "Black holes are singularities that are invisible and carry immense mysteries.",
)
SMALL = Pact(rows=4)


def messages(length: int, seed: int = 0) -> list[list[int]]:
    return np.random.default_rng(seed).integers(0, 2, (len(PROMPTS), length)).tolist()


@pytest.fixture(scope="module")
def coded(ladder: Any) -> list[Coded]:
    return encode(ladder, PROMPTS, messages(600), SMALL, tokens=40)


def test_a_message_of_any_length_comes_back(ladder: Any) -> None:
    sent = [[1], [0, 0, 0, 0, 0, 0, 0, 0, 0, 1], [], messages(70)[0]]
    made = encode(ladder, PROMPTS, sent, SMALL)
    got = decode(ladder, PROMPTS, [one.text for one in made], SMALL)
    for bits, one, read in zip(sent, made, got, strict=True):
        assert list(read.bits[: len(bits)]) == bits
        assert one.exact
        assert read.stopped is None
        assert len(read.bits) == one.bits >= len(bits)
    assert made[2].text == ""


def test_so_many_tokens_say_what_their_entropy_holds(ladder: Any, coded: list[Coded]) -> None:
    got = decode(ladder, PROMPTS, [one.text for one in coded], SMALL)
    for bits, one, read in zip(messages(600), coded, got, strict=True):
        assert 40 <= len(one.ids) == read.tokens <= 42
        assert list(read.bits) == bits[: one.bits]
    assert sum(one.bits for one in coded) == pytest.approx(sum(one.entropy for one in coded), rel=0.08)


def test_over_many_messages_bits_are_the_entropy(ladder: Any) -> None:
    """4 x 16 texts of 12 tokens; what is left over at the end of each is about two bits."""
    many = [prompt for prompt in PROMPTS for _ in range(16)]
    bits = np.random.default_rng(5).integers(0, 2, (len(many), 300)).tolist()
    made = encode(ladder, many, bits, Pact(rows=64), tokens=12)
    held, said = sum(one.entropy for one in made), sum(one.bits for one in made)
    assert held - 3 * len(made) < said < held * 1.04


def test_the_text_is_tokenised_again_as_it_was(ladder: Any, coded: list[Coded]) -> None:
    """Which is not so of every token that the model finds likely."""
    for prompt, one in zip(PROMPTS, coded, strict=True):
        front = tokenised(ladder, [prompt])[0]
        assert tokenised(ladder, [prompt + one.text])[0] == (*front, *one.ids)
    assert max(one.lost for one in coded) > 0.001
    for one in encode(ladder, PROMPTS, messages(60), Pact(rows=4, window=0)):
        assert one.exact


def test_tokens_that_would_merge_are_left_out(ladder: Any) -> None:
    def ids(text: str) -> list[int]:
        return ladder.tokenizer(text, add_special_tokens=False)["input_ids"]

    known, one, two = (Candidates(ladder, Pact(top_k=k)) for k in (32, 1, 2))
    before, (whole,), parts, (end,), (other,) = (ids(text) for text in ("The", " with", " w", "ith", " house"))
    assert known.come_back(before, [whole]) == [True]
    assert known.come_back([*before, *parts], [end, other]) == [False, True]
    logits = np.full(ladder.vocab_size, -10.0)
    logits[end], logits[other] = 5.0, 4.0
    table = two.table([*before, *parts], logits.copy(), False, False)
    assert table.tokens.tolist() == [other]
    assert table.lost == pytest.approx(np.e / (1 + np.e))
    assert end not in one.table([*before, *parts], logits.copy(), False, False).tokens


def test_a_blank_line_may_stand_in_a_text_but_not_end_it(ladder: Any) -> None:
    """Two line breaks are one token at the end and two in front of a word."""
    tokenizer = ladder.tokenizer
    before, (line,) = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("He ran.\n", "\n"))
    logits = np.full(ladder.vocab_size, -10.0)
    logits[line] = 5.0
    table = Candidates(ladder, Pact(top_k=1)).table(before, logits, False, False)
    assert (table.tokens.tolist(), table.settled.tolist()) == ([line], [False])


def test_what_stands_in_the_other_rows_does_not_matter(ladder: Any, coded: list[Coded]) -> None:
    alone = decode(ladder, PROMPTS, ["", "", coded[2].text, " and so on"], SMALL)
    assert len(alone[2].bits) == coded[2].bits
    assert alone[0].bits == ()


def test_walked_logits_are_those_of_a_whole_pass(ladder: Any) -> None:
    import torch

    rows = tokenised(ladder, PROMPTS[:2])
    with torch.inference_mode():
        walk = Walk(ladder, rows, 4)
        walk.step([7, 8])
        for at, (row, token) in enumerate(zip(rows, (7, 8), strict=True)):
            whole = ladder.logits(torch.tensor([[*row, token]]), None)[0, -1].numpy()
            assert np.abs(walk.logits(at) - whole).max() < 1e-3


def test_bits_before_an_edit_arrive_and_those_after_it_do_not(ladder: Any, coded: list[Coded]) -> None:
    words = [one.text.split(" ") for one in coded]
    changed = [" ".join([*one[: len(one) // 2], "zebra", *one[len(one) // 2 + 1 :]]) for one in words]
    got = decode(ladder, PROMPTS, changed, SMALL)
    shares: list[float] = []
    for bits, one, read in zip(messages(600), coded, got, strict=True):
        right = [bit == other for bit, other in zip(bits, read.bits, strict=False)]
        first = right.index(False) if False in right else len(right)
        shares.append(first / one.bits)
        assert len(read.bits) < one.bits or not all(right)
    assert 0.2 < np.mean(shares) < 0.8
    assert any(one.stopped is not None for one in got)


def test_another_pact_reads_something_else(ladder: Any, coded: list[Coded]) -> None:
    got = decode(ladder, PROMPTS, [one.text for one in coded], Pact(rows=4, temperature=0.7))
    assert all(list(one.bits[:40]) != bits[:40] for bits, one in zip(messages(600), got, strict=True))


def test_a_coin_says_a_bit_a_token_where_both_come_back(ladder: Any) -> None:
    made = encode(ladder, PROMPTS, messages(100), Pact(top_k=2, flat=True, rows=4), tokens=20)
    for one in made:
        assert one.bits == round(one.entropy) <= 20
    assert sum(one.bits for one in made) > 70


def test_what_can_not_be_said_is_refused(ladder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="two tokens or more"):
        encode(ladder, ["The"], [[1]])
    with pytest.raises(UsageError, match="made of bits"):
        encode(ladder, PROMPTS[:1], [[1, 3]])
    with pytest.raises(UsageError, match="1 prompts and 2 messages"):
        encode(ladder, PROMPTS[:1], [[1], [0]])
    with pytest.raises(UsageError, match="1 prompts and 2 texts"):
        decode(ladder, PROMPTS[:1], ["", ""])
    with pytest.raises(UsageError, match="600 tokens were asked for"):
        encode(ladder, PROMPTS[:1], [[1]], tokens=600)
    with pytest.raises(UsageError, match="top_k must be 1 or more"):
        Pact(top_k=0)
    with pytest.raises(UsageError, match="temperature must be above 0"):
        Pact(temperature=0.0)
    monkeypatch.setattr(ladder, "context_length", 20)
    with pytest.raises(UsageError, match=r"200 bits don't fit"):
        encode(ladder, PROMPTS[:1], [messages(200)[0]], SMALL)
