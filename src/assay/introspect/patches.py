"""What a change of a neuron at the full stop adds to the residual after its layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from assay.core.ids import UnitId
from assay.introspect.kept import Batch
from assay.model.past import step

if TYPE_CHECKING:
    from assay.model import Subject


@torch.no_grad()
def patches(
    subject: Subject, units: Sequence[UnitId], batch: Batch, change: Float[Tensor, "b units"]
) -> Float[Tensor, "b units d_model"]:
    """What is added when each unit's value is changed so, one unit at a time; all units are of one layer.

    The change times the neuron's column of the last matrix. Where a norm stands between that matrix and the residual
    (:attr:`~assay.model.Subject.adds_directly`) that is not so, and the layer is run with the neuron edited.
    """
    change = change.to(subject.device, subject.dtype)
    if subject.adds_directly:
        return change[..., None] * torch.stack([subject.write_vector(unit) for unit in units])
    layer, before = units[0].site.layer, batch.past.without_last()
    stop = batch.stop[layer][:, None]
    plain = step(subject, before, stop, layer)[:, 0]
    found: list[Tensor] = []
    for number, unit in enumerate(units):

        def edited(tensor: Tensor, unit: UnitId = unit, number: int = number) -> Tensor:
            tensor = tensor.clone()
            tensor[:, 0, unit.number] += change[:, number]
            return tensor

        with subject.edit(unit.site, edited):
            found.append(step(subject, before, stop, layer)[:, 0] - plain)
    return torch.stack(found, 1)


def lowest_kept(subject: Subject, layer: int) -> int:
    """The lowest layer whose residual must be kept for patches of a neuron of ``layer``."""
    return layer + 1 if subject.adds_directly else layer
