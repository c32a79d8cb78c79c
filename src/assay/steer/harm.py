"""What a treatment does to text that has nothing to do with it: divergence of the next token, and perplexity."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped
from numpy.typing import NDArray

from assay.steer.reading import Said, Texts
from assay.steer.script import Read, Script
from assay.steer.treatment import GENERATED, Before, Pushes, Treatment


class Window(NamedTuple):
    """Some tokens of one document of a corpus."""

    corpus: str
    document: str
    ids: tuple[int, ...]


class Harm(NamedTuple):
    """By scored token, (n,): KL of the treated from the untreated next token, and how much less likely, in nats, the
    token that came next has become."""

    kl: Float[NDArray[np.float64], " n"]
    loss: Float[NDArray[np.float64], " n"]


class Neutral:
    """Neutral text, read untreated once.

    Args:
        script: for the model.
        windows: of text; of each every ``step``-th token from the ``first`` on is scored. It counts as a
            prompt, but as generated for vectors that are added at generated tokens alone.
    """

    def __init__(self, script: Script, windows: Sequence[Window], first: int = 7, step: int = 2) -> None:
        self.script, self.windows = script, list(windows)
        self.first, self.step = first, step
        self._read: dict[tuple[Before | None, bool], tuple[list[Read], Texts]] = {}
        self._base = self._said(None, 0.0)

    @property
    def documents(self) -> Shaped[NDArray[np.str_], " n"]:
        """(n,) the document of each scored token."""
        names = np.array([f"{window.corpus} {window.document}" for window in self.windows])
        return names[self._base.rows]

    @property
    def corpora(self) -> Shaped[NDArray[np.str_], " n"]:
        """(n,) the corpus of each scored token."""
        return np.array([window.corpus for window in self.windows])[self._base.rows]

    def prepare(self, layers: Collection[int]) -> None:
        """Read the text up to these layers, once."""
        self._texts(None)[1].prepare(layers)

    def harm(self, treatment: Treatment, dose: float) -> Harm:
        """What the treatment does to each scored token."""
        now, before = self._said(treatment, dose), self._base
        assert now.every is not None
        assert before.every is not None
        kl = (before.every.exp() * (before.every - now.every)).sum(-1).clamp(min=0)
        return Harm(*(part.double().cpu().numpy() for part in (kl, before.came - now.came)))

    def _at(self, row: int) -> range:
        """Tokens of a window behind which the next one is scored."""
        return range(self.first, len(self.windows[row].ids) - 1, self.step)

    def _texts(self, treatment: Treatment | None) -> tuple[list[Read], Texts]:
        before = None if treatment is None else treatment.before
        said = isinstance(treatment, Pushes) and treatment.where == GENERATED
        if (before, said) not in self._read:
            read = [self.script.neutral(window.ids, before) for window in self.windows]
            ends = [one.begins for one in read] if said else None
            texts = Texts(self.script.subject, [one.ids for one in read], ends, min(one.begins for one in read))
            self._read[before, said] = read, texts
        return self._read[before, said]

    def _said(self, treatment: Treatment | None, dose: float) -> Said:
        """Log probabilities of the next token at every scored place."""
        read, texts = self._texts(treatment)
        places = [[read[row].begins + i + 1 for i in self._at(row)] for row in range(len(read))]
        return texts.said(places, treatment, dose, every=True)
