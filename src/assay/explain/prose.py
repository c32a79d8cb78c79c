"""An explanation in a sentence, written by a judge and executed by its simulation."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Candidate:
    """One reply of the judge.

    ``drawn`` says how: greedy, or a sample. ``text`` is the sentence in it, ``r`` what its simulation scores on the
    choose split; where there is none, ``unscored`` says why.
    """

    drawn: str
    text: str
    r: float | None
    unscored: str | None


@dataclass(frozen=True)
class Prose:
    """A sentence, and where it is from. Where no reply of the judge could be used, ``unscored`` says why.

    ``tokens`` of the judge's ``vocabulary`` is its length: each costs log2 of the vocabulary in bits, as names do in
    rules. ``prompts`` are those that it was written and is simulated with, ``name@version``.
    """

    text: str
    tokens: int
    vocabulary: int
    judge: str
    prompts: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    unscored: str | None = None
    kind: str = field(default="prose", init=False)

    @property
    def bits(self) -> float:
        """Description length: every token costs log2(vocabulary)."""
        return self.tokens * math.log2(self.vocabulary)

    def sentence(self) -> str:
        """The sentence; empty where there is none."""
        return self.text

    def lines(self) -> list[str]:
        """One line a candidate: what it scored on the choose split, how it was drawn, and its text."""
        return [_line(candidate, candidate.text == self.text) for candidate in self.candidates]

    def _repr_html_(self) -> str:
        """For notebooks: the sentence, who wrote it, and the candidates that it was chosen from."""
        from assay.draw.notebook import fragment, paragraph, table

        source = f"written by {self.judge} with {', '.join(self.prompts)}, {self.bits:,.0f} bits"
        sentence = self.text or f"nothing that could be used: {self.unscored or 'no reply'}"
        columns = ["drawn", "r on choose", "sentence"]
        rows = [
            (c.drawn, "unscored" if c.r is None else f"{c.r:.3f}", c.text or c.unscored or "") for c in self.candidates
        ]
        listed = [table("Candidates", columns, rows, numeric=(1,))] if rows else []
        return fragment(paragraph(sentence, "s"), paragraph(source, "q"), *listed)

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self) | {"prompts": list(self.prompts), "candidates": [asdict(c) for c in self.candidates]}


def _line(candidate: Candidate, chosen: bool) -> str:
    if candidate.unscored is not None:
        return f"unscored ({candidate.drawn}): {candidate.unscored}"
    score = "no r" if candidate.r is None else f"r {candidate.r:+.3f}"
    return f"{score} on choose ({candidate.drawn}{', taken' if chosen and candidate.text else ''}): {candidate.text}"
