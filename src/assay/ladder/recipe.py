"""How a model of the family is trained: everything that its weights depend on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from assay.errors import UsageError
from assay.ladder.model import CONTEXT, HEADS, Shape


@dataclass(frozen=True)
class Recipe:
    """What the weights depend on, beside the text, the number of threads and the version of torch.

    Attributes:
        shape: the model's sizes.
        seed: of its first weights, and of the order of the text.
        tokens: how many are seen, windows' first tokens included; the learning rate falls to zero at their end.
        batch: windows a step. window: tokens a window. part: windows that are in memory at once.
        rate: the highest learning rate, of AdamW (Loshchilov and Hutter 2019) with betas .9 and .95.
        warmup: share of the steps in which it rises to that.
        decay: weight decay of matrices.
        clip: largest norm of a step's gradient.
        every: tokens between two choose losses.
        choose: tokens that a choose loss is measured on.
        products: dtype of matrix products, "bf16" (autocast) or "fp32"; the weights are fp32 either way.
    """

    shape: Shape
    seed: int
    tokens: int = 7_000_000
    batch: int = 8
    window: int = 256
    part: int = 4
    rate: float = 8e-3
    warmup: float = 0.04
    decay: float = 0.5
    clip: float = 1.0
    every: int = 437_500
    choose: int = 60_000
    products: str = "fp32"

    @property
    def name(self) -> str:
        """``ladder-LAYERS-SEED``."""
        return f"ladder-{self.shape.layers}-{self.seed}"

    @property
    def steps(self) -> int:
        """Steps in all."""
        return -(-self.tokens // (self.batch * self.window))

    @property
    def steps_between(self) -> int:
        """Steps from one choose loss to the next."""
        return -(-self.every // (self.batch * self.window))

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, from 0: up to :attr:`rate` within the warmup, then in a line to zero."""
        warm = max(1, round(self.warmup * self.steps))
        return self.rate * min((step + 1) / warm, (self.steps - step) / max(1, self.steps - warm), 1.0)

    def as_json(self) -> dict[str, Any]:
        """Plain data; equal recipes give equal data."""
        return {**asdict(self), "shape": self.shape._asdict()}

    def check(self) -> None:
        """Refuse what can't be trained.

        Raises:
            UsageError: a size below the least that works, or a batch that is not made of whole parts.
        """
        if self.shape.layers < 1:
            raise UsageError(f"a model needs 1 layer or more. Got {self.shape.layers} instead.")
        if self.shape.width < 2 * HEADS or self.shape.width % (2 * HEADS):
            raise UsageError(
                f"the width must be a multiple of {2 * HEADS}: {HEADS} heads, and pairs of numbers that rotate. "
                f"Got {self.shape.width} instead."
            )
        if self.seed < 0:
            raise UsageError(f"a seed must be 0 or more. Got {self.seed} instead.")
        if not 2 <= self.window <= CONTEXT:
            raise UsageError(f"windows have 2 to {CONTEXT} tokens. Got {self.window} instead.")
        if self.part < 1 or self.batch % self.part:
            raise UsageError(f"a batch of {self.batch} windows is not made of parts of {self.part}")
        if self.tokens < self.batch * self.window:
            raise UsageError(
                f"training needs {self.batch * self.window:,} tokens, one step, or more. Got {self.tokens:,} instead."
            )
