"""How a model is asked for a number, and by which tokens it answers, in any tokenizer.

Numbers run from 1 to 10, but "10" is two tokens in many tokenizers: the model answers with a digit, 0 to 9, and what is
shown is one more.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from assay.errors import UsageError

STOP = "."
TOPOLOGIES = ("S", "Q")
_NAMES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MOST = len(_NAMES)
_AFTER_STOP = (STOP, STOP + " ")  # what may come before the digit in S
_QUESTIONS = (" {}", " {}:", " {}: ")  # the shortest first, since every token is paid for at every example


class Wording(NamedTuple):
    """Token ids.

    ``stop``: the full stop that every sentence ends with. ``questions``: what follows the sentence, one row a unit,
    all of one length, which is 0 where the number follows at once. ``digits``: the ten answers, 0 to 9.
    """

    stop: int
    questions: tuple[tuple[int, ...], ...]
    digits: tuple[int, ...]

    @property
    def length(self) -> int:
        """Tokens of a question."""
        return len(self.questions[0])


def wording(tokenizer: Any, topology: str, units: int, name: str) -> Wording:
    """The question for each of ``units`` units and the answers, checked: each answer is one token of its own.

    In topology "S" the number is the very next token after the full stop, and there is no question. In "Q" a question
    follows: a letter that names the unit, and a colon and a space where the tokenizer would join letter and digit.

    Raises:
        UsageError: the tokenizer has no digits as tokens, or too many units.
    """
    if units > MOST:
        raise UsageError(f"a question names one of at most {MOST} units. Got {units}; ask for fewer a layer")
    stop = _encode(tokenizer, STOP)
    if len(stop) != 1:
        raise UsageError(f"the tokenizer of {name} has no token for a full stop; its answers can't be placed")
    if topology == "S":
        digits = next((found.digits for text in _AFTER_STOP if (found := _answers(tokenizer, text)).head == stop), ())
        questions = ((),) * units
    else:
        asked = (_asked(tokenizer, stop, question, units) for question in _QUESTIONS)
        questions, digits = next((found for found in asked if found), ((), ()))
    if not digits:
        place, other = ("the full stop", "Q") if topology == "S" else ("a question", "S")
        raise UsageError(
            f"the tokenizer of {name} has no single token for each digit after {place}; "
            f"try --topology {other}, or another model"
        )
    return Wording(stop[0], questions, digits)


_Ids = tuple[int, ...]


def _asked(tokenizer: Any, stop: _Ids, question: str, units: int) -> tuple[tuple[_Ids, ...], _Ids] | None:
    """The question to each unit and the answers; None where these are not the same tokens after every letter.

    They are tokenised with the full stop before them, to which a tokenizer might join them.
    """
    found = [_answers(tokenizer, STOP + question.format(letter)) for letter in _NAMES[: max(units, 2)]]
    heads, digits = [answers.head for answers in found], found[0].digits
    same = len({len(head) for head in heads}) == 1 and all(head[:1] == stop for head in heads)
    apart = len(set(heads)) == len(heads)  # else the letter is part of the answer
    if not digits or not same or not apart or any(answers.digits != digits for answers in found):
        return None
    return tuple(head[1:] for head in heads[:units]), digits


class _Answers(NamedTuple):
    head: tuple[int, ...]
    digits: tuple[int, ...]


def _answers(tokenizer: Any, text: str) -> _Answers:
    """The tokens of ``text`` before a digit, and the ten digits; no digits where they are not one token each."""
    rows = [_encode(tokenizer, f"{text}{digit}") for digit in range(10)]
    digits = tuple(row[-1] for row in rows)
    sound = len({row[:-1] for row in rows}) == 1 and len(set(digits)) == 10
    return _Answers(rows[0][:-1], digits if sound else ())


def _encode(tokenizer: Any, text: str) -> tuple[int, ...]:
    return tuple(tokenizer([text], add_special_tokens=False)["input_ids"][0])
