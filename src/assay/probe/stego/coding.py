"""Bits as text: a model's next tokens are drawn by the message instead of by lot, and read off the text again.

Even bits (encrypt a message first) give text distributed as the pact's distributions are, up to 2**-16: as though it
had been sampled. Method: Ziegler, Deng and Rush 2019, "Neural Linguistic Steganography", with whole numbers throughout.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from assay.errors import UsageError
from assay.model.reading import encode as tokenised
from assay.probe.stego.candidates import Candidates, Pact
from assay.probe.stego.interval import PLACES, Interval, Stream
from assay.probe.stego.walk import Walk

if TYPE_CHECKING:
    from assay.model import Subject

Told = Callable[[float], None]
_SPARE = 8  # tokens of the context that are kept for a text that may not end yet


class Coded(NamedTuple):
    """A text that says bits.

    ``text``: what comes after the prompt; ``ids``: its tokens. ``bits``: how many leading bits of the stream it says
    for sure. ``entropy``: of the distributions its tokens were drawn from, bits in all. ``lost``: the mean probability
    of tokens left out because they would not come back. ``exact``: whether prompt and text, tokenised again, are these
    tokens. With a ``window`` of 0 they always are.
    """

    text: str
    ids: tuple[int, ...]
    bits: int
    entropy: float
    lost: float
    exact: bool


class Decoded(NamedTuple):
    """Bits read off a text. ``stopped``: at which of its ``tokens`` it left what the model could have written, which
    says that it was changed there or before; None if it never did."""

    bits: tuple[int, ...]
    tokens: int
    stopped: int | None


class Goal(NamedTuple):
    """When a text is done: its ``bits`` are in, or it has so many ``tokens``; and it may end there.

    A ``sentence`` is of pieces of one sentence only, and is done at the first place after its bits are in where a full
    stop is among the likeliest, or at ``tokens``; the stop itself is not written.
    """

    bits: int | None
    tokens: int
    sentence: bool = False


@dataclass
class _Row:
    """One text on its way."""

    prompt: tuple[int, ...]
    front: int
    ids: list[int] = field(default_factory=list[int])
    at: Interval = field(default_factory=Interval)
    entropies: list[float] = field(default_factory=list[float])
    lost: list[float] = field(default_factory=list[float])
    settled: bool = True
    over: bool = False

    @property
    def known_ids(self) -> list[int]:
        return [*self.prompt[self.front :], *self.ids]


def encode(
    subject: Subject,
    prompts: Sequence[str],
    messages: Sequence[Sequence[int]],
    pact: Pact | None = None,
    *,
    tokens: int | None = None,
    seed: int = 0,
    told: Told = lambda share: None,
) -> list[Coded]:
    """Texts after prompts that say messages.

    Args:
        subject: the model, best in fp32: in bf16 many tokens are equally likely.
        messages: bits, 0 or 1, one message a prompt.
        pact: what is agreed on; :class:`Pact` as it stands if left out.
        tokens: write so many tokens, or the few more after which the text may end, and as many bits as they carry;
            without it, until every bit is in.
        seed: of the bits after a message, which the receiver need not know.

    Raises:
        UsageError: a message that doesn't fit into the context, a prompt that doesn't come back as it was or of one
            token, or bits that are none.
    """
    if len(messages) != len(prompts):
        raise UsageError(f"each prompt takes one message. Got {len(prompts)} prompts and {len(messages)} messages.")
    room = subject.context_length - _SPARE - max((len(row) for row in tokenised(subject, prompts)), default=0)
    if room < 1 or not 0 < (tokens or room) <= room:
        raise UsageError(f"{tokens or 1} tokens were asked for, and after these prompts there is room for {room}")
    goals = [Goal(None if tokens is not None else len(bits), tokens or room) for bits in messages]
    streams = [Stream(bits, [seed, place]) for place, bits in enumerate(messages)]
    found = write(subject, prompts, streams, goals, pact or Pact(), told)
    for bits, one in zip(messages, found, strict=True):
        if tokens is None and one.bits < len(bits):
            raise UsageError(f"{len(bits):,} bits don't fit: {room} tokens say {one.bits:,}; send less at once")
    return found


@torch.inference_mode()
def write(
    subject: Subject,
    prompts: Sequence[str],
    streams: Sequence[Stream],
    goals: Sequence[Goal],
    pact: Pact,
    told: Told = lambda share: None,
) -> list[Coded]:
    """Texts after prompts, drawn by streams, until their goals are met."""
    candidates = Candidates(subject, pact)
    rows = _rows(subject, prompts)
    for start in range(0, len(rows), pact.rows):
        batch = slice(start, start + pact.rows)
        _write(subject, candidates, rows[batch], streams[batch], goals[batch])
        told(min(1.0, (start + pact.rows) / len(rows)))
    return [_coded(subject, prompt, row) for prompt, row in zip(prompts, rows, strict=True)]


def _write(
    subject: Subject,
    candidates: Candidates,
    rows: Sequence[_Row],
    streams: Sequence[Stream],
    goals: Sequence[Goal],
) -> None:
    walk = Walk(subject, [row.prompt for row in rows], candidates.pact.rows)
    while True:
        for i, (row, stream, goal) in enumerate(zip(rows, streams, goals, strict=True)):
            full = len(row.ids) >= goal.tokens
            said = goal.bits is not None and row.at.known >= goal.bits
            row.over = row.over or (row.settled and (full or (said and not goal.sentence)))
            if row.over:
                continue
            table = candidates.table(row.known_ids, walk.logits(i), goal.sentence, not row.ids)
            if said and table.ends and row.settled:
                row.over = True
                continue
            slot = row.at.slot(stream.first(row.at.places + PLACES))
            k = int(np.searchsorted(table.cuts, slot, side="right")) - 1
            row.at = row.at.part(int(table.cuts[k]), int(table.cuts[k + 1]))
            row.ids.append(int(table.tokens[k]))
            row.settled = bool(table.settled[k])
            row.entropies.append(table.entropy)
            row.lost.append(table.lost)
        if all(row.over for row in rows):
            return
        walk.step([0 if row.over else row.ids[-1] for row in rows])


def _rows(subject: Subject, prompts: Sequence[str]) -> list[_Row]:
    rows: list[_Row] = []
    for prompt, ids in zip(prompts, tokenised(subject, prompts), strict=True):
        front = next((i for i, one in enumerate(ids) if one not in subject.special_ids), len(ids))
        if subject.tokenizer.decode(ids[front:], clean_up_tokenization_spaces=False) != prompt:
            raise UsageError(f"the prompt {prompt[:60]!r} doesn't come back from its tokens as it was; take another")
        rows.append(_Row(ids, front))
    return rows


def _coded(subject: Subject, prompt: str, row: _Row) -> Coded:
    whole = str(subject.tokenizer.decode(row.known_ids, clean_up_tokenization_spaces=False))
    text = whole[len(prompt) :]
    exact = whole.startswith(prompt) and tokenised(subject, [prompt + text])[0] == (*row.prompt, *row.ids)
    lost = sum(row.lost) / max(1, len(row.lost))
    return Coded(text, tuple(row.ids), row.at.known, sum(row.entropies), lost, exact)


@torch.inference_mode()
def decode(
    subject: Subject,
    prompts: Sequence[str],
    texts: Sequence[str],
    pact: Pact | None = None,
    *,
    sentence: bool = False,
    told: Told = lambda share: None,
) -> list[Decoded]:
    """The bits that texts after prompts say: those of the message first, then some of what came after it.

    Takes the same prompts in the same order as :func:`encode` did, or the first of them up to a multiple of
    ``pact.rows``: a batch is padded to its longest prompt. ``sentence``: the texts are sentences without their stop.

    Raises:
        UsageError: a text longer than the context, or a prompt that doesn't come back as it was.
    """
    if len(texts) != len(prompts):
        raise UsageError(f"each text has its prompt. Got {len(prompts)} prompts and {len(texts)} texts.")
    pact = pact or Pact()
    candidates = Candidates(subject, pact)
    rows = _rows(subject, prompts)
    whole = tokenised(subject, [prompt + text for prompt, text in zip(prompts, texts, strict=True)])
    given = [ids[len(row.prompt) :] for ids, row in zip(whole, rows, strict=True)]
    stopped: list[int | None] = []
    for start in range(0, len(rows), pact.rows):
        batch = slice(start, start + pact.rows)
        stopped += _read(subject, candidates, rows[batch], given[batch], sentence)
        told(min(1.0, (start + pact.rows) / len(rows)))
    return [Decoded(row.at.bits, len(ids), at) for row, ids, at in zip(rows, given, stopped, strict=True)]


def _read(
    subject: Subject,
    candidates: Candidates,
    rows: Sequence[_Row],
    given: Sequence[tuple[int, ...]],
    sentence: bool,
) -> list[int | None]:
    walk = Walk(subject, [row.prompt for row in rows], candidates.pact.rows)
    stopped: list[int | None] = [None] * len(rows)
    while True:
        for i, (row, ids) in enumerate(zip(rows, given, strict=True)):
            if row.over or len(row.ids) == len(ids):
                row.over = True
                continue
            token = ids[len(row.ids)]
            table = candidates.table(row.known_ids, walk.logits(i), sentence, not row.ids)
            where = np.flatnonzero(table.tokens == token)
            if not len(where):
                row.over, stopped[i] = True, len(row.ids)
                continue
            k = int(where[0])
            row.at = row.at.part(int(table.cuts[k]), int(table.cuts[k + 1]))
            row.ids.append(token)
        if all(row.over for row in rows):
            return stopped
        walk.step([0 if row.over else row.ids[-1] for row in rows])
