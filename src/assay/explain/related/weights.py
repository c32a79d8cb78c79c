"""What the weights say of one unit and the neurons before and behind it: the direct path between two, and no other.

A neuron writes a vector into the residual; a later MLP divides the residual by its scale and multiplies it with its
matrices. So the writer's deviation from its mean moves a pre-activation of the reader by ``deviation / scale * (write .
read)``, of which the root mean square over the tokens is given for each input of the reader (gate and up, or the one
there is), in that input's standard deviations, sqrt(read' C read) with C the covariance of what is read. *Strength* is
the root of the sum of their squares. *Net* is the change of the reader's activation for one standard deviation of the
writer, in standard deviations of the reader and with a sign, by the best linear reading: the least-squares regression
of the activation on its inputs. (For Gaussian inputs its coefficients are the mean derivatives, by Stein's lemma.) The
sign of an input alone is not that of the effect: where a gate is mostly shut, the slope of the other input is negative.

Nulls are random vectors in the place of what the unit writes, of equal length, or of what it reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from assay.core.ids import SiteId, UnitId
from assay.explain.related.moments import Intake
from assay.explain.related.survey import Around, Survey
from assay.model.wiring import reading, written

if TYPE_CHECKING:
    from assay.model import Subject

DRAWS = 16
LEVEL = 0.95


class Site(NamedTuple):
    """One site's neurons against the unit.

    ``inputs`` and ``cosines``: (inputs, neurons), standardised and as bare cosines. ``net``: (neurons,).
    ``null_strength`` and ``null_net``: (draws, neurons).
    """

    inputs: NDArray[np.float32]
    cosines: NDArray[np.float32]
    net: NDArray[np.float32]
    null_strength: NDArray[np.float32]
    null_net: NDArray[np.float32]

    @property
    def strength(self) -> NDArray[np.float32]:
        """(neurons,)"""
        return np.hypot.reduce(self.inputs, axis=0)


@dataclass(frozen=True)
class Weights:
    """One direction, upstream or downstream: by site, in the order of a pass. ``names`` are those of the inputs.

    ``others``: (units,) the greatest strength that other neurons of the unit's layer have there; empty if it is none.
    """

    names: tuple[str, ...]
    sites: dict[SiteId, Site]
    others: NDArray[np.float32]

    @property
    def null_best(self) -> float:
        """What the strongest of all neurons reaches in 95 of 100 random draws at most."""
        best = np.max([site.null_strength.max(1) for site in self.sites.values()], axis=0)
        return float(np.quantile(best, LEVEL))


class _Reader(NamedTuple):
    """Vectors that give what neurons take in, standardised: (inputs, neurons, d_model), and net, (neurons, d_model)."""

    names: tuple[str, ...]
    inputs: Tensor
    net: Tensor


def downstream(subject: Subject, unit: UnitId, around: Around, found: Survey, seed: int) -> Weights | None:
    """What the weights say that the unit does to later neurons; None where it has no one vector that it writes."""
    vector = _writes(subject, unit)
    sites = [site for site in around.behind if site.kind == "mlp_act"]
    if vector is None or not sites:
        return None
    rng = np.random.default_rng([seed, 11])
    random = slice(1, 1 + DRAWS)
    columns = torch.cat(
        [vector[None], _random_like(vector[None].expand(DRAWS, -1), rng), _other_writes(subject, unit, rng)]
    )
    names: tuple[str, ...] = ()
    made: dict[SiteId, Site] = {}
    best: list[NDArray[np.float32]] = []
    for site in sites:
        reader = _readers(subject, site.layer, slice(None), found, found.sds[site])
        names, carried = reader.names, found.onwards[site.layer]
        inputs, net = reader.inputs @ columns.T * carried.spread, reader.net @ columns.T * carried.slope
        strength = inputs.norm(dim=0).T.numpy()
        made[site] = Site(
            inputs[..., 0].numpy(),
            _cosines(reader.inputs @ vector, reader.inputs, vector),
            net[:, 0].numpy(),
            strength[random],
            net.T[random].numpy(),
        )
        best.append(strength[1 + DRAWS :].max(1))
    return Weights(names, made, np.max(best, axis=0))


def upstream(subject: Subject, unit: UnitId, around: Around, found: Survey, seed: int) -> Weights | None:
    """What the weights say that earlier neurons do to the unit; None where it reads no one place in the residual."""
    sites = _direct_sources(unit, around)
    own = _reads(subject, unit, found) if sites else None
    if own is None:
        return None
    rng = np.random.default_rng([seed, 12])
    vectors = own.inputs[:, 0]
    random = _random_like(own.inputs.expand(-1, DRAWS, -1), rng)
    if (intake := found.intakes.get(unit.site.layer)) is not None and unit.site.kind == "mlp_act":
        random = _standardised(random, intake)
    others = _other_readers(subject, unit, found, rng)
    made: dict[SiteId, Site] = {}
    best: list[NDArray[np.float32]] = []
    for site in sites:
        rows, carried = written(subject, site.layer).cpu(), found.arriving[site]
        products = torch.einsum("ikd,nd->ikn", torch.cat([vectors[:, None], random, others], 1), rows)
        inputs = products * carried.spread
        strength = inputs.norm(dim=0).numpy()
        made[site] = Site(
            inputs[:, 0].numpy(),
            _cosines(products[:, 0], vectors[:, None], rows),
            (rows @ own.net[0] * carried.slope).numpy(),
            strength[1 : 1 + DRAWS],
            (products[0, 1 : 1 + DRAWS] * carried.slope).numpy(),
        )
        best.append(strength[1 + DRAWS :].max(1))
    return Weights(own.names, made, np.max(best, axis=0))


def _cosines(products: Tensor, a: Tensor, b: Tensor) -> NDArray[np.float32]:
    """Products of vectors (..., d_model) over their lengths; 0 where one is zero."""
    return (products / (a.norm(dim=-1) * b.norm(dim=-1)).clamp(min=1e-30)).numpy()


def _direct_sources(unit: UnitId, around: Around) -> list[SiteId]:
    """The neurons whose writes arrive at the unit without passing through another part."""
    neurons = [site for site in around.before if site.kind == "mlp_act"]
    if unit.site.kind == "attn_out":
        return []
    return [site for site in neurons if unit.site.kind != "mlp_out" or site.layer == unit.site.layer]


def _writes(subject: Subject, unit: UnitId) -> Tensor | None:
    """(d_model,) what the unit adds to the residual when it rises by 1; None where that is no one vector."""
    if unit.site.kind == "mlp_act" and isinstance(unit.index, int):
        return written(subject, unit.site.layer)[unit.index].cpu()
    vector = _along(subject, unit)
    return None if vector is None else vector / vector.square().sum()


def _along(subject: Subject, unit: UnitId) -> Tensor | None:
    """(d_model,) the vector that a coordinate or a direction of a site of the residual's width reads."""
    if unit.site.kind in ("mlp_act", "head"):
        return None
    if isinstance(unit.index, int):
        return torch.eye(subject.d_model)[unit.index]
    direction = subject.directions[unit]
    return torch.from_numpy(np.array(direction.vector)) * direction.scale


def _reads(subject: Subject, unit: UnitId, found: Survey) -> _Reader | None:
    """The unit as a reader of one row; None where what it reads is no one vector."""
    if unit.site.kind == "mlp_act" and isinstance(unit.index, int):
        own = slice(unit.index, unit.index + 1)
        return _readers(subject, unit.site.layer, own, found, torch.tensor([found.unit_sd]))
    vector = _along(subject, unit)
    if vector is None:
        return None
    rows = vector[None] / found.unit_sd
    return _Reader(("value",), rows[None], rows)


def _readers(subject: Subject, layer: int, which: slice | Tensor, found: Survey, sd: Tensor) -> _Reader:
    """Neurons of a layer, whose activations have these standard deviations; what never varies takes in nothing."""
    how, intake = reading(subject, layer), found.intakes[layer]
    rows = torch.stack([matrix[which].cpu() for matrix in how.matrices.values()])
    among = torch.einsum("ind,de,jne->nij", rows, intake.covariance, rows)
    with_activation = torch.einsum("nd,ind->ni", intake.cross[which], rows)
    slopes = torch.einsum("nij,nj->ni", torch.linalg.pinv(among, hermitian=True), with_activation)
    net = torch.einsum("ni,ind->nd", slopes, rows) / sd.float().clamp(min=1e-30)[:, None]
    alive = (sd > 0)[:, None]
    return _Reader(tuple(how.matrices), torch.where(alive, _standardised(rows, intake), 0), torch.where(alive, net, 0))


def _standardised(rows: Tensor, intake: Intake) -> Tensor:
    """Vectors (inputs, neurons, d_model) over the standard deviations of what they read; 0 for what never varies."""
    variance = torch.einsum("ind,de,ine->in", rows, intake.covariance, rows)
    least = 1e-10 * rows.square().sum(-1) * intake.covariance.diagonal().mean()
    return torch.where(variance > least, variance.clamp(min=1e-30).rsqrt(), 0)[..., None] * rows


def _others(unit: UnitId, count: int, rng: np.random.Generator) -> list[int]:
    """Some other neurons of the unit's layer; none if it is no neuron."""
    if unit.site.kind != "mlp_act" or isinstance(unit.index, str):
        return []
    return rng.permutation([i for i in range(count) if i != unit.index])[:DRAWS].tolist()


def _other_writes(subject: Subject, unit: UnitId, rng: np.random.Generator) -> Tensor:
    """(units, d_model) other neurons' vectors of the length of the unit's, so that only their directions differ."""
    if unit.site.kind != "mlp_act" or isinstance(unit.index, str):
        return torch.zeros(0, subject.d_model)
    vectors = written(subject, unit.site.layer).cpu()
    some = vectors[_others(unit, len(vectors), rng)]
    return some / some.norm(dim=-1, keepdim=True).clamp(min=1e-30) * vectors[unit.index].norm()


def _other_readers(subject: Subject, unit: UnitId, found: Survey, rng: np.random.Generator) -> Tensor:
    """(inputs, units, d_model) what other neurons of the unit's layer take in."""
    some = _others(unit, subject.width(unit.site), rng)
    if not some:
        return torch.zeros(1, 0, subject.d_model)
    return _readers(subject, unit.site.layer, torch.tensor(some), found, torch.ones(len(some))).inputs


def _random_like(vectors: Tensor, rng: np.random.Generator) -> Tensor:
    """Gaussian vectors of the same lengths."""
    drawn = torch.from_numpy(rng.normal(size=tuple(vectors.shape))).float()
    return drawn / drawn.norm(dim=-1, keepdim=True) * vectors.norm(dim=-1, keepdim=True)
