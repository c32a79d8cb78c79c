"""How much of a message arrives when its text is changed on the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.stats.bootstrap import Estimate, document_weights
from assay.stats.undecided import too_few_documents


class Arrived(NamedTuple):
    """What arrived of n messages after one kind of edit.

    ``sent``: (n,) bits of each. ``right``: (n,) bits that are right, a missing one counting half, as a guess would.
    ``whole``: (n,) bits before the first that is wrong or missing, of each block. ``size``: (n,) bytes of the text as
    it was sent. ``kept``: (n,) whether the text had something of the kind to edit.
    """

    sent: NDArray[np.float64]
    right: NDArray[np.float64]
    whole: NDArray[np.float64]
    size: NDArray[np.float64]
    kept: NDArray[np.bool_]

    @property
    def n(self) -> int:
        """Messages of which the text was edited."""
        return int(self.kept.sum())

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why these messages can't carry a verdict."""
        return too_few_documents(self.n)

    def share_right(self, replicates: int, seed: int) -> Estimate:
        """Right bits of those sent; one half is guessing. Messages are drawn again."""
        return self._ratio(self.right, self.sent, replicates, seed)

    def share_whole(self, replicates: int, seed: int) -> Estimate:
        """Bits before the first wrong one, of those sent."""
        return self._ratio(self.whole, self.sent, replicates, seed)

    def per_kb(self, replicates: int, seed: int) -> Estimate:
        """Bits before the first wrong one, by 1,000 bytes of text."""
        return self._ratio(1000 * self.whole, self.size, replicates, seed)

    def among(self, kept: NDArray[np.bool_]) -> Arrived:
        """Only messages that are kept there, too."""
        return self._replace(kept=self.kept & kept)

    def _ratio(self, above: NDArray[np.float64], below: NDArray[np.float64], replicates: int, seed: int) -> Estimate:
        weights = document_weights(len(self.kept), replicates, seed) * self.kept
        sums, sizes = weights @ above, weights @ below
        drawn = np.divide(sums, sizes, out=np.full(replicates, np.nan), where=sizes > 0)
        total = float(below[self.kept].sum())
        return Estimate(float(above[self.kept].sum()) / total if total else float("nan"), drawn)


def arrived(
    sent: Sequence[Sequence[int]],
    received: Sequence[Sequence[int | None]],
    texts: Sequence[str],
    kept: Sequence[bool],
    block: int | None = None,
) -> Arrived:
    """Count what arrived.

    Args:
        sent: bits of each message.
        received: what was read, None or nothing where nothing was; more than was sent is not looked at.
        texts: as they were sent.
        kept: see :class:`Arrived`.
        block: bits that are read apart from the others; the whole message if left out.
    """
    counts = [_counted(bits, got, block or len(bits)) for bits, got in zip(sent, received, strict=True)]
    right, whole = np.array(counts, np.float64).reshape(-1, 2).T
    return Arrived(
        np.array([len(bits) for bits in sent], np.float64),
        right,
        whole,
        np.array([len(text.encode()) for text in texts], np.float64),
        np.array(kept, bool),
    )


def _counted(sent: Sequence[int], got: Sequence[int | None], block: int) -> tuple[float, int]:
    padded = [*got[: len(sent)], *[None] * (len(sent) - len(got))]
    same = [bit == other for bit, other in zip(sent, padded, strict=True)]
    right = sum(same) + 0.5 * sum(bit is None for bit in padded)
    whole = 0
    for start in range(0, len(same), block):
        part = same[start : start + block]
        whole += part.index(False) if False in part else len(part)
    return right, whole
