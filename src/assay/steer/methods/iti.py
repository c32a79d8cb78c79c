"""Inference-time intervention (Li et al. 2023): the attention heads that tell the pairs apart best are pushed along.

Each head's direction is the mean difference of the pairs in its slice; the dose is in units of the spread of what lies
along it, as published, and is added before the attention's last matrix.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from assay.core.ids import SiteId
from assay.steer.kit import Kit
from assay.steer.treatment import Push, Pushes

SHARE = 48 / 1024  # of all heads; 48 of LLaMA-7B's 1,024 were published
ALPHAS = (1.0, 2.0, 4.0, 8.0, 12.0, 16.0, 24.0, 32.0)


class Head(NamedTuple):
    """One head. ``accuracy``: on pairs that its direction was not fitted on; ties are settled by ``margin``, the mean
    difference in spreads. ``vector``: unit vector times spread."""

    layer: int
    number: int
    accuracy: float
    margin: float
    vector: Float[NDArray[np.float64], " d_head"]


def make(kit: Kit, layer: int, name: str) -> Pushes:
    """All chosen heads, whatever the layer."""
    subject = kit.subject
    heads = ranked_heads(kit)[: max(1, round(SHARE * subject.n_layers * subject.n_heads))]
    pushes: list[Push] = []
    for at in sorted({head.layer for head in heads}):
        site = SiteId(at, "head")
        added = np.zeros(subject.width(site), np.float32)
        size = len(added) // subject.n_heads
        for head in heads:
            if head.layer == at:
                added[head.number * size : (head.number + 1) * size] = head.vector
        pushes.append(Push(site, added, subject.n_heads))
    return Pushes(tuple(pushes), kit.where, ALPHAS)


def ranked_heads(kit: Kit) -> list[Head]:
    """All heads, the one whose direction is right about most held-out pairs first (two folds by pair)."""
    subject = kit.subject
    sites = [SiteId(layer, "head") for layer in range(subject.n_layers)]
    kit.read(sites)
    found: list[Head] = []
    for site in sites:
        x = kit.pairs(site).astype(np.float64)
        slices = x.reshape(2, len(x) // 2, subject.n_heads, -1)
        for number in range(subject.n_heads):
            found.append(_head(site.layer, number, slices[:, :, number]))
    return sorted(found, key=lambda head: (-head.accuracy, -head.margin))


def _head(layer: int, number: int, x: Float[NDArray[np.float64], "2 n d_head"]) -> Head:
    gaps = x[0] - x[1]
    folds = np.arange(len(gaps)) % 2
    right = np.zeros(len(gaps))
    for fold in (0, 1):
        if (folds != fold).any():
            right[folds == fold] = gaps[folds == fold] @ gaps[folds != fold].mean(0) > 0
    mean = gaps.mean(0)
    unit = mean / max(float(np.linalg.norm(mean)), 1e-12)
    spread = float((x.reshape(-1, x.shape[-1]) @ unit).std())
    margin = float((gaps @ unit).mean()) / max(spread, 1e-12)
    return Head(layer, number, float(right.mean()), margin, spread * unit)
