"""Units of the gallery that no list of rules describes: what each computes, and how it is wired.

``predict`` says it in numpy, from the token ids of a text; ``wire`` puts it into weights. Tests hold the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from assay.rules import View
from assay.testing.gallery_language import KINDS, TOKEN_ID, VOCABULARY, sample_ids
from assay.testing.gallery_rules import NEARBY, RULES, Compiler
from assay.testing.gallery_weights import OPEN, Neuron, one, plus, times, tokens

FAR = 17
_PARITY = (0.0, 1.0) * (NEARBY // 2) + (0.0,)
_TWO = (0.0, 0.0) + (1.0,) * (NEARBY - 1)


@runtime_checkable
class Beyond(Protocol):
    """A function of the text that the grammar of rules can't say."""

    def predict(self, view: View) -> NDArray[np.float32]:
        """(tokens,) what the unit computes, without its noise."""
        ...

    def wire(self, compiler: Compiler, axis: int) -> None:
        """Make ``axis`` hold it."""
        ...


def _flat(view: View, grid: NDArray[np.float64]) -> NDArray[np.float32]:
    window, position = view.places
    return grid[window, position].astype(np.float32)


def _is(view: View, kind: str, back: int = 0) -> NDArray[np.float64]:
    """(windows, length) is the token so many back of this kind?"""
    inside = np.isin(view.ids, [TOKEN_ID[token] for token in KINDS[kind]]).astype(float)
    shifted = np.zeros_like(inside)
    shifted[:, back:] = inside[:, : inside.shape[1] - back]
    return shifted


@dataclass(frozen=True)
class Counted:
    """1 at tokens of a kind where ``steps[c]`` is 1, c being how many of another kind are among the previous eight."""

    kind: str
    of: str
    steps: tuple[float, ...]

    def predict(self, view: View) -> NDArray[np.float32]:
        count = sum((_is(view, self.of, back) for back in range(1, NEARBY + 1)), np.zeros(view.ids.shape))
        return _flat(view, _is(view, self.kind) * np.array(self.steps)[count.astype(int)])

    def wire(self, compiler: Compiler, axis: int) -> None:
        stairs = compiler.stairs(KINDS[self.of], self.steps)
        compiler.circuit.conjunction(RULES, [tokens(KINDS[self.kind]), {stairs: 1.0}], {axis: 1.0})


@dataclass(frozen=True)
class Either:
    """1 at tokens of a kind where exactly one of two far tokens is of another kind."""

    kind: str
    of: str
    backs: tuple[int, int]

    def predict(self, view: View) -> NDArray[np.float32]:
        first, second = (_is(view, self.of, back) for back in self.backs)
        return _flat(view, _is(view, self.kind) * np.abs(first - second))

    def wire(self, compiler: Compiler, axis: int) -> None:
        first, second = ({compiler.back(back, KINDS[self.of]): 1.0} for back in self.backs)
        for yes, no in ((first, second), (second, first)):
            literals = [tokens(KINDS[self.kind]), yes, plus(one(), times(no, -1.0))]
            compiler.circuit.conjunction(RULES, literals, {axis: 1.0})


@dataclass(frozen=True)
class Far:
    """1 at tokens of a kind where the token 17 back is of another kind."""

    kind: str
    of: str

    def predict(self, view: View) -> NDArray[np.float32]:
        return _flat(view, _is(view, self.kind) * _is(view, self.of, FAR))

    def wire(self, compiler: Compiler, axis: int) -> None:
        far = {compiler.back(FAR, KINDS[self.of]): 1.0}
        compiler.circuit.conjunction(RULES, [tokens(KINDS[self.kind]), far], {axis: 1.0})


@dataclass(frozen=True)
class Pairs:
    """1 at a random half of the pairs of a token of one kind and one of another right behind it."""

    first: str
    second: str

    @property
    def chosen(self) -> NDArray[np.bool_]:
        """(second, first) which pairs count."""
        size = len(KINDS[self.second]), len(KINDS[self.first])
        rng = np.random.default_rng([len(self.first), len(self.second), 43])
        return rng.random(size) < 0.5

    def predict(self, view: View) -> NDArray[np.float32]:
        table = np.zeros((len(VOCABULARY) + 1,) * 2)  # the last row and column answer to the padding's -1
        after, before = ([TOKEN_ID[token] for token in KINDS[kind]] for kind in (self.second, self.first))
        table[np.ix_(after, before)] = self.chosen
        grid = np.zeros(view.ids.shape)
        grid[:, 1:] = table[view.ids[:, 1:], view.ids[:, :-1]]
        return _flat(view, grid)

    def wire(self, compiler: Compiler, axis: int) -> None:
        before = {token: compiler.back(1, (token,)) for token in KINDS[self.first]}
        for token, row in zip(KINDS[self.second], self.chosen, strict=True):
            gate = plus(tokens([token], 2 * OPEN), one(-OPEN))
            up = {before[first]: 1 / OPEN for first, yes in zip(KINDS[self.first], row, strict=True) if yes}
            compiler.circuit.neurons[RULES].append(Neuron(gate, up, {axis: 1.0}))


@dataclass(frozen=True)
class Graded:
    """A sum of a number for each of the last tokens, with falling weights: dense, and never quite 0.

    ``decay``: weight of a token relative to that behind it; 0 leaves the token itself.
    """

    decay: float
    tag: int

    @property
    def numbers(self) -> NDArray[np.float64]:
        """(vocabulary,) of each token, with mean 0 and spread 1 over the text."""
        drawn = np.random.default_rng([self.tag, 44]).standard_normal(len(VOCABULARY))
        seen = sample_ids()
        values = drawn[seen[seen >= 0]]
        numbers = (drawn - values.mean()) / values.std()
        numbers[TOKEN_ID[KINDS["start"][0]]] = 0.0
        return numbers

    @property
    def _weights(self) -> dict[int, float]:
        return {back: self.decay**back for back in range(NEARBY + 1) if self.decay**back > 0}

    def predict(self, view: View) -> NDArray[np.float32]:
        own = np.append(self.numbers, 0.0)[view.ids]
        out = np.zeros(own.shape)
        for back, weight in self._weights.items():
            out[:, back:] += weight * own[:, : own.shape[1] - back]
        return _flat(view, out)

    def wire(self, compiler: Compiler, axis: int) -> None:
        numbers = {i: float(number) for i, number in enumerate(self.numbers) if number}
        opened = one(OPEN)
        compiler.circuit.neurons[RULES].append(Neuron(opened, times(numbers, 1 / OPEN), {axis: 1.0}))
        for back, weight in self._weights.items():
            if back:
                compiler.carrier(back).carry(numbers, axis, weight)


BEYOND: Mapping[str, Beyond] = {
    "parity": Counted("ed", "noun", _PARITY),
    "at least two": Counted("mark", "noun", _TWO),
    "far exclusive or": Either("auxiliary", "noun", (9, 11)),
    "far token": Far("noun", "noun"),
    "random pairs": Pairs("determiner", "noun"),
    "graded sum": Graded(0.7, 1),
    "graded tokens": Graded(0.0, 2),
}
