"""What a judge replied, as a value; or why it can't be used."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from assay.judge.base import Message, Unscored

LONGEST = 280
_END = re.compile(r"(?<=[.!?])[\"”’')\]]?(?=\s|$)")
_ECHO = 24  # characters in a row from the prompt that make a reply its echo
_MOST_REPEATS = 3


def parse_sentence(reply: str, ours: Sequence[Message]) -> str | Unscored:
    """The first sentence of a reply.

    The reply goes on with the last message of the prompt, if that is the assistant's; the sentence begins there.

    Unscored: an empty reply, one without letters, with control characters, over 280 characters, one that says again
    what we wrote in the prompt, or says one word over and over.

    Args:
        ours: the prompt before it was filled: words of the evidence may be repeated, ours not.
    """
    start = ours[-1].text if ours[-1].role == "assistant" else ""
    said = " ".join(reply.split())
    end = _END.search(said)
    said = said[: end.end()] if end else said
    if not said:
        return Unscored("the reply is empty")
    if any(unicodedata.category(character) in ("Cc", "Cf", "Co", "Cs") for character in said) or "�" in said:
        return Unscored("the reply has control characters or broken ones")
    if not any(character.isalpha() for character in said):
        return Unscored("the reply has no letters")
    sentence = f"{start} {said}".strip()
    if len(sentence) > LONGEST:
        return Unscored(f"the reply is over {LONGEST} characters")
    if _echoes(said, ours):
        return Unscored("the reply repeats the prompt")
    words = re.findall(r"\w+", said.lower())
    if any(words.count(word) > _MOST_REPEATS for word in set(words)):
        return Unscored("the reply repeats itself")
    return sentence if sentence[-1] in ".!?\"”’')]" else sentence.rstrip(",;:- ") + "."


def _echoes(said: str, ours: Sequence[Message]) -> bool:
    """Whether a reply is one of our own answers, or has a long stretch of our text."""
    plain = said.strip(".!? ").lower()
    turns = ours[:-1] if ours[-1].role == "assistant" else ours
    texts = [(turn.role, " ".join(turn.text.split()).lower()) for turn in turns]
    if any(role == "assistant" and plain in text for role, text in texts):
        return True
    stretches = {plain[i : i + _ECHO] for i in range(len(plain) - _ECHO + 1)}
    return any(stretch in text for stretch in stretches for _, text in texts)
