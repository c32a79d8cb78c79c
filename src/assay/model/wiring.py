"""What MLPs read from the residual stream and write to it, as vectors in the residual, and who comes before whom.

The gain of the norm in front of an MLP is folded into what its neurons read, and where that norm takes the mean off
(LayerNorm) so do these vectors: a neuron's pre-activation is then a product with the residual itself, divided by the
norm's scale, plus a constant. What a neuron writes carries the gain of the norm behind the MLP, if there is one.
The model itself is not changed. After Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits", where
products of what one part writes and another reads are called virtual weights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from assay.core.ids import MODULE, SiteId
from assay.model import large
from assay.model.sitemap import FORWARD_ORDER, submodule

if TYPE_CHECKING:
    from assay.model.subject import Subject

_BRANCHES = ({"head", "attn_out"}, {"mlp_act", "mlp_out"})


@dataclass(frozen=True)
class Norm:
    """A norm's gain (d_model,), whether it takes the mean off, and what it adds to the square of its scale."""

    gain: Float[Tensor, " d_model"]
    centred: bool
    epsilon: float

    def scaled(self, residual: Float[Tensor, "*tokens d_model"]) -> Float[Tensor, "*tokens d_model"]:
        """The residual divided by its scale, and centred if the norm centres; without gain and bias."""
        if self.centred:
            residual = residual - residual.mean(-1, keepdim=True)
        return residual * self.inverse_scale(residual)[..., None]

    def inverse_scale(self, residual: Float[Tensor, "*tokens d_model"]) -> Float[Tensor, "*tokens"]:
        """One over the scale at each token: one over the root of the mean square, or of the variance."""
        if self.centred:
            residual = residual - residual.mean(-1, keepdim=True)
        return torch.rsqrt(residual.square().mean(-1) + self.epsilon)


class Share(NamedTuple):
    """One of ``of`` equal parts of what a module gives, along the last axis."""

    site: SiteId
    number: int
    of: int

    def take(self, output: Float[Tensor, "*tokens width"]) -> Float[Tensor, "*tokens neurons"]:
        """The part of the module's output."""
        return output.chunk(self.of, -1)[self.number]


@dataclass(frozen=True)
class Reading:
    """How the MLP of a layer reads the residual.

    ``site``: what it reads. ``matrices``: by name ("gate" and "up", or "in"), (neurons, d_model) float32.
    A pre-activation is ``matrix @ scaled(residual)`` plus a constant. ``norm`` is None where none stands before.
    ``shares``: by the same names, where the model itself computes the pre-activations, constant and all.
    """

    site: SiteId
    matrices: Mapping[str, Float[Tensor, "neurons d_model"]]
    norm: Norm | None
    shares: Mapping[str, Share]

    def scaled(self, residual: Float[Tensor, "*tokens d_model"]) -> Float[Tensor, "*tokens d_model"]:
        """What the matrices are multiplied with."""
        return residual if self.norm is None else self.norm.scaled(residual)

    def inverse_scale(self, residual: Float[Tensor, "*tokens d_model"]) -> Float[Tensor, "*tokens"]:
        """What a small change of the residual is multiplied by, the change of the scale itself left out."""
        return residual.new_ones(residual.shape[:-1]) if self.norm is None else self.norm.inverse_scale(residual)


def reading(subject: Subject, layer: int) -> Reading:
    """How the MLP of a layer reads the residual.

    Raises:
        UnknownName: no such layer.
    """
    row = subject._row
    site = SiteId(layer, "resid_pre" if subject.parallel else "resid_mid")
    subject.check_site(site)
    module = subject._layers[layer]
    norm = _norm(subject, row.mid, layer)
    parts, taken = Counter(row.mlp_in.values()), Counter[str]()
    matrices: dict[str, Tensor] = {}
    shares: dict[str, Share] = {}
    for name, path in row.mlp_in.items():
        weight = large.weight_of(submodule(module, path, row.architecture)).float()
        part = (weight.T if row.transposed else weight).chunk(parts[path])[taken[path]]
        shares[name] = Share(SiteId(layer, MODULE + path), taken[path], parts[path])
        taken[path] += 1
        if norm is not None:
            part = part * norm.gain
            part = part - part.mean(-1, keepdim=True) if norm.centred else part
        matrices[name] = part
    return Reading(site, matrices, norm, shares)


def post_norm(subject: Subject, layer: int) -> Norm | None:
    """The norm between the MLP's last matrix and the residual, of OLMo 2 and Gemma; None elsewhere."""
    return _norm(subject, subject._row.mlp_out, layer)


def written(subject: Subject, layer: int) -> Float[Tensor, "neurons d_model"]:
    """What each neuron of a layer writes per unit of activation, float32; before the scale of a norm that follows.

    Raises:
        UnknownName: no such layer.
    """
    vectors = subject.write_matrix(SiteId(layer, "mlp_act")).float().T
    norm = post_norm(subject, layer)
    return vectors if norm is None else vectors * norm.gain


def reaches(first: SiteId, then: SiteId, parallel: bool) -> bool:
    """Whether what happens at ``first`` can change ``then``: later layers, and later sites of its own layer.

    Where attention and MLP of a layer read the same residual (``parallel``), neither reaches the other.
    """
    if first.layer != then.layer:
        return first.layer < then.layer
    if parallel and any(first.kind in one and then.kind in other for one, other in (_BRANCHES, _BRANCHES[::-1])):
        return False
    return FORWARD_ORDER.index(first.kind) < FORWARD_ORDER.index(then.kind)


def _norm(subject: Subject, path: str, layer: int) -> Norm | None:
    """The norm at an attribute path of a layer; None if what stands there is none."""
    module: Any = submodule(subject._layers[layer], path, subject.architecture)
    weight = getattr(module, "weight", None)
    if weight is None or weight.ndim != 1:
        return None
    gain = large.weight_of(module).float()
    epsilon = float(module.eps if hasattr(module, "eps") else module.variance_epsilon)
    return Norm(gain + 1 if subject._row.unit_gain else gain, isinstance(module, nn.LayerNorm), epsilon)
