"""Directions that tell texts of contrast pairs apart, used to push. The mean difference is CAA (Rimsky et al. 2023)."""

from __future__ import annotations

import numpy as np

from assay.core.ids import SiteId
from assay.fit.probes import make_probe
from assay.steer.kit import Kit
from assay.steer.treatment import Pushes


def make(kit: Kit, layer: int, name: str) -> Pushes:
    """The direction of the probe of that name at the ``resid_post`` of a layer."""
    x = kit.pairs(SiteId(layer, "resid_post"))
    n = len(x) // 2
    probe = make_probe(name, kit.seed).fit(x, np.repeat([1, 0], n), np.tile(np.arange(n), 2))
    return kit.push(layer, probe.coef_[0])
