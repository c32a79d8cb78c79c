"""From the texts of a behaviour to token ids: as text, as a user's request, or as an assistant's reply."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from assay.judge.base import Message
from assay.judge.dialogue import Dialogue
from assay.model.reading import encode
from assay.steer.treatment import Before
from assay.text.behaviours import CHAT, REPLIES, REQUESTS, Behaviour

if TYPE_CHECKING:
    from assay.model import Subject

ASK = "Please answer."  # what a reply that is read alone is a reply to


class Read(NamedTuple):
    """Ids of a text, and from which token on it is the text itself."""

    ids: tuple[int, ...]
    begins: int


class Script:
    """Writes the texts of one behaviour for one model.

    With a chat template requests and replies are put into it; without one they stand one after the other.
    """

    def __init__(self, subject: Subject, behaviour: Behaviour) -> None:
        self.subject, self.behaviour = subject, behaviour
        self.chat = behaviour.style == CHAT
        self._dialogue = Dialogue(subject.tokenizer)
        self._plain = len(encode(subject, ["a"])[0]) - len(self._dialogue.plain("a"))  # tokens that begin every text

    def prompts(self, texts: Sequence[str], before: Before | None = None) -> list[tuple[int, ...]]:
        """Ids of prompts, ready to be gone on with."""
        if self.chat:
            return [tuple(self._dialogue.ids(self._turns(text, before))) for text in texts]
        return encode(self.subject, [f"{_front(before)}{text}" for text in texts])

    def going_on(self, text: str) -> list[int]:
        """Ids of what comes after a prompt."""
        return self._dialogue.plain(text)

    def read(self, texts: Sequence[str]) -> list[Read]:
        """Ids of what is learnt from. A request is read where the reply would begin."""
        if self.behaviour.of == REQUESTS:
            rows = [tuple(self._dialogue.ids([Message("user", text)])) for text in texts]
            return [Read(row, len(row) - 1) for row in rows]
        if self.behaviour.of == REPLIES:
            begins = len(self._dialogue.ids([Message("user", ASK)]))
            return [Read((*self._dialogue.ids([Message("user", ASK)]), *self.going_on(text)), begins) for text in texts]
        return [Read(row, self._plain) for row in encode(self.subject, texts)]

    def neutral(self, ids: Sequence[int], before: Before | None) -> Read:
        """A window of neutral text, with what is put before it; as text, in chat too, since nobody is asked."""
        front = _front(before)
        begin = encode(self.subject, [front])[0] if front else encode(self.subject, ["a"])[0][: self._plain]
        return Read((*begin, *ids), len(begin))

    def _turns(self, text: str, before: Before | None) -> list[Message]:
        turns: list[Message] = []
        if before is not None and before.instruction:
            turns.append(Message("system", before.instruction))
        for example in before.examples if before is not None else ():
            turns += [Message("user", ASK), Message("assistant", example)]
        return [*turns, Message("user", text)]


def _front(before: Before | None) -> str:
    if before is None:
        return ""
    return "".join(f"{part}\n" for part in (before.instruction, *before.examples) if part)
