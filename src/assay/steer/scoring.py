"""How much of a behaviour there is at some prompts, without a judge: log odds of words, or of two ways to go on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from assay.errors import UsageError
from assay.model.reading import BATCH_TOKENS
from assay.steer.many import Many
from assay.steer.reading import Ids, Texts
from assay.steer.script import Script
from assay.steer.treatment import GENERATED, Before, Pushes, Treatment
from assay.text.behaviours import Behaviour

if TYPE_CHECKING:
    from assay.model import Subject

FEWEST_WORDS = 3

Odds = Float[NDArray[np.float64], " n"]
Words = tuple[Tensor, Tensor]


class Scored:
    """Prompts of a behaviour and their log odds, in nats, for it, under any treatment.

    Args:
        script: of the behaviour.
        rows: which of its prompts.
        others: words of other behaviours that are scored at the same prompts, unless there are choices.
    """

    def __init__(self, script: Script, rows: Sequence[int], others: Sequence[Words] = ()) -> None:
        self.script, self.rows = script, rows
        behaviour, self.subject = script.behaviour, script.subject
        self.texts = [behaviour.prompts[row] for row in rows]
        self.choices = [behaviour.choices[row] for row in rows] if behaviour.choices else []
        self.words = [] if self.choices else [scored_words(self.subject, behaviour), *others]
        sides = [side for pair in self.words for side in pair]
        self._tokens = torch.unique(torch.cat(sides)) if sides else torch.zeros(0, dtype=torch.long)
        self._read: dict[Before | None, Texts] = {}
        self._base = self._all(None, 0.0)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def base(self) -> Odds:
        """(n,) log odds for the behaviour, untreated."""
        return self._base[0]

    def rise(self, treatment: Treatment, dose: float) -> Odds:
        """(n,) how much the treatment raises the log odds for the behaviour."""
        return self.rises(treatment, dose)[0]

    def rises(self, treatment: Treatment, dose: float) -> Float[NDArray[np.float64], "k n"]:
        """The same, then the rise of those of the others.

        Raises:
            UsageError: vectors at generated tokens alone, where next words are scored: nothing is generated yet.
        """
        if isinstance(treatment, Pushes):
            self._check(treatment)
        return self._all(treatment, dose) - self._base

    def rises_each(self, treatments: Sequence[Treatment], dose: float) -> Float[NDArray[np.float64], "p k n"]:
        """The same of several treatments; those by vectors at the same places, side by side."""
        texts = self._texts(treatments[0])
        at_once = BATCH_TOKENS // sum(map(len, texts.ids))
        vectors = [one for one in treatments if isinstance(one, Pushes)]
        if self.choices or texts.front or at_once < 2 or len(vectors) < len(treatments):
            return np.stack([self.rises(one, dose) for one in treatments])
        self._check(vectors[0])
        found: list[Float[NDArray[np.float64], "k n"]] = []
        for first in range(0, len(vectors), at_once):
            some = vectors[first : first + at_once]
            many = Many(tuple(some), len(self))
            odds = self._every(texts.repeated(len(some), many.start), many, dose)
            found += [part - self._base for part in np.split(odds, len(some), axis=1)]
        return np.stack(found)

    def _check(self, treatment: Pushes) -> None:
        if not self.choices and treatment.where == GENERATED:
            raise UsageError(
                "next words are scored behind a prompt, where nothing is generated yet; take --where all or prompt, or "
                "a concept with choices"
            )

    def _all(self, treatment: Treatment | None, dose: float) -> Float[NDArray[np.float64], "k n"]:
        if self.choices:
            return self._chosen(treatment, dose)[None]
        return self._every(self._texts(treatment), treatment, dose)

    @torch.inference_mode()
    def _every(self, texts: Texts, treatment: Treatment | None, dose: float) -> Float[NDArray[np.float64], "k m"]:
        """Log odds of the words of the behaviour, then of those of the others, as the next one of each text."""
        found = np.zeros((len(self.words), len(texts.ids)))
        for batch, hidden in texts.hidden(treatment, dose):
            last = torch.from_numpy(batch.lengths - 1).to(hidden.device)
            rows = torch.arange(len(last), device=last.device)
            logits = self.subject.unembed(hidden[rows, last], self._tokens).float()
            for place, sides in enumerate(self.words):
                more, less = (logits[:, torch.isin(self._tokens, side)].logsumexp(-1) for side in sides)
                odds = more - less
                found[place, batch.rows] = odds.double().cpu().numpy()
        return found

    def _chosen(self, treatment: Treatment | None, dose: float) -> Odds:
        """Log probability of the first way to go on less that of the second, all tokens of each."""
        count, begins = len(self), self._begins(treatment)
        texts = self._texts(treatment)
        places = [range(begins[row % count], len(texts.ids[row])) for row in range(2 * count)]
        said = texts.said(places, treatment, dose)
        found = np.zeros(2 * count)
        np.add.at(found, said.rows, said.came.double().cpu().numpy())
        return found[:count] - found[count:]

    def prepare(self, layers: Collection[int]) -> None:
        """Read the prompts up to these layers, once."""
        self._texts(None).prepare(layers)

    def _texts(self, treatment: Treatment | None) -> Texts:
        before = None if treatment is None else treatment.before
        if before not in self._read:
            prompts = self.script.prompts(self.texts, before)
            ends = [len(prompt) for prompt in prompts]
            read = (self._gone_on(prompts), ends * 2) if self.choices else (prompts, ends)
            self._read[before] = Texts(self.subject, *read, unasked=min(ends) - 1)
        return self._read[before]

    def _gone_on(self, prompts: Sequence[Ids]) -> list[Ids]:
        return [
            (*prompt, *self.script.going_on(choice[which]))
            for which in (0, 1)
            for prompt, choice in zip(prompts, self.choices, strict=True)
        ]

    def _begins(self, treatment: Treatment | None) -> list[int]:
        before = None if treatment is None else treatment.before
        return [len(row) for row in self.script.prompts(self.texts, before)]


def scored_words(subject: Subject, behaviour: Behaviour) -> Words:
    """Tokens of the words that are one token each: with a space before them, or as a reply begins.

    Raises:
        UsageError: fewer than :data:`FEWEST_WORDS` are, on either side.
    """
    space = "" if behaviour.style == "chat" else " "
    sides: list[Tensor] = []
    for name, words in (("more", behaviour.more), ("less", behaviour.less)):
        spelled = [f"{space}{word}" for word in words]
        rows = subject.tokenizer(spelled, add_special_tokens=False, verbose=False)["input_ids"] if words else []
        kept = sorted({row[0] for row in rows if len(row) == 1})
        if len(kept) < FEWEST_WORDS:
            raise UsageError(
                f"{len(kept)} of the {len(words)} words in {name!r} of the concept {behaviour.name} are one token of "
                f"{subject.name}; at least {FEWEST_WORDS} are needed to score by"
            )
        sides.append(torch.tensor(kept, device=subject.device))
    if set(sides[0].tolist()) & set(sides[1].tolist()):
        raise UsageError(f"'more' and 'less' of the concept {behaviour.name} share a word; take it out of one")
    return sides[0], sides[1]
