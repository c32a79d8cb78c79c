"""From a sentence to a number a token, read off a judge's logits: all at once, and one token at a time.

Behind the sentence stand the tokens of a text, one line each. All at once, every line is ``token<TAB>unknown``; one
forward pass gives at every tab the logits of the numbers 0 to 9, and their expectation is the prediction (Bills et al.
2023, "Language models can explain neurons in language models"; there 0 to 10). No number is fed back. One token at a
time, the number of each line stands there before the next is asked for, as in the original's slow form.

Two things differ from the original, both measured on the default model, 135M, with sentences that are right: its
expectations follow the sentence over the first tokens only, so a window is cut into stretches of eight tokens that
each stand behind the sentence anew; and most of what it says of a token it says under every sentence, so what it says
under one that fits any word is subtracted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from assay.judge.base import NUMBERS, Answer, NumberJudge, Unscored
from assay.judge.prompts import Prompt

STRETCH = 8
BLANK = "It fires on words such as this, that and it: any word."


@runtime_checkable
class Simulator(Protocol):
    """Makes predictions of sentences with one judge and one prompt, from ``stretch`` tokens at a time."""

    @property
    def name(self) -> str: ...
    @property
    def stretch(self) -> int: ...
    @property
    def prompt(self) -> Prompt: ...

    def predict(self, sentence: str, windows: Sequence[Sequence[str]]) -> list[Answer]:
        """For each window of token texts a number a token, or why it is unscored."""
        ...


class FromLogits(ABC):
    """What both ways have in common: stretches, and the blank sentence, which is kept by stretch.

    Windows that come again cost the blank sentence once. ``prompt`` has the one place ``{sentence}``.
    """

    name = ""

    def __init__(self, judge: NumberJudge, prompt: Prompt, stretch: int = STRETCH) -> None:
        if prompt.fields != {"sentence"}:
            raise ValueError(f"a prompt to simulate with must have the place 'sentence'. Got {sorted(prompt.fields)}.")
        self.judge, self.prompt, self.stretch = judge, prompt, stretch
        self._blank: dict[tuple[str, ...], Answer] = {}

    def predict(self, sentence: str, windows: Sequence[Sequence[str]]) -> list[Answer]:
        """For each window of token texts a number a token: how much more than any word it fits the sentence, -9 to 9.

        A window is unscored, with the reason, where the judge has no answer for a stretch of it.
        """
        stretches = [self._cut(window) for window in windows]
        flat = [stretch for window in stretches for stretch in window]
        new = [stretch for stretch in dict.fromkeys(flat) if stretch not in self._blank]
        self._blank |= zip(new, self._said(BLANK, new), strict=True)
        found = iter(self._said(sentence, flat))
        return [joined([_less(next(found), self._blank[stretch]) for stretch in window]) for window in stretches]

    def _cut(self, window: Sequence[str]) -> list[tuple[str, ...]]:
        return [tuple(window[i : i + self.stretch]) for i in range(0, len(window), self.stretch)]

    def _said(self, sentence: str, stretches: Sequence[Sequence[str]]) -> list[Answer]:
        return self.expectations(sentence, stretches) if stretches else []

    @abstractmethod
    def expectations(self, sentence: str, stretches: Sequence[Sequence[str]]) -> list[Answer]:
        """The expected number at every token of every stretch."""

    def _asked(
        self, sentence: str, stretches: Sequence[Sequence[str]], said: Sequence[Sequence[int]] | None = None
    ) -> list[Answer]:
        logits = self.judge.number_logits(self.prompt.fill(sentence=sentence), stretches, said)
        if len(logits) != len(stretches):
            return [Unscored(f"the judge answered {len(logits)} of {len(stretches)} texts")] * len(stretches)
        return [_expectation(row, len(stretch)) for row, stretch in zip(logits, stretches, strict=True)]


class AllAtOnce(FromLogits):
    """One forward pass a stretch; no number is fed back."""

    name = "all-at-once"

    def expectations(self, sentence: str, stretches: Sequence[Sequence[str]]) -> list[Answer]:
        """The expected number at every token of every stretch."""
        return self._asked(sentence, stretches)


class TokenByToken(FromLogits):
    """One forward pass a token: the numbers of the tokens before, rounded, stand in the lines. The slow reference."""

    name = "token-by-token"

    def expectations(self, sentence: str, stretches: Sequence[Sequence[str]]) -> list[Answer]:
        """The expected number at every token of every stretch."""
        values: list[list[float]] = [[] for _ in stretches]
        failed: dict[int, Unscored] = {}
        for step in range(max(map(len, stretches))):
            going = [i for i, stretch in enumerate(stretches) if len(stretch) > step and i not in failed]
            texts = [stretches[i][: step + 1] for i in going]
            numbers = [[round(value) for value in values[i]] for i in going]
            for i, answer in zip(going, self._asked(sentence, texts, numbers), strict=True):
                if isinstance(answer, Unscored):
                    failed[i] = answer
                else:
                    values[i].append(float(answer[-1]))
        return [failed.get(i, np.array(own, np.float32)) for i, own in enumerate(values)]


def expected_number(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Expected value of the numbers 0 to 9 under their logits, (n, 10): (n,)."""
    shares = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return ((shares / shares.sum(axis=1, keepdims=True)) @ np.arange(len(NUMBERS))).astype(np.float32)


def _expectation(logits: Answer, tokens: int) -> Answer:
    if isinstance(logits, Unscored):
        return logits
    if logits.shape != (tokens, len(NUMBERS)):
        return Unscored(f"the judge gave numbers of shape {logits.shape} for {tokens} tokens")
    if not np.isfinite(logits).all():
        return Unscored("the judge gave NaN or infinite logits")
    return expected_number(logits)


def _less(said: Answer, blank: Answer) -> Answer:
    if isinstance(said, Unscored):
        return said
    return blank if isinstance(blank, Unscored) else said - blank


def joined(parts: Sequence[Answer]) -> Answer:
    """The answers to the stretches of a window as one; unscored where one of them is."""
    values: list[NDArray[np.float32]] = []
    for part in parts:
        if isinstance(part, Unscored):
            return part
        values.append(part)
    return np.concatenate(values) if values else np.zeros(0, np.float32)
