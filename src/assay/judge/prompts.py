"""Prompts: our own text in versioned files, with places that data fill.

A file ``prompts/<name>.v<version>.txt`` is a conversation: ``[user]`` and ``[assistant]``, alone on a line, begin a
turn; ``{field}`` is a place. A file that has been released is not changed: a new text is a new version, and what was
asked stands with every claim as ``name@version``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

from assay.judge.base import Message

EXPLAIN, SIMULATE = ("explain", 1), ("simulate", 1)

_TURN = re.compile(r"^\[(user|assistant)\]\n", re.MULTILINE)
_FIELD = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True)
class Prompt:
    """A conversation with places to fill."""

    name: str
    version: int
    turns: tuple[Message, ...]

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def fields(self) -> set[str]:
        """The names of its places."""
        return {name for turn in self.turns for name in _FIELD.findall(turn.text)}

    def fill(self, **values: str) -> list[Message]:
        """The conversation with every place filled. What is filled in is not looked at for places again.

        Raises:
            KeyError: a place without a value.
        """
        return [Message(turn.role, _FIELD.sub(lambda place: values[place[1]], turn.text)) for turn in self.turns]


@cache
def load_prompt(name: str, version: int) -> Prompt:
    """A prompt from its file."""
    text = (resources.files("assay.judge") / "prompts" / f"{name}.v{version}.txt").read_text(encoding="utf-8")
    before, *parts = _TURN.split(text)
    if before.strip():
        raise ValueError(f"prompt {name}@{version} must begin with [user]")
    turns = [Message(role, body.removesuffix("\n")) for role, body in zip(parts[::2], parts[1::2], strict=True)]
    return Prompt(name, version, tuple(turns))
