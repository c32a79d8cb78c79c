"""Two ratings of what a steered model wrote, and replies that say something else."""

from __future__ import annotations

import pytest

from assay.judge import Unscored
from assay.judge.steered import Rating, ask_ratings, parse_rating
from assay.testing import MockJudge
from assay.testing.judges import HOSTILE


@pytest.mark.parametrize(
    "reply",
    [
        "behaviour: 1\nsense: 2",
        "behavior: 1, sense: 2.",
        " Behaviour: 1\n\nSense: 2\n",
        "```\nbehaviour: 1\nsense: 2\n```",
        "**behaviour**: 1\n**sense**: 2",
    ],
)
def test_ways_to_write_the_same(reply: str) -> None:
    assert parse_rating(reply) == Rating(1, 2)


@pytest.mark.parametrize(
    "reply",
    [
        *HOSTILE.values(),
        "1 2",
        "behaviour: 3\nsense: 2",
        "behaviour: -1\nsense: 2",
        "behaviour: 1\nsense: 2 of 2",
        "behaviour: 1.5\nsense: 2",
        "behaviour: 1",
        "sense: 2\nbehaviour: 1",
        "behaviour: N\nsense: N",
        "behaviour: 1\nsense: 2\nbehaviour: 2\nsense: 2",
        "I would say behaviour: 1\nsense: 2",
        "behaviour: 12\nsense: 2",
        "behaviour: 1\nsense: 21",
    ],
)
def test_anything_else_is_unscored(reply: str) -> None:
    assert isinstance(parse_rating(reply), Unscored)


def test_why_there_is_no_reply_is_passed_on() -> None:
    assert parse_rating(Unscored("the key was refused")) == Unscored("the key was refused")


def test_neither_makes_up_for_the_other() -> None:
    scores = {(0, 0): 0, (0, 2): 0, (2, 0): 0, (1, 1): 1, (1, 2): 4 / 3, (2, 1): 4 / 3, (2, 2): 2}
    for both, score in scores.items():
        assert Rating(*both).score == pytest.approx(score)


def test_each_text_is_asked_about_alone_and_behind_what_stood_before() -> None:
    judge = MockJudge(lambda question: f"behaviour: {int('sun' in question)}\nsense: 2")
    found = ask_ratings(judge, "the text is about light", [("The day", " of the sun"), ("", "{about}"), ("Night", "")])
    assert found == [Rating(1, 2), Rating(0, 2), Rating(0, 2)]
    first, second, third = judge.asked
    assert "before it:\nThe day\n\nWhat the model wrote:\n of the sun\n" in first
    assert "fits this: the text is about light." in first
    assert "before it:\n(nothing)\n\nWhat the model wrote:\n{about}\n" in second  # data is not filled again
    assert "before it:\nNight\n\nWhat the model wrote:\n(nothing)\n" in third
    assert ask_ratings(judge, "x", []) == []
