"""What changes in other units when one is held at its mean: passes in fp32, only the layers above, per document.

The change is the unedited value less the ablated one: what the unit's deviation from its mean contributes. A neuron or
a direction is set to its mean, at every token that counts; of a head, whose unit is a norm, the slice itself is set to
its mean. Nulls put the very same contribution elsewhere: each token's change of the residual is kept in length and
time course and turned by one random rotation, or written along another neuron's vector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from assay.core.ids import SiteId, UnitId
from assay.explain.material import Progress
from assay.explain.related.survey import Survey
from assay.explain.related.text import Text
from assay.model.changes import Changes

if TYPE_CHECKING:
    from assay.model import Subject
    from assay.model.hooks import Edit

_ENTRY = {"mlp_act": "mlp_out", "head": "attn_out"}


class Change(NamedTuple):
    """Sums over the tokens of each document that count.

    ``square``: (documents, units) of the squared change. ``product``: of the change times the ablated unit's
    deviation from its mean. ``deviation``: (documents, units or 1) of the square of that deviation.
    """

    square: NDArray[np.float64]
    product: NDArray[np.float64]
    deviation: NDArray[np.float64]

    def take(self, index: int) -> Change:
        """One unit of the site."""
        own = slice(index, index + 1)
        return Change(self.square[:, own], self.product[:, own], self.deviation[:, own if self._each else slice(None)])

    @property
    def _each(self) -> bool:
        return self.deviation.shape == self.square.shape


class Moved(NamedTuple):
    """What holding an earlier unit at its mean did to one unit, and ``beside`` to all units of its site with a number.

    ``beside``: (units,) squared changes, summed over all tokens that count.
    """

    change: Change
    beside: NDArray[np.float64]


class Null(NamedTuple):
    """What one null did: ``kind`` is "random" or "other_unit", ``square`` (units,) by site, summed over all tokens."""

    kind: str
    square: dict[SiteId, NDArray[np.float64]]


@dataclass
class Ablation:
    """One unit held at its mean.

    ``deviation`` is the unit's value less its mean, zero where no token counts.
    """

    subject: Subject
    unit: UnitId
    found: Survey

    @property
    def mean(self) -> float:
        """Of the unit's own value."""
        site, index = self.unit
        return float(self.found.unit_means[site][index]) if isinstance(index, int) else self.found.unit_mean

    def edit(self, scored: Tensor) -> Edit:
        """An edit of the unit's site (windows, length, width) where ``scored`` holds."""

        def held(tensor: Tensor) -> Tensor:
            where = scored.to(tensor.device)
            return torch.where(where[..., None], self._held(tensor), tensor)

        return held

    def deviation(self, tensor: Tensor, scored: Tensor) -> Float[Tensor, "windows length"]:
        """From the site's unedited tensor."""
        values = self.subject.units.values(self.unit.site, tensor, [self.unit.index])[..., 0]
        return torch.where(scored.to(values.device), values - self.mean, 0)

    def _held(self, tensor: Tensor) -> Tensor:
        site, index = self.unit
        if site.kind != "head" or isinstance(index, str):
            return self.subject.units.put(self.unit, tensor, tensor.new_full(tensor.shape[:-1], self.mean))
        size = tensor.shape[-1] // self.subject.n_heads
        part = slice(index * size, (index + 1) * size)
        held = tensor.clone()
        held[..., part] = self.found.means[site][part].to(tensor)
        return held


class Ablations:
    """Ablations on one text.

    Args:
        subject: in fp32.
        found: the moments, from the fit split.
    """

    def __init__(self, subject: Subject, text: Text, found: Survey, progress: Progress) -> None:
        self.subject, self.text, self.found, self.progress = subject, text, found, progress
        self.layers_run = 0  # times the tokens of the text
        self._passes = Changes(subject)

    @torch.inference_mode()
    def downstream(
        self, unit: UnitId, watched: Sequence[SiteId], nulls: Mapping[str, Callable[[Tensor], Tensor]]
    ) -> tuple[dict[SiteId, Change], list[Null]]:
        """Hold one unit at its mean and watch every unit of later sites.

        ``nulls`` map, by name ("random-0"), the change of the residual (..., d_model) to another one.
        """
        site, layer = unit.site, unit.site.layer
        entry = SiteId(layer, _ENTRY.get(site.kind, site.kind))
        ablation, counts = Ablation(self.subject, unit, self.found), self._counts(watched)
        windows = len(self.text.ids)
        square, product = ({at: np.zeros((windows, n), np.float32) for at, n in counts.items()} for _ in range(2))
        deviations = np.zeros(windows)
        sums = {name: {at: np.zeros(n) for at, n in counts.items()} for name in nulls}
        for batch in self.text.batches():
            self.progress(f"ablating {unit}, {len(nulls)} nulls beside it", batch.start / windows)
            mask, scored = self.text.mask[batch], self.text.scored[batch].to(self.subject.device)
            below = self._below(layer, batch)
            with self.subject.capture({site, entry, *watched}) as seen:
                with self._passes.unedited():
                    self.subject.forward_from(layer, below, mask)
                base = dict(seen)
                with self.subject.edit(site, ablation.edit(scored)), self._passes.edited():
                    self.subject.forward_from(layer, below, mask)
                deviation = ablation.deviation(base[site], scored)
                deviations[batch] = deviation.double().square().sum(1).cpu().numpy()
                for at in watched:
                    change = self._change(at, base, seen, scored)
                    square[at][batch] = change.square().sum(1).cpu().numpy()
                    product[at][batch] = torch.einsum("wtn,wt->wn", change, deviation.to(change)).cpu().numpy()
                added = base[entry] - seen[entry]
                for name, turn in nulls.items():
                    turned = turn(added)
                    with self.subject.edit(entry, lambda t, turned=turned: t - turned), self._passes.edited():
                        self.subject.forward_from(layer, below, mask)
                    for at in watched:
                        change = self._change(at, base, seen, scored)
                        sums[name][at] += _squares(change)
            self._passes.forget()
        self.layers_run += layer + (2 + len(nulls)) * (self.subject.n_layers - layer)
        by_document = self.text.by_document
        changes = {
            at: Change(by_document(square[at]), by_document(product[at]), by_document(deviations[:, None]))
            for at in watched
        }
        return changes, [Null(name.partition("-")[0], sums[name]) for name in nulls]

    @torch.inference_mode()
    def upstream(self, unit: UnitId, sources: Sequence[UnitId]) -> dict[UnitId, Moved]:
        """Hold each of some earlier units at its mean, one at a time, and watch one unit and the others of its site."""
        if not sources:
            return {}
        layers = sorted({source.site.layer for source in sources})
        stop, windows = unit.site.layer + 1, len(self.text.ids)
        ablations = [Ablation(self.subject, source, self.found) for source in sources]
        square, product, deviations = (np.zeros((len(sources), windows)) for _ in range(3))
        beside = np.zeros((len(sources), self.subject.units.count(unit.site)))
        starts = {SiteId(layer, "resid_pre") for layer in layers}
        for batch in self.text.batches():
            mask, scored = self.text.mask[batch], self.text.scored[batch].to(self.subject.device)
            below = self._below(layers[0], batch)
            with self.subject.capture({unit.site, *starts, *(s.site for s in sources)}) as seen:
                with self._passes.unedited():
                    self.subject.advance(layers[0], stop, below, mask)
                base = dict(seen)
            real = self._value(unit, base)
            for i, (source, ablation) in enumerate(zip(sources, ablations, strict=True)):
                self.progress(f"ablating {source}", (batch.start + i / len(sources) * len(mask)) / windows)
                start = base[SiteId(source.site.layer, "resid_pre")]
                edit = self.subject.edit(source.site, ablation.edit(scored))
                with self.subject.capture([unit.site]) as seen, edit, self._passes.edited():
                    self.subject.advance(source.site.layer, stop, start, mask)
                change = torch.where(scored, real - self._value(unit, seen), 0).double()
                deviation = ablation.deviation(base[source.site], scored).double()
                for sums, values in ((square, change**2), (product, change * deviation), (deviations, deviation**2)):
                    sums[i, batch] = values.sum(1).cpu().numpy()
                beside[i] += _squares(self._change(unit.site, base, seen, scored))
            self._passes.forget()
        self.layers_run += stop + sum(stop - source.site.layer for source in sources)
        by_document = self.text.by_document
        return {
            source: Moved(Change(*(by_document(sums[i][:, None]) for sums in (square, product, deviations))), beside[i])
            for i, source in enumerate(sources)
        }

    def _counts(self, sites: Sequence[SiteId]) -> dict[SiteId, int]:
        return {site: self.subject.units.count(site) for site in sites}

    def _below(self, layer: int, batch: slice) -> Tensor:
        site = SiteId(layer, "resid_pre")
        return self.subject.activations(self.text.ids[batch], self.text.mask[batch], [site])[site]

    def _value(self, unit: UnitId, seen: Mapping[SiteId, Tensor]) -> Tensor:
        return self.subject.units.values(unit.site, seen[unit.site], [unit.index])[..., 0]

    def _change(
        self, at: SiteId, base: Mapping[SiteId, Tensor], seen: Mapping[SiteId, Tensor], where: Tensor
    ) -> Tensor:
        """(windows, length, units), zero where no token counts."""
        before, after = (self.subject.units.values(at, tensors[at]) for tensors in (base, seen))
        return (before - after) * where[..., None]


def _squares(change: Tensor) -> NDArray[np.float64]:
    """(units,) the sum of squares of (windows, length, units)."""
    return change.flatten(0, 1).norm(dim=0).square().double().cpu().numpy()
