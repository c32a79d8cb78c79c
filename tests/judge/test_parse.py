from __future__ import annotations

import pytest

from assay.judge import EXPLAIN, Message, Unscored, load_prompt, parse_sentence
from assay.testing.judges import HOSTILE

OURS = load_prompt(*EXPLAIN).turns
START = "It fires on words such as"
REASONS = {
    "empty": "empty",
    "blank": "empty",
    "no letters": "no letters",
    "echo": "repeats the prompt",
    "long": "over 280 characters",
    "control": "control characters",
    "direction": "control characters",
    "broken": "control characters",
    "loop": "repeats itself",
}


@pytest.mark.parametrize("fault", HOSTILE)
def test_a_reply_that_is_no_sentence_is_unscored_with_its_reason(fault: str) -> None:
    found = parse_sentence(HOSTILE[fault], OURS)
    assert isinstance(found, Unscored)
    assert REASONS[fault] in found.reason


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (" dogs and cats: animals.", f"{START} dogs and cats: animals."),
        (" dogs and cats", f"{START} dogs and cats."),
        ("  dogs,\t cats . It also fires on birds.", f"{START} dogs, cats ."),
        (" “gold” and “silver.” More", f"{START} “gold” and “silver.”"),
        (" 3.14, 2.7 and the like", f"{START} 3.14, 2.7 and the like."),
        (" apples", f"{START} apples."),
    ],
)
def test_the_first_sentence_is_taken(reply: str, sentence: str) -> None:
    if reply == " apples":  # one word of our own answer is its beginning: an echo
        assert isinstance(parse_sentence(reply, OURS), Unscored)
        return
    assert parse_sentence(reply, OURS) == sentence


def test_words_of_the_evidence_may_be_said_again_ours_not() -> None:
    ours = [Message("user", "What does {words} have in common, would you say?"), Message("assistant", "")]
    assert parse_sentence("gold, silver and bronze medals of games", ours) == "gold, silver and bronze medals of games."
    echo = parse_sentence("gold have in common, would you say", ours)
    assert echo == Unscored("the reply repeats the prompt")


def test_just_280_characters_are_not_too_many() -> None:
    words = " ".join(f"w{i}" for i in range(100))
    room = 280 - len(START) - 2
    assert len(parse_sentence(words[:room], OURS)) == 280
    assert isinstance(parse_sentence(words[: room + 2], OURS), Unscored)
