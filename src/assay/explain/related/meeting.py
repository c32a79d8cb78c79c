"""Neurons against all neurons of earlier and later layers, by weights: layer pair by layer pair, never all at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from assay.explain.material import Progress
from assay.explain.related.layers import Layers
from assay.explain.related.strongest import Block, Strongest
from assay.explain.related.weights import LEVEL
from assay.model.wiring import reading, written

if TYPE_CHECKING:
    from assay.model import Subject

AT_ONCE = 2**22  # products of a block, so that it stays in the processor's cache


class Side(NamedTuple):
    """The strongest others of some neurons on one side: (neurons, k) each, and (neurons,) the null of the strength.

    ``layers`` and ``indices`` are of the others; a strength of 0 says that there is none.
    """

    strength: NDArray[np.float32]
    net: NDArray[np.float32]
    layers: NDArray[np.int64]
    indices: NDArray[np.int64]
    null: NDArray[np.float32]


class Meeting:
    """Some neurons, by layer, and what all others are to them.

    The nulls take the very maxima that :class:`~assay.explain.related.weights.Weights` takes. A random vector's
    product with a reader does not depend on the writer in whose place it stands, but for its length and how much of
    it arrives; and what random vectors read in a layer does not depend on the neuron. So one set of random vectors
    serves all neurons exactly.
    """

    def __init__(self, subject: Subject, found: Layers, wanted: Mapping[int, Int[Tensor, " neurons"]], k: int) -> None:
        self.subject, self.found, self.wanted, self.device = subject, found, wanted, subject.device
        self.draws = found.draws.to(self.device)
        down, up = ({a: Strongest(len(own), k, self.device) for a, own in wanted.items()} for _ in range(2))
        self.down, self.up = down, up
        draws = self.draws.shape[1]
        self.down_null = {a: torch.zeros(len(own), draws, device=self.device) for a, own in wanted.items()}
        self.up_null = {b: torch.zeros(len(self.draws), draws, device=self.device) for b in wanted}

    @torch.inference_mode()
    def run(self, progress: Progress) -> dict[int, tuple[Side, Side]]:
        """By layer, what is upstream and what is downstream of its wanted neurons."""
        n = self.subject.n_layers
        for b in range(n):
            progress("neighbours by weights", b * b / n**2)
            writers = [a for a in range(b) if a in self.wanted or b in self.wanted]
            if writers:
                self._reader(b, writers)
        return {layer: (self._upstream(layer), self._downstream(layer)) for layer in self.wanted}

    def _reader(self, b: int, writers: list[int]) -> None:
        """One layer as a reader, against earlier layers."""
        matrices = torch.stack(list(reading(self.subject, b).matrices.values()))
        rows = matrices * self.found.layers[b].scales.to(self.device)[..., None]
        reached = torch.einsum("ird,gd->irg", rows, self.draws[0]).norm(dim=0).amax(0)
        random = self.draws[: len(rows)] * self.found.layers[b].random.to(self.device)[..., None]
        for a in writers:
            vectors, spread = written(self.subject, a), self._carried(a, b)[0]
            down, up = self.wanted.get(a), self.wanted.get(b)
            if down is not None:
                at = down.to(self.device)
                torch.maximum(self.down_null[a], spread[at][:, None] * reached, out=self.down_null[a])
            if up is not None:
                taken = torch.einsum("wd,igd->iwg", vectors, random).square_().cumsum(0)
                best = (taken * spread.square()[:, None]).amax(1)
                torch.maximum(self.up_null[b][: len(best)], best, out=self.up_null[b][: len(best)])
            if down is not None and up is not None and len(down) == len(vectors) and len(up) == rows.shape[1]:
                self._meet(a, b, vectors, rows, down, up)
                continue
            if down is not None:
                self._meet(a, b, vectors, rows, down, None)
            if up is not None:
                self._meet(a, b, vectors, rows, None, up)

    def _meet(self, a: int, b: int, vectors: Tensor, rows: Tensor, down: Tensor | None, up: Tensor | None) -> None:
        """Writers against readers. ``down`` or ``up`` is None where all of them are only met, and gain nothing."""
        spread, slope = self._carried(a, b)
        slopes = self.found.layers[b].slopes.to(self.device)
        if down is not None:
            vectors, spread, slope = (part[down.to(self.device)] for part in (vectors, spread, slope))
        if up is not None:
            rows, slopes = (part[:, up.to(self.device)] for part in (rows, slopes))
        each = max(1, AT_ONCE // (rows.shape[0] * rows.shape[1]))
        for first in range(0, len(vectors), each):
            own = slice(first, min(first + each, len(vectors)))
            block = Block(vectors[own] @ rows.transpose(1, 2), slopes, spread[own], slope[own])
            squares = block.squares()
            if down is not None:
                self.down[a].offer(own, squares, block.net_to, b, 0)
            if up is not None:
                self.up[b].offer(slice(None), squares.T, block.net_from, a, first)

    def _carried(self, a: int, b: int) -> tuple[Tensor, Tensor]:
        """(neurons,) how much of what layer ``a`` writes arrives at layer ``b``: spread and slope."""
        spread, slope = (part[:, b - a - 1].to(self.device) for part in self.found.layers[a].carried)
        return spread, slope

    def _downstream(self, a: int) -> Side:
        lengths = written(self.subject, a)[self.wanted[a].to(self.device)].norm(dim=-1)
        return _side(self.down[a], self._level(self.down_null[a]) * lengths)

    def _upstream(self, b: int) -> Side:
        alive = (self.found.layers[b].scales[:, self.wanted[b]] > 0).sum(0)
        levels = torch.cat([torch.zeros(1, device=self.device), self._level(self.up_null[b].sqrt())])
        return _side(self.up[b], levels[alive.to(self.device)])

    @staticmethod
    def _level(reached: Float[Tensor, "rows draws"]) -> Tensor:
        return torch.quantile(reached, LEVEL, dim=1)


def _side(best: Strongest, null: Tensor) -> Side:
    parts = (best.squares.sqrt(), best.net, best.layers, best.indices, null)
    return Side(*(part.cpu().numpy() for part in parts))
