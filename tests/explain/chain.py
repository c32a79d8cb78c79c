"""A planted model with a chain in it: one neuron that raises a second, lowers a third and opens the gate of a fourth.

A of layer 0 fires on its words and writes to one axis of the residual that nothing else reads. In layer 1, B reads
that axis and C its opposite, both with their gates open. In layer 2, the gate of D reads the axis, and its other input
is constant. Heads and other neurons write to the axis as well, so that B, C and D are not copies of A.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch

from assay.core.ids import SiteId, UnitId
from assay.model import Subject
from assay.testing import Planted
from assay.testing import planted_weights as weights

AXIS = weights.WIDTH - 3
A, B, C, D = (UnitId(SiteId(layer, "mlp_act"), i) for layer, i in ((0, 5), (1, 30), (1, 31), (2, 20)))
WRITTEN = 0.5
NAMED = 11  # neurons at the head of layer 1 that write where they say


class Chain(NamedTuple):
    subject: Subject
    planted: Planted


def chained(planted: Planted) -> Chain:
    """The planted model with the chain set into its weights."""
    model = copy.deepcopy(planted.subject.model)
    layers = [layer.mlp for layer in model.model.layers]
    with torch.no_grad():
        layers[0].down_proj.weight[:, A.number] = 0
        layers[0].down_proj.weight[AXIS, A.number] = WRITTEN
        for unit, sign in ((B, 1.0), (C, -1.0)):
            mlp = layers[1]
            mlp.gate_proj.weight[unit.number] = 0
            mlp.gate_proj.weight[unit.number, weights._CONSTANT] = 0.5
            mlp.up_proj.weight[unit.number] = 0
            mlp.up_proj.weight[unit.number, AXIS] = sign
            mlp.down_proj.weight[:, unit.number] = 0
        layers[2].gate_proj.weight[D.number] = 0
        layers[2].gate_proj.weight[D.number, AXIS] = 1.0
        layers[2].up_proj.weight[D.number] = 0
        layers[2].up_proj.weight[D.number, weights._CONSTANT] = 0.5
        for layer in layers[:2]:  # a background on the axis
            own, drawn = layer.down_proj.weight[AXIS], torch.Generator().manual_seed(3)
            kept = own[A.number].clone()
            own[:] = 0.005 * torch.randn(len(own), generator=drawn)
            own[:NAMED] = 0
            own[[B.number, C.number]] = 0
            own[A.number] = kept
    return Chain(Subject.from_hf(model, planted.subject.tokenizer, "chain"), planted)
