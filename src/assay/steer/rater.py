"""A judge of what is written, if there is one, and who watches it.

Before a judge rates anything, it is tried on texts whose truth is known. Does it find more of the behaviour in texts
with it than in their counterparts, which were written by us? And more sense in what the untreated model wrote than in
the same words in random order? One that does not, in three of four pairs of either kind and surely more often than
chance, is not listened to, and nothing more is asked of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from assay.findings.found import number
from assay.judge import Judge, RemoteJudge, Unscored
from assay.judge.steered import Rating, ask_ratings
from assay.referee.checks import MAX_UNSCORED
from assay.stats.proportion import wilson
from assay.steer.classify import FEWEST, TRUSTED
from assay.steer.script import ASK
from assay.text.behaviours import CHAT, REQUESTS, Behaviour

_WORDS = 4  # fewest of a text whose words are put into another order

Text = tuple[str, str]  # what stands before, and what is rated
Both = tuple[Text, Text]  # the one with more of it, and the other
Rated = list[list[int] | None]  # behaviour and sense of each text, None where that is unscored


class Rater:
    """Rates texts of one behaviour, 0 to 2 for the behaviour and for sense.

    Args:
        keep: keeps what is made under a name, and gives it back to a run that goes on.
    """

    def __init__(self, judge: Judge, behaviour: Behaviour, keep: Callable[[str, Callable[[], Any]], Any]) -> None:
        self.judge, self.behaviour, self._keep = judge, behaviour, keep
        self.unscored: Counter[str] = Counter()

    def part(self, name: str, make: Callable[[], Any]) -> Any:
        """What ``make`` gives. An endpoint's replies are in its cache, and have to be heard again to be recorded."""
        return make() if isinstance(self.judge, RemoteJudge) else self._keep(name, make)

    def rate(self, texts: Sequence[Text]) -> Rated:
        """The ratings of each text, behind what stood before it."""
        found = ask_ratings(self.judge, self.behaviour.about, texts)
        self.unscored.update(one.reason for one in found if isinstance(one, Unscored))
        return [list(one) if isinstance(one, Rating) else None for one in found]

    def watched(self, usual: Sequence[Text], rows: Sequence[int], seed: int) -> dict[str, Any]:
        """How good the judge is, and as ``reason`` why it is not listened to, "" if it is.

        Args:
            usual: what the untreated model wrote, at prompts that nothing is reported of.
            rows: these prompts.
        """
        pairs = {"behaviour": known_pairs(self.behaviour, rows), "sense": in_disorder(usual, seed)}
        found: dict[str, Any] = {"reason": ""}
        for place, (name, own) in enumerate(pairs.items()):
            if len(own) < FEWEST:
                return found | {"reason": f"{len(own)} pairs of texts show how well it tells {name}; {FEWEST} must"}
            found[name] = one = self._preferred(own, place)
            if reason := _against(name, one):
                return found | {"reason": reason}
        return found

    def _preferred(self, pairs: Sequence[Both], place: int) -> dict[str, Any]:
        rated = self.rate([text for pair in pairs for text in pair])
        both = list(zip(rated[::2], rated[1::2], strict=True))
        right = [float(np.sign(more[place] - less[place]) + 1) / 2 for more, less in both if more and less]
        share = dict(zip(("value", "lo", "hi"), map(number, wilson(sum(right), len(right))), strict=True))
        return share | {"pairs": len(pairs), "unscored": len(pairs) - len(right)}


def known_pairs(behaviour: Behaviour, rows: Sequence[int]) -> list[Both]:
    """Texts with the behaviour beside their counterparts: the two ways to go on at some prompts, or else all pairs.

    None where pairs are requests: a judge reads what is written.
    """
    if behaviour.choices:
        at = [(behaviour.prompts[row], behaviour.choices[row]) for row in rows]
        return [((prompt, more), (prompt, less)) for prompt, (more, less) in at]
    if behaviour.of == REQUESTS:
        return []
    before = ASK if behaviour.style == CHAT else ""
    return [((before, more), (before, less)) for more, less in (*behaviour.classified, *behaviour.pairs)]


def in_disorder(texts: Sequence[Text], seed: int) -> list[Both]:
    """Each text beside its words in another order; texts of few words, or of one, are left out."""
    rng = np.random.default_rng([seed, 103])
    found: list[Both] = []
    for before, text in texts:
        words = text.split()
        if len(words) < _WORDS or len(set(words)) == 1:
            continue
        while (order := rng.permutation(words).tolist()) == words:
            pass
        found.append(((before, text), (before, " ".join(order))))
    return found


def _against(name: str, one: dict[str, Any]) -> str:
    if one["unscored"] > MAX_UNSCORED * one["pairs"]:
        return f"{one['unscored']} of {one['pairs']} pairs that show how well it tells {name} stay unscored"
    if one["value"] >= TRUSTED and one["lo"] > 0.5:
        return ""
    return (
        f"it finds more {name} in the right one of {one['pairs']} known pairs in {one['value']:.2f} [{one['lo']:.2f} "
        f"{one['hi']:.2f}] of them; {TRUSTED:.2f} are needed, and surely more than half"
    )
