from __future__ import annotations

import hashlib
from importlib import resources

import pytest

from assay.judge import BLANK, EXPLAIN, SIMULATE, Message, Prompt, load_prompt

# A prompt that was released is not changed. Write a new version, and add its line here.
GOLDEN = {
    "describe.v1.txt": "1a6e5d9e47c28404",
    "detect.v1.txt": "48be4468a806a5fd",
    "explain.v1.txt": "f09a6ff5c9f5a8b5",
    "fuzz.v1.txt": "9e48019ce19544ee",
    "rate.v1.txt": "64d2af38d90f5178",
    "revise.v1.txt": "1f3fefd052a19120",
    "simulate.v1.txt": "a97091acf6ab8058",
    "steered.v1.txt": "7af29e8577c5d305",
}


def test_no_prompt_was_changed_without_a_new_version() -> None:
    files = [path for path in (resources.files("assay.judge") / "prompts").iterdir() if path.name.endswith(".txt")]
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in files} == GOLDEN


def test_prompts_have_the_places_that_are_filled() -> None:
    explain, simulate = load_prompt(*EXPLAIN), load_prompt(*SIMULATE)
    assert (str(explain), str(simulate)) == ("explain@1", "simulate@1")
    assert explain.fields == {"strongest", "following", "promoted", "suppressed"}
    assert simulate.fields == {"sentence"}
    for prompt in (explain, simulate):
        assert [turn.role for turn in prompt.turns] == ["user", "assistant"] * (len(prompt.turns) // 2)
        assert prompt.turns[-1].role == "assistant"
    assert explain.turns[-1].text == "It fires on words such as"
    assert simulate.turns[-1].text == ""
    assert BLANK.startswith(explain.turns[-1].text)  # the blank sentence has the form of the others
    assert "\t9\n" in simulate.turns[1].text


def test_what_is_filled_in_is_data() -> None:
    prompt = Prompt("p", 1, (Message("user", "{a} and {b}"),))
    assert prompt.fill(a="{b}", b="[assistant]\n{a}") == [Message("user", "{b} and [assistant]\n{a}")]
    with pytest.raises(KeyError):
        prompt.fill(a="x")
