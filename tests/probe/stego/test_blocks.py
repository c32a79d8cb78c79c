"""Numbered sentences: what hits one leaves the others."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from assay.errors import UsageError
from assay.probe.stego import Coded, Pact, decode_sentences, encode_sentences

PROMPTS = ("The garden was quiet that morning.", "A couple stood on a river, watching the world roll by.")
BLOCK = 16
BITS = 60  # three whole blocks and one of 12
SMALL = Pact(rows=8)
SENT = np.random.default_rng(1).integers(0, 2, (len(PROMPTS), BITS)).tolist()


@pytest.fixture(scope="module")
def coded(ladder: Any) -> list[Coded]:
    return encode_sentences(ladder, PROMPTS, SENT, SMALL, block=BLOCK)


def read(ladder: Any, texts: list[str]) -> list[list[int | None]]:
    return [list(one) for one in decode_sentences(ladder, PROMPTS, texts, BITS, SMALL, block=BLOCK)]


def parts_of(text: str) -> list[str]:
    return re.findall(r"[^.]+\.", text)


def test_a_message_comes_back(ladder: Any, coded: list[Coded]) -> None:
    assert read(ladder, [one.text for one in coded]) == SENT
    for one in coded:
        assert one.exact
        assert one.bits == BITS
        assert len(parts_of(one.text)) == 4
        assert re.fullmatch(r"( [^\s.!?…]+)+\.", parts_of(one.text)[0])


def test_order_and_whitespace_do_not_matter(ladder: Any, coded: list[Coded]) -> None:
    turned = ["\n".join(reversed(parts_of(one.text))).replace(" ", "  ") for one in coded]
    assert read(ladder, turned) == SENT


def test_a_changed_word_costs_its_own_sentence(ladder: Any, coded: list[Coded]) -> None:
    changed: list[str] = []
    for one in coded:
        parts = parts_of(one.text)
        parts[1] = " Zebra" + parts[1][parts[1].index(" ", 1) :]
        changed.append("".join(parts))
    for got, sent in zip(read(ladder, changed), SENT, strict=True):
        assert got[:BLOCK] == sent[:BLOCK]
        assert got[2 * BLOCK :] == sent[2 * BLOCK :]
        assert got[BLOCK : 2 * BLOCK] != sent[BLOCK : 2 * BLOCK]


def test_a_sentence_that_is_missing_is_known_to_be(ladder: Any, coded: list[Coded]) -> None:
    without = ["".join(parts_of(one.text)[:2] + parts_of(one.text)[3:]) for one in coded]
    for got, sent in zip(read(ladder, without), SENT, strict=True):
        assert got == [*sent[: 2 * BLOCK], *[None] * BLOCK, *sent[3 * BLOCK :]]


def test_what_can_not_be_cut_is_refused(ladder: Any) -> None:
    with pytest.raises(UsageError, match="must be of one length"):
        encode_sentences(ladder, PROMPTS, [[0], [1, 0]])
    with pytest.raises(UsageError, match="must be of one length"):
        encode_sentences(ladder, PROMPTS, [[], []])
