"""What a model goes on with, against reading everything anew for every token, one prompt at a time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from assay.core.ids import SiteId
from assay.errors import UsageError
from assay.model import Subject
from assay.model.fronts import begin, fronts_of
from assay.model.generate import generate, padded, replies, spelled
from model.tiny_models import CONFIGS, VOCAB, count_hooks, tiny, tiny_model, tiny_tokenizer

LENGTHS = (9, 2, 6, 1, 4)
TOKENS = 6
SOFTCAPPED = ("gemma2",)  # gives NaN in fp64 where padding stands on the left


@cache
def subject_of(name: str) -> Subject:
    return tiny(name, torch.float32 if name in SOFTCAPPED else torch.float64)


def some_prompts(lengths: Sequence[int] = LENGTHS, seed: int = 5) -> list[tuple[int, ...]]:
    rng = np.random.default_rng(seed)
    return [tuple(rng.integers(2, VOCAB, n).tolist()) for n in lengths]


@torch.inference_mode()
def next_logits(subject: Subject, ids: Sequence[int]) -> torch.Tensor:
    """Of the Hugging Face model itself, over one text without padding, without a cache."""
    return subject.model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0, -1]


def naive(subject: Subject, prompt: Sequence[int], tokens: int = TOKENS) -> list[int]:
    """The likeliest tokens; a token that ends a text, and what comes after it, is left out."""
    said: list[int] = []
    for _ in range(tokens):
        token = int(next_logits(subject, [*prompt, *said]).argmax())
        if token in subject.special_ids:
            break
        said.append(token)
    return said


def naive_drawn(subject: Subject, prompt: Sequence[int], place: int, temperature: float, seed: int) -> list[int]:
    """Drawn by turning round the distribution function, with lots of the prompt's own."""
    lots = np.random.default_rng([seed, 61, place])
    said: list[int] = []
    for _ in range(TOKENS):
        logits = next_logits(subject, [*prompt, *said]).double().numpy() / temperature
        shares = np.exp(logits - logits.max())
        token = int(np.argmax(np.cumsum(shares / shares.sum()) >= lots.random()))
        if token in subject.special_ids:
            break
        said.append(token)
    return said


@pytest.mark.parametrize("name", CONFIGS)
def test_the_likeliest_tokens_are_those_of_whole_passes_one_prompt_at_a_time(name: str) -> None:
    """Batches of three are padded on the left; sliding windows of 4 tokens are in some of these."""
    subject, prompts = subject_of(name), some_prompts()
    expected = [naive(subject, prompt) for prompt in prompts]
    assert generate(subject, prompts, TOKENS, at_once=3) == expected
    assert len({tuple(row) for row in expected}) > 1
    assert not subject._board.in_use
    assert count_hooks(subject) == 0


@pytest.mark.parametrize("name", CONFIGS)
def test_what_is_drawn_is_what_whole_passes_draw_with_the_lots_of_each_prompt(name: str) -> None:
    subject, prompts = subject_of(name), some_prompts()
    drawn = generate(subject, prompts, TOKENS, temperature=0.8, seed=3, at_once=2)
    assert drawn == [naive_drawn(subject, prompt, i, 0.8, 3) for i, prompt in enumerate(prompts)]
    assert drawn != generate(subject, prompts, TOKENS, temperature=0.8, seed=4)
    assert drawn != generate(subject, prompts, TOKENS)


def test_what_is_drawn_does_not_depend_on_what_stands_beside() -> None:
    subject, prompts = subject_of("llama"), some_prompts((3, 8, 3, 5, 1, 3))
    together = generate(subject, prompts, TOKENS, temperature=1.0, seed=2)
    for at_once in (1, 2, 4):
        assert generate(subject, prompts, TOKENS, temperature=1.0, seed=2, at_once=at_once) == together
    others = [prompts[0], *some_prompts((9, 2, 2, 7, 4), seed=9)]
    assert generate(subject, others, TOKENS, temperature=1.0, seed=2)[0] == together[0]
    same = generate(subject, [prompts[0]] * 4, TOKENS, temperature=1.0, seed=2)
    assert same[0] == together[0]
    assert len({tuple(row) for row in same}) == 4  # the place draws, not the prompt


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    subject, count, temperature = subject_of("llama"), 3000, 0.5
    said = generate(subject, [(7, 11)] * count, 1, temperature=temperature, seed=1, at_once=1000)
    shares = torch.softmax(next_logits(subject, (7, 11)) / temperature, -1).numpy()
    got = np.bincount([row[0] if row else 0 for row in said], minlength=VOCAB) / count
    special = sorted(subject.special_ids)
    got[special], shares[special] = 0, 0  # what ends a text is left out of it
    assert shares.max() > 0.1
    assert np.abs(got - shares).max() < 5 * np.sqrt(shares.max() / count)
    assert np.square(got - shares).sum() < 3 / count


def test_a_little_warmth_is_nearly_none() -> None:
    subject, prompts = subject_of("gpt2"), some_prompts()
    assert generate(subject, prompts, TOKENS, temperature=1e-4) == generate(subject, prompts, TOKENS)


def test_a_text_that_has_ended_stays_ended_and_the_others_go_on() -> None:
    subject = Subject.from_hf(tiny_model("llama", torch.float64), tiny_tokenizer())
    prompts = some_prompts()
    plain = generate(subject, prompts, TOKENS)
    ends = plain[0][3]
    subject.special_ids = frozenset({ends})
    expected = [row[: row.index(ends)] if ends in row else row for row in (naive(subject, p) for p in prompts)]
    assert generate(subject, prompts, TOKENS, at_once=5) == expected
    assert len(expected[0]) <= 3
    assert max(map(len, expected)) == TOKENS
    subject.special_ids = frozenset(range(VOCAB))
    passes: list[int] = []
    with subject.edit(SiteId(0, "resid_post"), lambda tensor: passes.append(1) or tensor):
        assert generate(subject, prompts, TOKENS) == [[]] * 5
    assert passes == [1]  # nothing is computed once all have ended


def test_an_edit_sees_each_token_once_and_knows_what_was_generated() -> None:
    subject, prompts = subject_of("gpt2"), some_prompts((5, 2, 3))
    seen: list[Any] = []

    def look(tensor: torch.Tensor) -> torch.Tensor:
        here = subject.here()
        assert tensor.shape[:2] == here.positions.shape == here.real.shape == here.generated.shape
        seen.append(here)
        return tensor

    with subject.edit(SiteId(1, "resid_post"), look):
        said = generate(subject, prompts, 3, at_once=2)
    assert [len(row) for row in said] == [3, 3, 3]
    # like lengths go together: prompts 1 and 2, then 0
    assert [here.rows.tolist() for here in seen] == [[1, 2]] * 3 + [[0]] * 3
    first, second, third = seen[:3]
    assert first.real.tolist() == [[False, True, True], [True, True, True]]
    assert not first.generated.any()
    assert (second.positions.tolist(), third.positions.tolist()) == ([[2], [3]], [[3], [4]])
    assert first.positions[first.real].tolist() == [0, 1, 0, 1, 2]
    assert second.generated.all()
    assert second.real.all()
    assert third.generated.all()


def test_in_a_plain_pass_nothing_is_generated_and_rows_are_counted() -> None:
    subject = subject_of("llama")
    ids, mask = padded(some_prompts((4, 2)))
    seen: list[Any] = []
    with subject.edit(SiteId(0, "resid_post"), lambda tensor: seen.append(subject.here()) or tensor):
        subject.hidden(ids, mask)
        with subject.prompts_end(torch.tensor([3, 2]), torch.tensor([8, 9])):
            subject.hidden(ids, mask)
    plain, told = seen
    assert plain.rows.tolist() == [0, 1]
    assert not plain.generated.any()
    assert plain.real.tolist() == [[True] * 4, [False, False, True, True]]
    assert plain.positions[plain.real].tolist() == [0, 1, 2, 3, 0, 1]
    assert told.rows.tolist() == [8, 9]
    assert told.generated.tolist() == [[False, False, False, True], [False] * 4]
    with pytest.raises(UsageError, match=r"no pass runs; here\(\) is for edits, from within"):
        subject.here()


def test_where_prompts_end_is_forgotten_when_the_block_fails() -> None:
    subject = subject_of("llama")

    def fail(tensor: torch.Tensor) -> torch.Tensor:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), subject.edit(SiteId(1, "resid_post"), fail):
        generate(subject, some_prompts((3, 2)), 2)
    assert subject._prompts is None
    with pytest.raises(UsageError, match="no pass runs"):
        subject.here()
    assert not subject._board.in_use


FRONTS = ((11, 3, 40, 8, 25, 6), (9, 2, 31, 17), (30, 30, 4, 19, 7))


def begun_alike(seed: int = 4) -> tuple[list[tuple[int, ...]], list[int]]:
    """Prompts of three groups in turn that begin alike, and the group of each."""
    after = some_prompts((2, 1, 3, 2, 3, 1), seed)
    return [(*FRONTS[i % 3], *row) for i, row in enumerate(after)], [i % 3 for i in range(6)]


@pytest.mark.parametrize("name", CONFIGS)
def test_what_prompts_begin_with_alike_is_read_once_and_changes_nothing(name: str) -> None:
    """Groups begin with unlike numbers of tokens; an edit of each group's own acts on all of them, also by position."""
    subject = subject_of(name)
    prompts, alike = begun_alike()
    assert generate(subject, prompts, TOKENS, alike=alike) == [naive(subject, prompt) for prompt in prompts]
    push = torch.randn(3, subject.d_model, generator=torch.Generator().manual_seed(1)).to(subject.dtype) * 3
    read: list[int] = []

    def edit(tensor: torch.Tensor) -> torch.Tensor:
        here = subject.here()
        read.append(int(here.real.sum()))
        of = push[torch.tensor(alike)[here.rows]]
        return tensor + of[:, None] * (here.real & ((here.positions < 2) | (here.positions == 5)))[..., None]

    with subject.edit(SiteId(1, "resid_post"), edit):
        whole = generate(subject, prompts, TOKENS, temperature=0.7, seed=2)
        tokens, read[:] = sum(read), []
        together = generate(subject, prompts, TOKENS, temperature=0.7, seed=2, alike=alike)
        assert together == whole
        assert sum(read) == tokens - 10
        for at_once in (2, 4):
            drawn = generate(subject, prompts, TOKENS, temperature=0.7, seed=2, alike=alike, at_once=at_once)
            assert drawn == whole
    assert whole != generate(subject, prompts, TOKENS, temperature=0.7, seed=2)
    assert count_hooks(subject) == 0


def test_fronts_leave_as_much_of_every_prompt_or_are_left_alone() -> None:
    found = fronts_of([(1, 2, 3, 4, 9), (5, 6, 7, 8), (1, 2, 3, 4, 8), (5, 6, 7, 7)], [3, 1, 3, 1])
    assert found is not None
    assert found == ([(1, 2, 3, 4), (5, 6, 7)], [0, 1, 0, 1], [0, 1], 1)
    longer = fronts_of([(1, 2, 3, 4, 9), (1, 2, 3, 4, 8, 7), (1, 2, 3, 4)], [0, 0, 0])
    assert longer is not None
    assert (longer.ids, longer.rest) == ([(1, 2, 3, 4)], 2)  # of the shortest two tokens are read before
    assert fronts_of([(1, 2, 3), (4, 2, 3)], [0, 0]) is None  # nothing in common
    assert fronts_of([(1, 2, 3), (1, 2, 4)], [0, 1]) is None  # under edits of their own
    assert fronts_of([(1, 2, 3, 4, 5, 6), (1,)], [0, 0]) is None  # nothing of one would be left
    assert begin([(1, 2, 3), [1, 2], (1, 2, 4)]) == 2


def test_padding_stands_on_the_left() -> None:
    ids, mask = padded([(5,), (6, 7, 8)])
    assert ids.tolist() == [[0, 0, 5], [6, 7, 8]]
    assert mask.tolist() == [[0, 0, 1], [1, 1, 1]]


def test_replies_are_the_text_of_what_is_said_and_progress_ends_at_one() -> None:
    subject = subject_of("llama")
    texts = ["the tea", "on a train", "in"]
    shares: list[float] = []
    found = replies(subject, texts, 5, told=shares.append)
    prompts = [subject.tokenizer(text)["input_ids"] for text in texts]
    assert found == [spelled(subject, naive(subject, ids, 5)) for ids in prompts]
    assert shares == [1.0]
    assert generate(subject, [], 3) == []
    assert generate(subject, some_prompts((2, 3)), 0) == [[], []]


def test_what_can_not_be_gone_on_with_is_refused_on_one_line() -> None:
    subject = subject_of("llama")
    for prompts, tokens, more, message in (
        ([(5, 6), ()], 3, {}, "a prompt has no token; remove it"),
        ([(5,) * 60], 5, {}, "a prompt of 60 tokens and 5 more are too many: tiny llama takes 64; shorten it"),
        ([(5,)], 3, {"temperature": -0.5}, "temperature must be 0 or more. Got -0.5 instead."),
    ):
        with pytest.raises(UsageError) as error:
            generate(subject, prompts, tokens, **more)
        assert str(error.value) == message
    assert len(generate(subject, [(5,) * 59], 5)[0]) <= 5
    with pytest.raises(UsageError, match="has no token; remove it"):
        replies(subject, ["the", ""])


def test_a_temperature_that_is_no_number_is_refused() -> None:
    with pytest.raises(UsageError, match="temperature must be 0 or more"):
        generate(subject_of("llama"), [(5,)], 1, temperature=float("nan"))
