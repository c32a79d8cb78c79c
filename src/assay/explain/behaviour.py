"""Does the model go on as before when a unit is replaced by its prediction?

The subject runs in fp32 on excerpts of the test split with the unit set, at every position that counts, to what an
arm says; J is the Jensen-Shannon divergence (nats) of the next-token distributions from the unedited run, summed over
positions. Residuals below the unit's layer are cached once; only the layers from there upwards run again.

Excerpts, the first tokens of windows, are drawn for each unit from a pool with one window a document, with
probability proportional to how much the unit varies there, and weighted back by its inverse (Horvitz and Thompson), so
that rare firings are seen and the sum still stands for the text at its natural frequency.

Layers run in fp32: effects are a hundredth of the residual's spread and drown in bf16. What the edit changes may go
through their matrices in bf16, see :mod:`assay.model.changes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from assay.core.ids import SiteId, UnitId
from assay.explain.divergences import ChangeOfLogits
from assay.model.changes import Changes, arithmetic

if TYPE_CHECKING:
    from assay.explain.material import Part, Progress
    from assay.model import Subject
    from assay.model.units import Units

BATCH = 24  # excerpts at once: all of a unit's, for small products are slow
PADDING = 8


class Size(NamedTuple):
    """How much is run: windows in the pool, excerpts of a unit, and tokens of each."""

    pool: int = 64
    excerpts: int = 22
    length: int = 32


SIZE = Size()


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
    floor: NDArray[np.float64]


class Behaviour:
    """Behaviour runs of one subject on one test split.

    Args:
        subject: in fp32.
        part: the test split.
        layers: layers whose units will be edited.
        seed: of the pool, of the draws and of the noise.
        size: of the pool and of the excerpts.
    """

    def __init__(
        self, subject: Subject, part: Part, layers: set[int], seed: int, progress: Progress, size: Size = SIZE
    ) -> None:
        self.subject, self.part, self.seed, self.size = subject, part, seed, size
        self._change, self._passes = ChangeOfLogits(subject), Changes(subject)
        self._pool = self._fill(layers, progress)

    @torch.inference_mode()
    def _fill(self, layers: set[int], progress: Progress) -> _Pool:
        table, rng = self.part.table, np.random.default_rng([self.seed, 1])
        _, first, count = np.unique(table.documents, return_index=True, return_counts=True)
        chosen = rng.permutation(len(first))[: self.size.pool]
        rows = first[chosen] + rng.integers(count[chosen])
        longest_first = np.argsort(-table.lengths[rows], kind="stable")
        rows, weights = rows[longest_first], count[chosen][longest_first].astype(float)
        text = table.ids[rows, : self.size.length]
        ids = torch.as_tensor(np.maximum(text, 0), dtype=torch.long)
        mask = torch.as_tensor(text >= 0, dtype=torch.long)
        sites = [SiteId(layer, "resid_pre") for layer in sorted(layers)]
        below: dict[int, list[Tensor]] = {layer: [] for layer in layers}
        floor: list[NDArray[np.float64]] = []
        how = arithmetic(self.subject)
        for start in range(0, len(rows), BATCH):
            progress(f"unedited pass (effects in {how}: all in bf16 would drown them)", start / len(rows))
            part = slice(start, start + BATCH)
            with self.subject.capture(sites) as seen:
                hidden = self.subject.hidden(ids[part], mask[part])
            for layer, site in zip(sorted(layers), sites, strict=True):
                below[layer].append(seen[site].clone())
            # padding on the right leaves every bit as it was: on the left, the sums run in another order
            padded = (torch.nn.functional.pad(values[part], (PADDING, 0)) for values in (ids, mask))
            again = self.subject.hidden(*padded)[:, PADDING:]
            floor.append(_per_excerpt(self._change.divergence(hidden, again, mask[part]), mask[part]))
        return _Pool(
            rows,
            weights,
            ids,
            mask,
            {layer: torch.cat(parts) for layer, parts in below.items()},
            np.concatenate(floor),
        )

    def draw(self, activations: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Places in the pool and weights for one unit: systematic sampling, proportional to its variation there.

        Args:
            activations: (tokens,) the unit's on the test split, flat.
        """
        size = len(self._pool.rows)
        grid = self.part.table.padded(np.where(self.part.scored, activations - activations[self.part.scored].mean(), 0))
        energy = (grid[self._pool.rows, : self.size.length].astype(float) ** 2).sum(1) * self._pool.weights
        if size <= self.size.excerpts:
            return np.arange(size), self._pool.weights
        chance = 0.5 * energy / max(energy.sum(), 1e-30) + 0.5 * self._pool.weights / self._pool.weights.sum()
        chance = inclusion(chance, self.size.excerpts)
        rng = np.random.default_rng([self.seed, 2])
        order = rng.permutation(size)
        marks = np.floor(np.concatenate([[0.0], np.cumsum(chance[order])]) + rng.random())
        chosen = np.sort(order[np.diff(marks) > 0])
        return chosen, self._pool.weights[chosen] / chance[chosen]

    def excerpts(self, activations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Rows of the test table whose first tokens a unit with these activations, (tokens,) flat, is run on."""
        return self._pool.rows[self.draw(activations)[0]]

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
        table, length = self.part.table, self.size.length
        scored = torch.as_tensor(table.padded(self.part.scored, False)[rows, :length])
        j: dict[str, list[NDArray[np.float64]]] = {name: [] for name in arms}
        grids = {
            name: torch.as_tensor(self.part.table.padded(values)[rows, : self.size.length])
            for name, values in arms.items()
        }
        for part in np.array_split(np.arange(len(rows)), -(-len(rows) // BATCH)):
            which = torch.as_tensor(chosen[part])
            below, mask = pool.below[unit.site.layer][which], pool.mask[which]
            with self._passes.unedited():
                base = self.subject.forward_from(unit.site.layer, below, mask)
            after: list[Tensor] = []
            for grid in grids.values():
                edit = _setting(self.subject.units, unit, grid[part], scored[part])
                with self.subject.edit(unit.site, edit), self._passes.edited():
                    after.append(self.subject.forward_from(unit.site.layer, below, mask))
            self._passes.forget()
            for name, values in zip(grids, self._change.divergences(base, after, mask), strict=True):
                j[name].append(_per_excerpt(values, mask))
        return Divergences(
            {name: np.concatenate(parts) for name, parts in j.items()},
            rows,
            table.documents[rows],
            weights,
            pool.floor[chosen],
        )


def _setting(units: Units, unit: UnitId, set_to: Tensor, where: Tensor) -> Callable[[Tensor], Tensor]:
    """An edit that sets one unit of a site (windows, length, width) where ``where`` holds."""

    def edit(values: Tensor) -> Tensor:
        return torch.where(where.to(values.device)[..., None], units.put(unit, values, set_to), values)

    return edit


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


def _per_excerpt(j: Float[Tensor, " n"], mask: Tensor) -> NDArray[np.float64]:
    out = torch.zeros(mask.shape, dtype=torch.float64)
    out[mask.bool()] = j.cpu()
    return out.sum(1).numpy()
