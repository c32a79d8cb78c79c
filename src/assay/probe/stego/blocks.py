"""A message in numbered sentences, each of which can be read without the others: an edit costs the sentence it hits.

The context of every sentence is the prompt alone, so that the receiver has it whatever became of the rest. That, the
numbers, and sentences that end once their bits are in are the price.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from assay.errors import UsageError
from assay.probe.stego.candidates import STOPS, Pact
from assay.probe.stego.coding import Coded, Goal, decode, write
from assay.probe.stego.interval import Stream

if TYPE_CHECKING:
    from assay.model import Subject

BLOCK = 24
"""Bits of the message in one sentence."""

_LONGEST = 40  # tokens of a sentence
_CUT = re.compile(f"[{STOPS}]")

Told = Callable[[float], None]


def encode_sentences(
    subject: Subject,
    prompts: Sequence[str],
    messages: Sequence[Sequence[int]],
    pact: Pact | None = None,
    *,
    block: int = BLOCK,
    seed: int = 0,
    told: Told = lambda share: None,
) -> list[Coded]:
    """Texts of as many sentences as the messages have blocks; each says its number and then ``block`` bits.

    Of what comes back ``bits`` counts those of the message, ``ids`` are without the stops, and ``exact`` says whether
    every sentence is.

    Raises:
        UsageError: messages that are not of one length, or one that is empty; and as :func:`encode` does.
    """
    count, digits = _sizes({len(bits) for bits in messages}, block)
    streams = [
        Stream([*_number(place, digits), *bits[place * block : (place + 1) * block]], [seed, i, place])
        for i, bits in enumerate(messages)
        for place in range(count)
    ]
    sizes = [digits + min(block, len(messages[0]) - place * block) for place in range(count)]
    goals = [Goal(size, _LONGEST, True) for size in sizes] * len(messages)
    found = write(subject, [one for one in prompts for _ in range(count)], streams, goals, pact or Pact(), told)
    for one, goal in zip(found, goals, strict=True):
        if goal.bits is not None and one.bits < goal.bits:
            raise UsageError(f"a block of {block} bits doesn't fit into a sentence of {_LONGEST} tokens; make it less")
    return [_joined(found[i * count : (i + 1) * count], len(bits)) for i, bits in enumerate(messages)]


def decode_sentences(
    subject: Subject,
    prompts: Sequence[str],
    texts: Sequence[str],
    bits: int,
    pact: Pact | None = None,
    *,
    block: int = BLOCK,
    told: Told = lambda share: None,
) -> list[tuple[int | None, ...]]:
    """The ``bits`` of each message, None where no sentence said them.

    A block is taken from the sentence that says its number; of several from the one in its place, else from the first.
    Takes the same prompts in the same order as :func:`encode_sentences` did, or the first of them up to a multiple of
    ``pact.rows``.
    """
    count, digits = _sizes({bits}, block)
    parts = [[" ".join(["", *one.split()]) for one in _CUT.split(text) if one.strip()] for text in texts]
    given = [part for one in parts for part in (*one[:count], *[""] * (count - len(one)))]
    known = decode(subject, [one for one in prompts for _ in range(count)], given, pact, sentence=True, told=told)
    return [
        _gathered([one.bits for one in known[i * count : (i + 1) * count]], bits, block, digits)
        for i in range(len(texts))
    ]


def _gathered(said: Sequence[tuple[int, ...]], bits: int, block: int, digits: int) -> tuple[int | None, ...]:
    taken: dict[int, tuple[int, ...]] = {}
    for place, one in enumerate(said):
        number = int("".join(map(str, one[:digits])), 2) if len(one) >= digits else -1
        if number == place or number not in taken:
            taken[number] = one[digits : digits + block]
    found: list[int | None] = []
    for place in range(len(said)):
        one = taken.get(place, ())
        found += [*one, *[None] * (block - len(one))]
    return tuple(found[:bits])


def _sizes(lengths: set[int], block: int) -> tuple[int, int]:
    """Sentences of a message, and bits of the number of one."""
    if len(lengths) != 1 or 0 in lengths or block < 1:
        raise UsageError(
            f"messages must be of one length, and a block of 1 bit or more. Got {sorted(lengths)}, {block}"
        )
    count = -(-lengths.pop() // block)
    return count, (count - 1).bit_length()


def _number(place: int, digits: int) -> list[int]:
    return [place >> digit & 1 for digit in reversed(range(digits))]


def _joined(parts: Sequence[Coded], bits: int) -> Coded:
    return Coded(
        "".join(f"{one.text}." for one in parts),
        tuple(token for one in parts for token in one.ids),
        bits,
        sum(one.entropy for one in parts),
        sum(one.lost for one in parts) / len(parts),
        all(one.exact for one in parts),
    )
