"""From messages to token ids, with the tokenizer's chat template when it has one.

What the messages say is data: the spelling of a special token in it becomes ordinary tokens. Only what the template
itself puts around it is read as special.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from assay.judge.base import Message

_MARK = "assaymessage{}end"
_FOUND = re.compile(r"assaymessage(\d+)end")


class Dialogue:
    """Renders messages for one tokenizer. Without a chat template they stand one after the other."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._templated = bool(getattr(tokenizer, "chat_template", None))
        given = tokenizer("", add_special_tokens=True)["input_ids"]
        self._begin = [i for i in given if i == tokenizer.bos_token_id]

    def plain(self, text: str) -> list[int]:
        """Token ids of text as text."""
        encoded = self.tokenizer([text], add_special_tokens=False, split_special_tokens=True, verbose=False)
        return [int(i) for i in encoded["input_ids"][0]]

    def ids(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a conversation, ready for the assistant to go on.

        A last message of the assistant is what its reply begins with.
        """
        turns, start = list(messages), ""
        if turns[-1].role == "assistant":
            start = turns.pop().text
        if not self._templated:
            return [*self._begin, *self.plain("\n\n".join([*(turn.text for turn in turns), start]))]
        marked = [{"role": turn.role, "content": _MARK.format(i)} for i, turn in enumerate(turns)]
        rendered = self.tokenizer.apply_chat_template(marked, tokenize=False, add_generation_prompt=True)
        pieces = _FOUND.split(rendered)  # template, number, template, number, ..., template
        if [int(number) for number in pieces[1::2]] != list(range(len(turns))):
            raise ValueError("the chat template leaves out messages, or shows them in another order")
        out: list[int] = []
        for i, piece in enumerate(pieces):
            out += self._special(piece) if i % 2 == 0 else self.plain(turns[int(piece)].text)
        return out + self.plain(start)

    def _special(self, text: str) -> list[int]:
        return [int(i) for i in self.tokenizer([text], add_special_tokens=False, verbose=False)["input_ids"][0]]
