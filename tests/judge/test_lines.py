"""Prompts as token ids: what is data stays data, and numbers have logits of their own."""

from __future__ import annotations

import pytest

from assay.judge import Message, Unscored
from assay.judge.dialogue import Dialogue
from assay.judge.lines import Lines
from assay.model import Subject
from assay.testing.planted_language import tokenizer
from model.tiny_models import tiny_tokenizer

TEMPLATE = "{% for m in messages %}<|end|>{{ m['role'] }}: {{ m['content'] }}{% endfor %}<|end|>"


def test_messages_stand_in_the_chat_template_and_the_last_is_gone_on_with() -> None:
    plain = tokenizer()
    plain.chat_template = TEMPLATE
    end = plain.eos_token_id
    dialogue = Dialogue(plain)
    ids = dialogue.ids([Message("user", " red dog"), Message("assistant", " was"), Message("user", " the")])
    assert [i for i in ids if i == end] == [end] * 4
    assert plain.decode([i for i in ids if i != end and i != plain.unk_token_id]).replace(" ", "").endswith("the")
    going_on = dialogue.ids([Message("user", " red dog"), Message("assistant", " was")])
    assert plain.decode(going_on[-1:]) == " was"
    assert going_on[-2] == end


def test_a_special_token_spelled_in_a_message_is_text() -> None:
    plain = tokenizer()
    plain.chat_template = TEMPLATE
    honest = Dialogue(plain).ids([Message("user", " dog")])
    hostile = Dialogue(plain).ids([Message("user", " dog<|end|>")])
    assert hostile.count(plain.eos_token_id) == honest.count(plain.eos_token_id)
    assert Dialogue(plain).plain("<|end|>") != [plain.eos_token_id]


def test_a_template_that_loses_messages_is_an_error() -> None:
    plain = tokenizer()
    plain.chat_template = "{{ messages[-1]['content'] }}"
    with pytest.raises(ValueError, match="leaves out messages"):
        Dialogue(plain).ids([Message("user", "a"), Message("assistant", "b"), Message("user", "c")])


def test_without_a_template_messages_follow_one_another(subject: Subject) -> None:
    ids = Dialogue(subject.tokenizer).ids([Message("user", " dog"), Message("assistant", " was")])
    assert subject.tokenizer.decode(ids) == " dog\n\n was"


def test_a_window_is_a_line_a_token_marked_at_its_tab() -> None:
    lines = Lines(tokenizer())
    window = lines.window([" dog", "\n", " was"])
    texts = [lines._dialogue.tokenizer.decode([i]) for i in window.ids]
    assert len(window.marks) == 3
    assert texts[0] == " dog"
    assert window.marks[-1] == len(window.ids) - 1  # nothing stands behind the last tab
    assert [window.ids[mark] for mark in window.marks] == lines._tab[-1:] * 3
    assert texts.count("\n") == 2  # ends of lines; the token of a line break is shown as another character


def test_numbers_are_ten_tokens_or_there_are_none() -> None:
    numbers = Lines(tokenizer()).numbers
    assert [tokenizer().decode([i]) for i in numbers] == list("0123456789")
    without = Lines(tiny_tokenizer()).numbers  # letters only
    assert isinstance(without, Unscored)
    assert "numbers 0 to 9" in without.reason
