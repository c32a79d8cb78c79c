"""Windows to train on, epoch after epoch, each epoch cut elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64
from numpy.typing import NDArray

from assay.errors import CorpusError

Ids = Int64[NDArray[np.int64], " _"]  # documents differ in length
Windows = Int64[NDArray[np.int64], "n length"]

_ORDER = 1  # what is drawn from the seed: the data's order here, the weights in model.py


class Place(NamedTuple):
    """How far the stream was read: the next window is number ``window`` of ``epoch``."""

    epoch: int
    window: int


class Stream:
    """Windows of ``length`` tokens without end. What comes depends on the seed and on the place alone.

    In each epoch the documents are put in a new order, each with ``end`` behind it, and what that makes is cut into
    windows from a new first token on; every window begins with ``end``, and they come in a new order. The few tokens
    before the first cut and after the last are left out of that epoch.

    Raises:
        CorpusError: not enough text for two windows.
    """

    def __init__(self, documents: Sequence[Ids], length: int, seed: int, end: int = 0) -> None:
        self._documents = [np.append(ids, end) for ids in documents]
        self._length, self._seed, self._end = length, seed, end
        total = sum(map(len, self._documents))
        if total < 2 * length:
            raise CorpusError(f"the fit documents hold {total:,} tokens, and training needs {2 * length:,} or more")
        self._held: tuple[int, Windows] | None = None

    def epoch(self, number: int) -> Windows:
        """(n, length) the windows of an epoch, in their order."""
        if self._held is None or self._held[0] != number:
            self._held = number, self._cut(np.random.default_rng([self._seed, _ORDER, number]))
        return self._held[1]

    def take(self, place: Place, count: int) -> tuple[Windows, Place]:
        """The next ``count`` windows, (count, length), and the place behind them."""
        parts: list[Windows] = []
        while count:
            windows = self.epoch(place.epoch)[place.window :][:count]
            parts.append(windows)
            count -= len(windows)
            place = Place(place.epoch, place.window + len(windows)) if len(windows) else Place(place.epoch + 1, 0)
        return np.concatenate(parts), place

    def _cut(self, rng: np.random.Generator) -> Windows:
        joined = np.concatenate([self._documents[i] for i in rng.permutation(len(self._documents))])
        room = self._length - 1
        first = int(rng.integers(room))
        count = (len(joined) - first) // room
        windows = np.full((count, self._length), self._end, np.int64)
        windows[:, 1:] = joined[first : first + count * room].reshape(count, room)
        return windows[rng.permutation(count)]
