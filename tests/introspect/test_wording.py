"""How numbers are asked for, in tokenizers that join what others keep apart."""

from __future__ import annotations

import re
from typing import Any

import pytest

from assay.errors import UsageError
from assay.introspect.wording import wording


class Joins:
    """A tokenizer that makes one token of whatever its pattern finds, and else of each character."""

    def __init__(self, pattern: str) -> None:
        self.pattern, self.known = re.compile(f"{pattern}|.", re.DOTALL), dict[str, int]()

    def __call__(self, texts: list[str], add_special_tokens: bool) -> Any:
        assert not add_special_tokens
        rows = [[self.known.setdefault(token, len(self.known)) for token in self.pattern.findall(t)] for t in texts]
        return {"input_ids": rows}

    def decode(self, ids: tuple[int, ...]) -> str:
        names = {number: token for token, number in self.known.items()}
        return "".join(names[i] for i in ids)


@pytest.mark.parametrize(
    ("joins", "question"),
    [
        (r" [A-Z]", " B"),
        (r" ?[A-Z]\d", " B:"),  # letter and digit are one
        (r" [A-Z]\d| [A-Z]:\d", " B: "),  # and the colon with them
        (r" [A-Y]|\. ?Z", " B"),
    ],
)
def test_the_shortest_question_is_asked_after_which_a_digit_is_a_token(joins: str, question: str) -> None:
    tokenizer = Joins(joins)
    found, alone = wording(tokenizer, "Q", 3, "m"), wording(tokenizer, "Q", 1, "m")
    assert alone == found._replace(questions=found.questions[:1])
    assert tokenizer.decode(found.questions[1]) == question
    assert [tokenizer.decode((digit,)) for digit in found.digits] == list("0123456789")
    assert tokenizer.decode((found.stop,)) == "."
    assert len(found.questions) == 3
    assert len({len(row) for row in found.questions}) == 1


def test_the_number_itself_follows_where_nothing_is_asked() -> None:
    assert wording(Joins(r" [A-Z]"), "S", 2, "m").questions == ((), ())


@pytest.mark.parametrize(
    ("joins", "topology", "say"),
    [
        (r" [A-Z]\d| [A-Z]:\d| [A-Z]: \d", "Q", "no single token for each digit after a question; try --topology S"),
        (r"\.\d", "S", "no single token for each digit after the full stop; try --topology Q"),
        (r"[0-4]", "X", None),
    ],
)
def test_a_tokenizer_that_can_not_be_asked_is_refused(joins: str, topology: str, say: str | None) -> None:
    if say is None:
        assert wording(Joins(joins), "S", 1, "m").digits  # and one that can, is not
        return
    with pytest.raises(UsageError, match=say):
        wording(Joins(joins), topology, 2, "m")


def test_more_units_than_letters_are_refused() -> None:
    with pytest.raises(UsageError, match=r"at most 26 units\. Got 27"):
        wording(Joins(r" [A-Z]"), "Q", 27, "m")
