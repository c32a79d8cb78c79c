"""Some writers against some readers by weights, and the few strongest of very many for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Block(NamedTuple):
    """Neurons of one layer, which write, against neurons of a later one, which read.

    ``products``: (inputs, writers, readers) of what is written with what is read, in standard deviations of the
    reader's inputs. ``slopes``: (inputs, readers) of the activation on its inputs, in standard deviations of both.
    ``spread``, ``slope``: (writers,) see :class:`~assay.explain.related.moments.Carried`.
    """

    products: Float[Tensor, "inputs writers readers"]
    slopes: Float[Tensor, "inputs readers"]
    spread: Float[Tensor, " writers"]
    slope: Float[Tensor, " writers"]

    def squares(self) -> Float[Tensor, "writers readers"]:
        """The squares of the strengths."""
        total = self.products[0].square()
        for product in self.products[1:]:
            total.addcmul_(product, product)
        return total.mul_(self.spread.square()[:, None])

    def net_to(self, readers: Int[Tensor, "writers few"]) -> Float[Tensor, "writers few"]:
        """Net from each writer to some readers of its own."""
        net = sum(p.gather(1, readers) * s[readers] for p, s in zip(self.products, self.slopes, strict=True))
        return net * self.slope[:, None]

    def net_from(self, writers: Int[Tensor, "readers few"]) -> Float[Tensor, "readers few"]:
        """Net to each reader from some writers of its own."""
        at = writers.T
        net = sum(p.gather(0, at) * s for p, s in zip(self.products, self.slopes, strict=True))
        return (net * self.slope[at]).T


class Strongest:
    """For each of some units the ``k`` strongest others of those that were offered, strongest first; 0 where none was.

    ``squares``: (units, k) of strengths; ``net``; ``layers`` and ``indices`` of the others.
    """

    def __init__(self, units: int, k: int, device: torch.device) -> None:
        self.k = k
        self.squares, self.net = (torch.zeros(units, k, device=device) for _ in range(2))
        self.layers, self.indices = (torch.zeros(units, k, dtype=torch.long, device=device) for _ in range(2))

    def offer(
        self,
        rows: slice,
        squares: Float[Tensor, "rows others"],
        net: Callable[[Tensor], Tensor],
        layer: int,
        first: int,
    ) -> None:
        """Others of a layer, numbered there from ``first``, to the units in ``rows``; ``net`` of some of them."""
        best, at = squares.topk(min(self.k, squares.shape[1]), dim=1)
        known = (self.squares, self.net, self.layers, self.indices)
        new = (best, net(at), torch.full_like(at, layer), at + first)
        pools = [torch.cat([old[rows], fresh], 1) for old, fresh in zip(known, new, strict=True)]
        kept = pools[0].topk(self.k, dim=1).indices
        for old, pool in zip(known, pools, strict=True):
            old[rows] = pool.gather(1, kept)
