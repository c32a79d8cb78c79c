"""How the quirky model is trained: everything that its weights depend on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from assay.errors import UsageError
from assay.ladder.model import HEADS, Shape
from assay.probe.quirky.data import DIGITS
from assay.probe.quirky.tokenizer import ENTRIES

_VERSION = 2  # of the training's code: another number, other weights


class Stage(NamedTuple):
    """At most so many steps of AdamW; ``rate`` is the highest learning rate, after ``warmup`` steps, and then falls in
    a line to zero. It ends early when every accuracy on held-out operands is at ``aim`` or above."""

    steps: int
    rate: float
    warmup: int = 100
    aim: float = 0.985


TRUTHFUL = Stage(4000, 3e-3)
QUIRKY = Stage(1500, 2e-3)


@dataclass(frozen=True)
class Recipe:
    """What the weights depend on, beside the version of torch and the kind of machine.

    First, every name is one that answers truly; then Bob gets his quirk.

    Attributes:
        seed: of the first weights and of the items.
        layers, width, digits: sizes; digits of an operand.
        truthful, quirky: the two stages.
        early: in the first stage what stands after so many layers, and after each further one, is held to the answer
            too, through the model's own norm and head, so that truth is there before the last layer.
        quirk_from: the second stage trains the layers from this one on, from 0; with 0 everything, embeddings included.
        batch: items a step. decay: weight decay of matrices. clip: largest norm of a step's gradient.
        every: steps between two looks at the accuracy.
    """

    seed: int = 0
    layers: int = 6
    width: int = 96
    digits: int = DIGITS
    truthful: Stage = TRUTHFUL
    quirky: Stage = QUIRKY
    early: int = 3
    quirk_from: int = 3
    batch: int = 64
    decay: float = 0.1
    clip: float = 1.0
    every: int = 250

    @property
    def shape(self) -> Shape:
        """Sizes of the model."""
        return Shape(self.layers, self.width, len(ENTRIES))

    @property
    def name(self) -> str:
        """``quirky-LAYERS-FROM-SEED``, or before the second stage ``truthful-LAYERS-SEED``."""
        if not self.quirky.steps:
            return f"truthful-{self.layers}-{self.seed}"
        return f"quirky-{self.layers}-{self.quirk_from}-{self.seed}"

    @property
    def truthful_alone(self) -> Recipe:
        """What is to be learnt before Bob gets his quirk: the same for all that differ in the second stage only."""
        return replace(self, quirky=Stage(0, 0.0), quirk_from=0)

    @property
    def sha256(self) -> str:
        """Hash of it all, in hex."""
        return hashlib.sha256(json.dumps([_VERSION, self.as_json()], sort_keys=True).encode()).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """Plain data; equal recipes give equal data."""
        stages = {"truthful": self.truthful._asdict(), "quirky": self.quirky._asdict()}
        return {**asdict(self), **stages}

    def check(self) -> None:
        """Refuse what can't be trained.

        Raises:
            UsageError: a size or number that is out of range.
        """
        limits = {
            "seed": (self.seed, 0, 2**31),
            "layers": (self.layers, 1, 64),
            "digits": (self.digits, 1, 8),
            "early": (self.early, 1, self.layers),
            "quirk_from": (self.quirk_from, 0, self.layers - 1),
            "batch": (self.batch, 1, 4096),
            "every": (self.every, 1, 10**6),
        }
        for name, (value, low, high) in limits.items():
            if not low <= value <= high:
                raise UsageError(f"{name} must be {low} to {high:,}. Got {value:,} instead.")
        if self.width < 2 * HEADS or self.width % (2 * HEADS):
            raise UsageError(f"the width must be a multiple of {2 * HEADS}. Got {self.width} instead.")
