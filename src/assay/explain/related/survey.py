"""One unedited pass over the fit split: what every unit around this one does there, and what the MLPs read."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from assay.core.ids import SiteId, UnitId
from assay.errors import ActivationError, UsageError
from assay.explain.material import Progress
from assay.explain.related.moments import Carried, Carry, Intake, Moments, Products
from assay.explain.related.text import Text
from assay.model.wiring import post_norm, reaches, reading

if TYPE_CHECKING:
    from assay.model import Subject

UNITS = ("mlp_act", "head")


@dataclass(frozen=True)
class Around:
    """The sites of neurons and heads that stand before a unit and behind it, in the order of a pass."""

    before: tuple[SiteId, ...]
    behind: tuple[SiteId, ...]

    @classmethod
    def of(cls, subject: Subject, unit: UnitId) -> Around:
        """Found from the order in which a pass computes sites."""
        sites = [site for site in subject.sites() if site.kind in UNITS]
        parallel = subject.parallel
        return cls(
            tuple(site for site in sites if reaches(site, unit.site, parallel)),
            tuple(site for site in sites if reaches(unit.site, site, parallel)),
        )


@dataclass(frozen=True)
class Survey:
    """Moments over the tokens of the fit split that count.

    ``unit_mean``, ``unit_sd``: of the unit itself. ``means``: by site, its own among them, of the tensor's coordinates.
    ``unit_means`` and ``sds``: of its units; at ``head`` the norms of what heads write. ``intakes``: by layer, of the
    MLPs that the unit reaches, and of its own if it is a neuron. ``onwards``: by layer, the unit carried to what that
    MLP reads. ``arriving``: by site, earlier neurons carried to what the unit reads. ``seconds``: of the pass alone.
    """

    unit_mean: float
    unit_sd: float
    means: dict[SiteId, Tensor]
    unit_means: dict[SiteId, Tensor]
    sds: dict[SiteId, Tensor]
    intakes: dict[int, Intake]
    onwards: dict[int, Carried]
    arriving: dict[SiteId, Carried]
    seconds: float


@torch.inference_mode()
def survey(subject: Subject, text: Text, unit: UnitId, around: Around, progress: Progress) -> Survey:
    """Run the text through the model once and gather the moments.

    Raises:
        UsageError: the unit has the same value on every token.
        ActivationError: a value is not finite.
    """
    sums, seconds = _Sums(subject, unit, around), 0.0
    for batch in text.batches():
        progress("unedited pass over the fit split", batch.start / len(text.ids))
        began = time.perf_counter()
        with subject.capture(sums.wanted) as seen:
            subject.hidden(text.ids[batch], text.mask[batch])
        seconds += time.perf_counter() - began
        where = text.scored[batch].flatten().nonzero()[:, 0].to(subject.device)
        sums.add({site: tensor.flatten(0, 1)[where] for site, tensor in seen.items()})
    if not sums.varies:
        raise UsageError(
            f"{unit} has the same value on all {text.n_scored:,} tokens of the fit split, so nothing can be said of "
            "what moves it or what it moves; ask for another unit, or for more --tokens"
        )
    return sums.survey(seconds)


class _Sums:
    """What is gathered of each batch. Sites are as in a pass; ``wanted`` are those to capture."""

    def __init__(self, subject: Subject, unit: UnitId, around: Around) -> None:
        self.subject, self.unit, self.own = subject, unit, Moments()
        self.is_neuron = unit.site.kind == "mlp_act"
        sources = [site for site in around.before if site.kind == "mlp_act"]
        targets = [site.layer for site in around.behind if site.kind == "mlp_act"]
        readers = [unit.site.layer, *targets] if self.is_neuron else targets
        self.readers = {layer: reading(subject, layer) for layer in readers}
        writers = {site.layer for site in sources} | ({unit.site.layer} if self.is_neuron else set())
        self.norms = {layer: norm for layer in writers if (norm := post_norm(subject, layer)) is not None}
        self.tensors = {site: Moments() for site in (*around.before, unit.site, *around.behind)}
        self.heads = {site: Moments() for site in self.tensors if site.kind == "head"}
        self.products = {layer: Products() for layer in readers}
        self.onwards = {layer: Carry() for layer in targets}
        self.arriving = {site: Carry() for site in sources}
        read = {how.site for how in self.readers.values()}
        self.wanted = {*self.tensors, *read, *(SiteId(layer, "mlp_act") for layer in readers)}

    def add(self, flat: dict[SiteId, Tensor]) -> None:
        """One batch: by site, (tokens, width), only the tokens that count."""
        units, unit = self.subject.units, self.unit
        _check_finite(self.subject, unit, flat[unit.site])
        values = units.values(unit.site, flat[unit.site], [unit.index])
        self.own.add(values)
        for site, moments in self.tensors.items():
            moments.add(flat[site])
        for site, moments in self.heads.items():
            moments.add(units.values(site, flat[site]))
        for layer, products in self.products.items():
            how = self.readers[layer]
            products.add(how.scaled(flat[how.site]), flat[SiteId(layer, "mlp_act")])
        layer = unit.site.layer
        out = self._out_of(layer, flat) if self.is_neuron else values.new_ones(len(values))
        for target, carry in self.onwards.items():
            carry.add(values, out * self._into(target, flat))
        into = self._into(layer, flat) if self.is_neuron else values.new_ones(len(values))
        for site, carry in self.arriving.items():
            carry.add(flat[site], self._out_of(site.layer, flat) * into)

    @property
    def varies(self) -> bool:
        """Whether the unit does; a head does if its slice does, though its norm stay the same."""
        site, index = self.unit
        if site.kind != "head" or isinstance(index, str):
            return float(self.own.sd[0]) > 0
        return bool(self.tensors[site].sd.unflatten(0, (self.subject.n_heads, -1))[index].any())

    def _into(self, layer: int, flat: dict[SiteId, Tensor]) -> Tensor:
        """(tokens,) what the norm in front of a layer's MLP multiplies by, gain left out."""
        how = self.readers[layer]
        return how.inverse_scale(flat[how.site])

    def _out_of(self, layer: int, flat: dict[SiteId, Tensor]) -> Tensor:
        """(tokens,) what the norm behind a layer's MLP multiplies by, gain left out: 1 where there is none."""
        norm, activations = self.norms.get(layer), flat[SiteId(layer, "mlp_act")]
        if norm is None:
            return activations.new_ones(len(activations))
        return norm.inverse_scale(activations @ self.subject.write_matrix(SiteId(layer, "mlp_act")).T)

    def survey(self, seconds: float) -> Survey:
        """The moments."""
        units = self.tensors | self.heads
        return Survey(
            unit_mean=float(self.own.mean[0]),
            unit_sd=float(self.own.sd[0]),
            means={site: moments.mean for site, moments in self.tensors.items()},
            unit_means={site: moments.mean for site, moments in units.items()},
            sds={site: moments.sd for site, moments in units.items()},
            intakes={layer: products.intake() for layer, products in self.products.items()},
            onwards={layer: carry.carried() for layer, carry in self.onwards.items()},
            arriving={site: carry.carried() for site, carry in self.arriving.items()},
            seconds=seconds,
        )


def _check_finite(subject: Subject, unit: UnitId, tensor: Tensor) -> None:
    if not bool(tensor.isfinite().all()):
        raise ActivationError(f"{subject.name} gives NaN or infinite values at {unit.site}; try --dtype fp32")
