"""A single neuron, turned up: what it writes is added to the residual."""

from __future__ import annotations

import numpy as np

from assay.core.ids import SiteId, UnitId
from assay.errors import UsageError
from assay.steer.kit import Kit
from assay.steer.treatment import Pushes


def make(kit: Kit, layer: int, name: str) -> Pushes:
    """The neuron of the layer that tells the pairs apart best, turned the way of the texts with the behaviour."""
    if not kit.subject.adds_directly:
        raise UsageError(
            f"in {kit.subject.name} a norm stands between what a neuron writes and the residual, so that neurons can't "
            "be turned up by a vector; leave out the method neuron"
        )
    unit, sign = best_neuron(kit, layer)
    return kit.push(layer, sign * kit.subject.write_vector(unit).double().cpu().numpy())


def best_neuron(kit: Kit, layer: int) -> tuple[UnitId, float]:
    """The neuron whose mean difference over pairs is the largest beside its spread, and the sign of that difference."""
    site = SiteId(layer, "mlp_act")
    x = kit.pairs(site).astype(np.float64)
    gaps = x[: len(x) // 2] - x[len(x) // 2 :]
    told = gaps.mean(0) / (gaps.std(0) + 1e-6 * (1e-12 + np.abs(gaps).max()))
    index = int(np.abs(told).argmax())
    return UnitId(site, index), float(np.sign(told[index]) or 1.0)
