"""What a model writes under a treatment: does it show the behaviour, and is it still what the model could have written?

A continuation *shows* the behaviour if it matches the behaviour's pattern; or, without one, begins with the first of
the two choices; or, without these, if a classifier that was trained on other texts finds more of it there than in nine
of ten texts of the untreated model; or, without a classifier, if it has more of the words that are scored for the
behaviour than of those against. It is *coherent* if the untreated model finds it about as likely as what it writes
itself (above the 2.5th percentile of the mean log probability a token) and it repeats itself no more (below the 97.5th
percentile of the share of pairs of tokens that came before). All borders are those of the untreated model at other
prompts. A *hit* is both; everything else is a miss.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import nullcontext
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from assay.model.generate import generate, spelled
from assay.steer.classify import Classifier
from assay.steer.many import Many, side_by_side
from assay.steer.reading import Ids, Texts
from assay.steer.script import Script
from assay.steer.treatment import Treatment
from assay.text.behaviours import Behaviour

if TYPE_CHECKING:
    from assay.model import Subject

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
AT_ONCE = 240  # prompts that are gone on with together
_BORDERS = (0.025, 0.975)
_CLASSIFIED = 0.9
_APART = 1_000_003  # between the lots of a prompt's continuations


class Written(NamedTuple):
    """Continuations of some prompts, (n,) each.

    ``told``: whether the pattern or the choice is met, or as many as there are words for the behaviour above those
    against; ``classified``: log odds that the classifier gives, or None without one; ``words``: whether there is a word
    for the behaviour; ``likelihood``: mean log probability of a token under the untreated model, nats; ``repetition``:
    share of pairs of tokens that came before.
    """

    texts: list[str]
    told: Bool[NDArray[np.bool_], " n"]
    classified: Float[NDArray[np.float64], " n"] | None
    words: Bool[NDArray[np.bool_], " n"]
    likelihood: Float[NDArray[np.float64], " n"]
    repetition: Float[NDArray[np.float64], " n"]


class Hits(NamedTuple):
    """Of k treatments, (k, n): which of their continuations are hits, and the continuations."""

    hits: Bool[NDArray[np.bool_], "k n"]
    texts: list[list[str]]


class Borders(NamedTuple):
    """Least likelihood and most repetition of what counts as coherent; log odds above which the classifier counts, None
    where something else does."""

    likelihood: float
    repetition: float
    classified: float | None

    def coherent(self, written: Written) -> Bool[NDArray[np.bool_], " n"]:
        """(n,) whether each continuation is."""
        return (written.likelihood >= self.likelihood) & (written.repetition <= self.repetition)

    def shows(self, written: Written) -> Bool[NDArray[np.bool_], " n"]:
        """(n,) whether each continuation shows the behaviour."""
        if self.classified is None or written.classified is None:
            return written.told
        return written.classified > self.classified


def borders(written: Written, behaviour: Behaviour) -> Borders:
    """Those of the untreated model."""
    least = float(np.quantile(written.likelihood, _BORDERS[0]))
    most = float(np.quantile(written.repetition, _BORDERS[1]))
    if behaviour.pattern or behaviour.choices or written.classified is None:
        return Borders(least, most, None)
    return Borders(least, most, float(np.quantile(written.classified, _CLASSIFIED, method="higher")))


class Writer:
    """Lets a model go on with prompts of a behaviour.

    Args:
        script: of the behaviour.
        writing: the model, in the dtype that it writes in; likelihood is only set beside that of its own texts.
        tokens: of a continuation.
        draws: continuations of each prompt.
    """

    def __init__(
        self,
        script: Script,
        writing: Subject,
        tokens: int,
        classifier: Classifier | None = None,
        draws: int = 1,
        seed: int = 0,
    ) -> None:
        self.script, self.writing, self.tokens = script, writing, tokens
        self.classifier, self.draws, self.seed = classifier, draws, seed

    def write(self, prompts: Sequence[int], treatment: Treatment | None = None, dose: float = 0.0) -> Written:
        """Continuations at temperature 1, drawn with the same lots for a prompt whatever the treatment: one of each
        prompt, then the next of each, up to ``draws``."""
        rows, plain, said = self._drawn(prompts, [treatment], dose)
        return self._told(rows, plain, said)._replace(likelihood=self._likelihood(plain, said))

    def hits(self, prompts: Sequence[int], treatments: Sequence[Treatment], dose: float, borders: Borders) -> Hits:
        """Of each treatment the continuations that :meth:`write` would give, and which of them are hits.

        Vectors at the same places, and texts that are put before, write side by side. How likely a continuation is, is
        only looked at where that decides.
        """
        rows, plain, said = self._drawn(prompts, treatments, dose)
        written = self._told(rows, plain, said)
        found = borders.shows(written) & (written.repetition <= borders.repetition)
        open_ = np.flatnonzero(found)
        found[open_] = self._likelihood([plain[i] for i in open_], [said[i] for i in open_]) >= borders.likelihood
        of_each = len(prompts) * self.draws
        texts = [written.texts[i : i + of_each] for i in range(0, len(written.texts), of_each)]
        return Hits(found.reshape(len(treatments), -1), texts)

    def likeliest(self, texts: Sequence[str], treatment: Treatment | None, dose: float) -> list[str]:
        """The likeliest continuations."""
        before = None if treatment is None else treatment.before
        alike = [row // treatment.each if isinstance(treatment, Many) else 0 for row in range(len(texts))]
        said = self._said(self.script.prompts(texts, before), alike, treatment, dose)
        return [spelled(self.writing, ids) for ids in said]

    def _drawn(
        self, prompts: Sequence[int], treatments: Sequence[Treatment | None], dose: float
    ) -> tuple[list[int], list[Ids], list[list[int]]]:
        """Row, plain prompt and continuation of each draw of each prompt, treatment after treatment."""
        once = list(prompts) * self.draws
        texts = [self.script.behaviour.prompts[row] for row in once]
        treated = [ids for one in treatments for ids in self.script.prompts(texts, None if one is None else one.before)]
        numbers = [row + _APART * draw for draw in range(self.draws) for row in prompts]
        together = treatments[0] if len(treatments) == 1 else side_by_side(treatments, len(once))
        alike = [number for number in range(len(treatments)) for _ in once]
        said = self._said(treated, alike, together, dose, 1.0, numbers * len(treatments))
        plain: list[Ids] = [*self.script.prompts(texts)] * len(treatments)
        return once * len(treatments), plain, said

    def _told(self, rows: Sequence[int], plain: Sequence[Ids], said: Sequence[Sequence[int]]) -> Written:
        """All but the likelihood, which is NaN."""
        behaviour = self.script.behaviour
        written = [spelled(self.writing, ids) for ids in said]
        return Written(
            written,
            np.array([is_told(behaviour, row, text) for row, text in zip(rows, written, strict=True)]),
            None if self.classifier is None else self.classifier(plain, said),
            np.array([_counts(behaviour, text)[0] > 0 for text in written]),
            np.full(len(said), np.nan),
            np.array([_repetition(ids) for ids in said]),
        )

    def _said(
        self,
        prompts: Sequence[Ids],
        alike: Sequence[int],
        treatment: Treatment | None,
        dose: float,
        temperature: float = 0.0,
        numbers: Sequence[int] | None = None,
    ) -> list[list[int]]:
        with nullcontext() if treatment is None else treatment.applied(self.writing, dose):
            return generate(
                self.writing,
                prompts,
                self.tokens,
                temperature=temperature,
                seed=self.seed,
                numbers=numbers,
                alike=alike,
                at_once=AT_ONCE,
            )

    def _likelihood(
        self, prompts: Sequence[Sequence[int]], said: Sequence[Sequence[int]]
    ) -> Float[NDArray[np.float64], " n"]:
        """Mean log probability of each token under the untreated model; 0 of nothing."""
        whole = [(*prompt, *more) for prompt, more in zip(prompts, said, strict=True)]
        texts = Texts(self.writing, whole, unasked=min(map(len, prompts), default=1) - 1)
        places = [range(len(p), len(p) + len(more)) for p, more in zip(prompts, said, strict=True)]
        likely = texts.said(places)
        total = np.bincount(likely.rows, likely.came.double().cpu().numpy(), len(prompts))
        return total / np.maximum([len(more) for more in said], 1)


def is_told(behaviour: Behaviour, row: int, text: str) -> bool:
    """Whether what comes after a prompt matches the pattern, begins with the first of its choices, or has more of the
    words for the behaviour than of those against."""
    if behaviour.pattern:
        return re.search(behaviour.pattern, text, re.IGNORECASE | re.MULTILINE) is not None
    if behaviour.choices:
        return text.startswith(behaviour.choices[row][0])
    more, less = _counts(behaviour, text)
    return more > less


def _counts(behaviour: Behaviour, text: str) -> tuple[int, int]:
    """How many words of a text are scored for the behaviour, and how many against it."""
    words = [word.lower() for word in _WORD.findall(text)]
    more, less = ({word.lower() for word in side} for side in (behaviour.more, behaviour.less))
    return sum(word in more for word in words), sum(word in less for word in words)


def _repetition(ids: Sequence[int]) -> float:
    pairs = list(pairwise(ids))
    return 1 - len(set(pairs)) / len(pairs) if pairs else 0.0
