"""Where else a unit's contribution could go: what its ablation is set beside."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from assay.core.ids import UnitId
from assay.model.wiring import written

if TYPE_CHECKING:
    from assay.model import Subject

EACH = 2


def nulls(subject: Subject, unit: UnitId, seed: int) -> dict[str, Callable[[Tensor], Tensor]]:
    """By name, what makes another change of the residual (..., d_model) of the one that the unit makes.

    "random-i" turns it by a random rotation, of which there is one for all tokens. "other_unit-i" writes it along the
    vector of another neuron of the layer, for units that are neurons. Both keep its length at every token.
    """
    rng = np.random.default_rng([seed, 14])
    made: dict[str, Callable[[Tensor], Tensor]] = {}
    for i in range(EACH):
        made[f"random-{i}"] = _turn(_rotation(subject.d_model, rng))
    if unit.site.kind == "mlp_act" and isinstance(unit.index, int):
        vectors = written(subject, unit.site.layer)
        lengths = vectors.norm(dim=-1)
        others = [i for i in torch.nonzero(lengths).flatten().tolist() if i != unit.index and lengths[unit.index] > 0]
        for i, other in enumerate(rng.permutation(others)[:EACH]):
            own, along = (vectors[one] / lengths[one] for one in (unit.index, int(other)))
            made[f"other_unit-{i}"] = _redirect(own, along)
    return made


def _rotation(width: int, rng: np.random.Generator) -> Tensor:
    """A random orthogonal matrix, uniform: Q of a Gaussian matrix, its columns' signs drawn as well."""
    q, r = np.linalg.qr(rng.normal(size=(width, width)))
    return torch.from_numpy(q * np.sign(np.diag(r)))


def _turn(rotation: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda added: added @ rotation.to(added)


def _redirect(own: Tensor, along: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda added: (added @ own.to(added))[..., None] * along.to(added)
