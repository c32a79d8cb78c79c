"""What a judge says of what a steered model wrote: how much of the behaviour is there, and how much sense.

Both are rated 0, 1 or 2, and the harmonic mean of the two is the score, so that neither makes up for the other (Wu et
al. 2025, "AxBench", which also rates whether an instruction is followed).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from assay.judge.base import Judge, Reply, Sampling, Unscored
from assay.judge.prompts import load_prompt

STEERED = ("steered", 1)
HIGHEST = 2.0
_REPLY = re.compile(r"[\W_]*behaviou?r\W*[^\w-]([0-2])\W+sense\W*[^\w-]([0-2])\W*", re.IGNORECASE)
_NOTHING = "(nothing)"


class Rating(NamedTuple):
    """``behaviour`` and ``sense``, 0 to 2 each."""

    behaviour: int
    sense: int

    @property
    def score(self) -> float:
        """Their harmonic mean, 0 to 2; 0 where either is 0."""
        both = self.behaviour + self.sense
        return 2 * self.behaviour * self.sense / both if both else 0.0


def ask_ratings(judge: Judge, about: str, texts: Sequence[tuple[str, str]]) -> list[Rating | Unscored]:
    """What a judge says of each of some texts, of which each comes with what stood before it.

    Args:
        about: the behaviour, in a few words.
    """
    prompt = load_prompt(*STEERED)
    asked = [prompt.fill(about=about, before=before or _NOTHING, text=text or _NOTHING) for before, text in texts]
    return [parse_rating(replies[0]) for replies in judge.write(asked, Sampling(max_tokens=16))] if asked else []


def parse_rating(reply: Reply) -> Rating | Unscored:
    """The two ratings of a reply, each behind its name, in this order; anything beside them is unscored."""
    if isinstance(reply, Unscored):
        return reply
    found = _REPLY.fullmatch(reply.strip())
    return Rating(int(found[1]), int(found[2])) if found else Unscored("the reply is not the two ratings asked for")
