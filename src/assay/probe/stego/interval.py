"""Arithmetic coding in whole numbers: a stream of bits is a point of [0, 1), and every symbol narrows an interval.

The coder of Rissanen and Langdon (1979) run backwards: decoding a stream of even bits under a distribution draws
symbols from it, and coding the symbols gives the stream again (Ziegler, Deng and Rush 2019). The usual coder keeps 32
bits and mends carries; here numbers are as long as they must be, so that nothing is rounded and no bit is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int64
from numpy.typing import NDArray

from assay.errors import UsageError

PLACES = 16
"""Binary places of a probability: every distribution is whole numbers of which the sum is 2**16."""


class Interval(NamedTuple):
    """The numbers from ``low`` to below ``low + width``, in units of 2**-``places``."""

    low: int = 0
    width: int = 1
    places: int = 0

    def part(self, start: int, stop: int) -> Interval:
        """Of 2**16 equal parts of it those from ``start`` to before ``stop``."""
        return Interval((self.low << PLACES) + self.width * start, self.width * (stop - start), self.places + PLACES)

    def slot(self, point: int) -> int:
        """Which of 2**16 equal parts a point of it is in; the point in units of 2**-(``places`` + 16)."""
        return (point - (self.low << PLACES)) // self.width

    @property
    def known(self) -> int:
        """How many leading bits all its numbers share."""
        return self.places - (self.low ^ (self.low + self.width - 1)).bit_length()

    @property
    def bits(self) -> tuple[int, ...]:
        """The bits that all its numbers share."""
        known = self.known
        return tuple(int(bit) for bit in f"{self.low >> (self.places - known):0{known}b}") if known else ()


class Stream:
    """Bits of a message, followed by random ones without end.

    What comes after the message decides between symbols that all say it. Were it zeros, the last symbols would not be
    drawn from their distribution.

    Raises:
        UsageError: something other than 0 and 1.
    """

    def __init__(self, bits: Sequence[int], seed: int | Sequence[int] = 0) -> None:
        if any(bit not in (0, 1) for bit in bits):
            raise UsageError(f"a message is made of bits, 0 or 1. Got {sorted(set(bits))[:4]} instead.")
        self._value, self._length = int("".join(map(str, map(int, bits))) or "0", 2), len(bits)
        self._more = np.random.default_rng(seed)

    def first(self, places: int) -> int:
        """The first ``places`` bits, as a whole number."""
        while self._length < places:
            self._value, self._length = (self._value << 32) + int(self._more.integers(1 << 32)), self._length + 32
        return self._value >> (self._length - places)


def cuts(probabilities: Float[np.ndarray, " k"]) -> Int64[NDArray[np.int64], " cuts"]:
    """Where a distribution divides 2**16 parts: k + 1 whole numbers from 0 to 2**16, each above the one before.

    Every symbol has one part at least; what rounding leaves goes to the likeliest. The arguments need not sum to 1.

    Raises:
        UsageError: no symbol, or more than a quarter of the parts.
    """
    total, k = 1 << PLACES, len(probabilities)
    if not 0 < k <= total // 4:
        raise UsageError(f"a distribution has 1 to {total // 4:,} symbols. Got {k:,}.")
    share = probabilities / probabilities.sum()
    counts = 1 + np.floor(share * (total - k)).astype(np.int64)
    counts[np.argmax(counts)] += total - counts.sum()
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])


def entropy(divided: Int64[np.ndarray, " cuts"]) -> float:
    """Bits a symbol drawn from such a distribution tells on average."""
    share = np.diff(divided) / (1 << PLACES)
    return float(-(share * np.log2(share)).sum())
