"""A random direction: the placebo that stands among the claims."""

from __future__ import annotations

import numpy as np

from assay.steer.kit import Kit
from assay.steer.treatment import Pushes


def make(kit: Kit, layer: int, name: str) -> Pushes:
    """One direction a layer, drawn evenly; another for each behaviour."""
    rng = np.random.default_rng([kit.seed, 73, layer, *kit.behaviour.name.encode()])
    return kit.push(layer, rng.standard_normal(kit.subject.d_model))
