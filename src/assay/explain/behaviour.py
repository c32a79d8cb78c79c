"""Does the model go on as before when a unit is replaced by its prediction?

The subject runs in fp32 on excerpts of the test split with the unit set, at every position that counts, to what an
arm says; J is the Jensen-Shannon divergence (nats) of the next-token distributions from the unedited run, summed over
positions. Residuals below the unit's layer are cached once; only the layers from there upwards run again.

Excerpts are drawn for each unit from a pool with one window a document, with probability proportional to how much the
unit varies there, and weighted back by its inverse (Horvitz and Thompson), so that rare firings are seen and the sum
still stands for the text at its natural frequency.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from assay.core.ids import SiteId, UnitId

if TYPE_CHECKING:
    from assay.explain.material import Part, Progress
    from assay.model import Subject

POOL = 64
EXCERPTS = 24
BATCH = 8


class Divergences(NamedTuple):
    """J of each arm (arms, excerpts), summed over the positions of each excerpt, and what stands beside it.

    ``windows`` are the excerpts' rows in the test table, ``documents`` their documents, ``weights`` what brings them to
    natural frequency, ``floor`` the J of an unedited run at another padding.
    """

    j: dict[str, NDArray[np.float64]]
    windows: NDArray[np.int64]
    documents: NDArray[np.int64]
    weights: NDArray[np.float64]
    floor: NDArray[np.float64]


@dataclass(frozen=True)
class _Pool:
    rows: NDArray[np.int64]  # windows of the test table
    weights: NDArray[np.float64]  # windows of the document that each stands for
    ids: Tensor
    mask: Tensor
    below: dict[int, Tensor]  # layer -> resid_pre (windows, length, d_model)
    hidden: Tensor  # final norm's output, unedited
    floor: NDArray[np.float64]


class Behaviour:
    """Behaviour runs of one subject on one test split.

    Args:
        subject: in fp32: effects are a hundredth of the residual's spread and drown in bf16.
        part: the test split.
        layers: layers whose units will be edited.
        seed: of the pool, of the draws and of the noise.
    """

    def __init__(self, subject: Subject, part: Part, layers: set[int], seed: int, progress: Progress) -> None:
        self.subject, self.part, self.seed = subject, part, seed
        self._pool = self._fill(layers, progress)

    @torch.inference_mode()
    def _fill(self, layers: set[int], progress: Progress) -> _Pool:
        table, rng = self.part.table, np.random.default_rng([self.seed, 1])
        order = rng.permutation(len(table))
        _, first = np.unique(table.documents[order], return_index=True)
        rows = order[np.sort(first)][:POOL]
        rows = rows[np.argsort(-table.lengths[rows], kind="stable")]
        count = np.bincount(table.documents)
        ids = torch.as_tensor(np.maximum(table.ids[rows], 0), dtype=torch.long)
        mask = torch.as_tensor(table.ids[rows] >= 0, dtype=torch.long)
        sites = [SiteId(layer, "resid_pre") for layer in sorted(layers)]
        below: dict[int, list[Tensor]] = {layer: [] for layer in layers}
        hidden: list[Tensor] = []
        floor: list[NDArray[np.float64]] = []
        for start in range(0, len(rows), BATCH):
            progress("unedited pass in fp32", start / len(rows))
            part = slice(start, start + BATCH)
            with self.subject.capture(sites) as seen:
                hidden.append(self.subject.hidden(ids[part], mask[part]))
            for layer, site in zip(sorted(layers), sites, strict=True):
                below[layer].append(seen[site].clone())
            padded = torch.nn.functional.pad(ids[part], (0, 8)), torch.nn.functional.pad(mask[part], (0, 8))
            again = self.subject.hidden(*padded)[:, : ids.shape[1]]
            floor.append(self._divergence(hidden[-1], again, mask[part]))
        return _Pool(
            rows,
            count[table.documents[rows]].astype(float),
            ids,
            mask,
            {layer: torch.cat(parts) for layer, parts in below.items()},
            torch.cat(hidden),
            np.concatenate(floor),
        )

    def draw(self, activations: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Places in the pool and weights for one unit: systematic sampling, proportional to its variation there.

        Args:
            activations: (tokens,) the unit's on the test split, flat.
        """
        size = len(self._pool.rows)
        grid = self.part.table.padded(np.where(self.part.scored, activations - activations[self.part.scored].mean(), 0))
        energy = (grid[self._pool.rows].astype(float) ** 2).sum(1) * self._pool.weights
        if size <= EXCERPTS:
            return np.arange(size), self._pool.weights
        chance = 0.5 * energy / max(energy.sum(), 1e-30) + 0.5 * self._pool.weights / self._pool.weights.sum()
        chance = inclusion(chance, EXCERPTS)
        rng = np.random.default_rng([self.seed, 2])
        order = rng.permutation(size)
        marks = np.floor(np.concatenate([[0.0], np.cumsum(chance[order])]) + rng.random())
        chosen = np.sort(order[np.diff(marks) > 0])
        return chosen, self._pool.weights[chosen] / chance[chosen]

    @torch.inference_mode()
    def run(
        self, unit: UnitId, activations: NDArray[np.float32], arms: Mapping[str, NDArray[np.float32]]
    ) -> Divergences:
        """J of every arm for one unit.

        Args:
            activations: (tokens,) the unit's on the test split, flat: decides the excerpts.
            arms: by name, (tokens,) what the unit is set to.
        """
        chosen, weights = self.draw(activations)
        pool = self._pool
        rows = pool.rows[chosen]
        scored = torch.as_tensor(self.part.table.padded(self.part.scored, False)[rows])
        j: dict[str, list[NDArray[np.float64]]] = {name: [] for name in arms}
        grids = {name: torch.as_tensor(self.part.table.padded(values)[rows]) for name, values in arms.items()}
        for start in range(0, len(rows), BATCH):
            part = slice(start, start + BATCH)
            which = torch.as_tensor(chosen[part])
            base, mask = pool.hidden[which], pool.mask[which]
            log_p = self._log_probabilities(base, mask)
            for name, grid in grids.items():
                set_to, where = grid[part].to(base.dtype), scored[part]

                def edit(values: Tensor, set_to: Tensor = set_to, where: Tensor = where) -> Tensor:
                    edited = values.clone()
                    edited[..., unit.index] = torch.where(where, set_to, values[..., unit.index])
                    return edited

                with self.subject.edit(unit.site, edit):
                    after = self.subject.forward_from(unit.site.layer, pool.below[unit.site.layer][which], mask)
                log_q = self._log_probabilities(after, mask)
                j[name].append(_per_excerpt(_jensen_shannon(log_p, log_q), mask))
        return Divergences(
            {name: np.concatenate(parts) for name, parts in j.items()},
            rows,
            self.part.table.documents[rows],
            weights,
            pool.floor[chosen],
        )

    def _divergence(self, one: Tensor, other: Tensor, mask: Tensor) -> NDArray[np.float64]:
        p, q = (self._log_probabilities(hidden, mask) for hidden in (one, other))
        return _per_excerpt(_jensen_shannon(p, q), mask)

    def _log_probabilities(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Next-token log-probabilities (real tokens, vocabulary) in fp32."""
        return torch.log_softmax(self.subject.unembed(hidden[mask.bool()]).float(), -1)


def inclusion(share: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Inclusion probabilities proportional to ``share`` that sum to ``count``; what would exceed 1 is taken surely."""
    chance = np.zeros(len(share))
    sure = np.zeros(len(share), dtype=bool)
    while True:
        left = count - sure.sum()
        chance[~sure] = share[~sure] / share[~sure].sum() * left
        chance[sure] = 1
        over = (chance > 1) & ~sure
        if not over.any():
            return chance
        sure |= over


def _jensen_shannon(log_p: Float[Tensor, "n v"], log_q: Float[Tensor, "n v"]) -> Float[Tensor, " n"]:
    """Jensen-Shannon divergence in nats of each pair of rows.

    With d = log q - log p and m the midpoint: log(p / m) = log 2 - log(1 + exp d), and the like for q; the two are
    taken together so that nearly equal distributions lose no digits.
    """
    d = log_q - log_p
    p = log_p.exp()
    to_p = -torch.log1p(torch.expm1(d).mul_(0.5))  # log p/m
    total = (p * (to_p + torch.exp(d) * (to_p + d))).sum(-1, dtype=torch.float64)
    return total.mul_(0.5).clamp_min_(0)


def _per_excerpt(j: Float[Tensor, " n"], mask: Tensor) -> NDArray[np.float64]:
    out = torch.zeros(mask.shape, dtype=torch.float64)
    out[mask.bool()] = j.cpu()
    return out.sum(1).numpy()
