"""From logits to predictions, with a judge whose logits are known."""

from __future__ import annotations

import numpy as np
import pytest

from assay.judge import BLANK, SIMULATE, Message, Prompt, Simulator, Unscored, expected_number, load_prompt
from assay.testing import MockJudge

PROMPT = load_prompt(*SIMULATE)
WORDS = tuple("the cat sat on the mat and the dog slept by the door all day".split())


def says(sentence: str, token: str) -> int:
    return 2 if sentence == BLANK else 7 if token in sentence.split() else 1


def test_the_expectation_is_that_of_the_numbers() -> None:
    shares = np.array([[0.5, 0, 0, 0, 0, 0, 0, 0, 0, 0.5], [0.1] * 10, [0, 0, 0.25, 0.75, 0, 0, 0, 0, 0, 0]])
    logits = np.log(np.maximum(shares, 1e-30)).astype(np.float32) + np.float32(3.0)
    assert expected_number(logits) == pytest.approx([4.5, 4.5, 2.75], abs=1e-5)


def test_what_is_said_of_any_word_is_taken_off() -> None:
    found = Simulator(MockJudge("", says), PROMPT).predict("cat dog", [WORDS, WORDS[:3]])
    expected = [5.0 if word in ("cat", "dog") else -1.0 for word in WORDS]
    assert found[0] == pytest.approx(expected, abs=1e-6)
    assert found[1] == pytest.approx(expected[:3], abs=1e-6)
    assert Simulator(MockJudge("", says), PROMPT).predict("cat", [[]])[0].size == 0


def test_a_window_is_read_in_stretches_and_the_blank_once() -> None:
    seen: list[tuple[str, ...]] = []

    def numbers(window: tuple[str, ...]) -> np.ndarray:
        seen.append(tuple(window))
        return np.zeros((len(window), 10), np.float32)

    simulator = Simulator(MockJudge("", numbers=numbers), PROMPT, stretch=4)
    simulator.predict("one", [WORDS])
    cut = [WORDS[i : i + 4] for i in range(0, len(WORDS), 4)]
    assert seen == cut * 2  # under the blank sentence, and under this one
    seen.clear()
    assert simulator.predict("two", [WORDS])[0] == pytest.approx(np.zeros(len(WORDS)))
    assert seen == cut


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda window: np.zeros((len(window) - 1, 10), np.float32), "numbers of shape"),
        (lambda window: np.zeros((len(window), 11), np.float32), "numbers of shape"),
        (lambda window: np.full((len(window), 10), np.nan, np.float32), "NaN or infinite"),
        (lambda window: np.full((len(window), 10), np.inf, np.float32), "NaN or infinite"),
        (lambda window: Unscored("no answer"), "no answer"),
    ],
)
def test_an_answer_that_is_no_answer_leaves_the_window_unscored(answer, reason: str) -> None:
    def sometimes(window) -> np.ndarray | Unscored:
        return answer(window) if "dog" in window else np.zeros((len(window), 10), np.float32)

    found = Simulator(MockJudge("", numbers=sometimes), PROMPT, stretch=4).predict("x", [WORDS, WORDS[:6]])
    assert isinstance(found[0], Unscored)
    assert reason in found[0].reason
    assert found[1] == pytest.approx(np.zeros(6))


def test_a_judge_that_loses_texts_is_unscored_throughout() -> None:
    judge = MockJudge("")
    judge.number_logits = lambda opening, windows: []  # type: ignore[method-assign]
    assert Simulator(judge, PROMPT).predict("x", [WORDS]) == [Unscored("the judge answered 0 of 2 texts")]


def test_a_prompt_without_its_place_is_refused() -> None:
    with pytest.raises(ValueError, match="sentence"):
        Simulator(MockJudge(""), Prompt("p", 1, (Message("user", "hello"),)))
