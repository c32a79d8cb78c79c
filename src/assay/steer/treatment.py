"""What is done to a model: vectors that are added, text that is put before, adapters that are trained. Each has a dose,
and placebos: the same done without meaning."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from assay.core.ids import SiteId
from assay.errors import UnknownName, UsageError
from assay.steer.adding import adding, also

if TYPE_CHECKING:
    from assay.model import Subject

GENERATED = "generated"
WHERE = ("all", "prompt", GENERATED)
DOSES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)  # shares of the median length of the residual


@runtime_checkable
class Treatment(Protocol):
    """Something that is done to a model."""

    @property
    def start(self) -> int:
        """The lowest layer that it changes; what a model computes below that stays as it is."""
        ...

    @property
    def doses(self) -> tuple[float, ...]:
        """Those that are tried, from the lowest; none where it has no strength."""
        ...

    @property
    def before(self) -> Before | None:
        """What is put before every text."""
        ...

    @property
    def signed(self) -> bool:
        """Whether a dose below 0 is the opposite."""
        ...

    def applied(self, subject: Subject, dose: float) -> AbstractContextManager[None]:
        """Within the block it is in force, at this dose."""
        ...

    def placebo(self, seed: int) -> Treatment:
        """The same without its meaning: of the same size, at the same places."""
        ...

    @property
    def size(self) -> Hashable:
        """What its placebos depend on: two treatments of one size have the same ones."""
        ...


@dataclass(frozen=True)
class Before:
    """Text that is put before others.

    ``instruction``: a sentence, or a system message. ``examples``: texts that stand before the text, or the replies
    that an assistant gave before.
    """

    instruction: str = ""
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Push:
    """What one unit of dose adds at a site: ``vector`` (width,) at every token, or (front, width) at the first ones.

    ``blocks``: of how many equal parts each keeps its length in a placebo, as those of heads do.
    """

    site: SiteId
    vector: Float[NDArray[np.float32], "*front width"]
    blocks: int = 1

    def __post_init__(self) -> None:
        if self.vector.ndim not in (1, 2) or not np.isfinite(self.vector).all():
            raise UsageError(f"what is added at {self.site} must be finite numbers; see what made it")


@dataclass(frozen=True, eq=False)
class Pushes:
    """Vectors that are added; the dose is their factor.

    ``where``: at which tokens, "all", "prompt" or "generated"; those of a Push with a front are added at the first
    tokens of a prompt, whatever ``where`` says.
    """

    pushes: tuple[Push, ...]
    where: str = "all"
    doses: tuple[float, ...] = DOSES
    signed: bool = True
    before: Before | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.where not in WHERE:
            raise UnknownName("position", self.where, WHERE)
        if not self.pushes:
            raise UsageError("nothing is added: a treatment by vectors needs at least one")

    @property
    def start(self) -> int:
        return min(push.site.layer for push in self.pushes)

    @contextmanager
    def applied(self, subject: Subject, dose: float) -> Iterator[None]:
        """Within the block the vectors are added in every pass.

        Raises:
            UsageError: a vector of another width than its site, or a dose that makes what is added infinite or NaN.
        """
        with ExitStack() as stack:
            for push in self.pushes:
                stack.enter_context(subject.edit(push.site, adding(subject, push, dose, self.where)))
            yield

    def placebo(self, seed: int) -> Pushes:
        """Random directions in the place of the vectors, each of the same length, and another one at each site."""
        pushes: list[Push] = []
        for push in self.pushes:
            rng = np.random.default_rng([seed, 71, *str(push.site).encode()])
            pushes.append(replace(push, vector=_like(push.vector, push.blocks, rng)))
        return replace(self, pushes=tuple(pushes))

    @property
    def size(self) -> Hashable:
        """Sites, and lengths of what is added there, to four digits."""
        return self.where, tuple((push.site, push.blocks, _lengths(push).tobytes()) for push in self.pushes)

    def scaled(self, factor: float) -> Pushes:
        """The same with every vector multiplied."""
        pushes = (replace(push, vector=(factor * push.vector).astype(np.float32)) for push in self.pushes)
        return replace(self, pushes=tuple(pushes))


@dataclass(frozen=True)
class Told:
    """Text before the text: an instruction, or examples. ``others``: texts that mean nothing here, to put there."""

    before: Before
    others: tuple[Before, ...] = ()
    start: int = 0
    doses: tuple[float, ...] = ()
    signed: bool = False

    def applied(self, subject: Subject, dose: float) -> AbstractContextManager[None]:
        """Nothing: it is the texts that change."""
        return nullcontext()

    @property
    def size(self) -> Hashable:
        """What stands in its place."""
        return self.others

    def placebo(self, seed: int) -> Told:
        """One of the texts that mean nothing here."""
        return replace(self, before=self.others[seed % len(self.others)])


@dataclass(frozen=True, eq=False)
class Tuned:
    """Weights that a finetune changed: of each matrix, by its path in the model, the ``updates`` are two factors, (out,
    rank) and (rank, in), whose product is added to it; the dose is their factor.

    ``rival``: what the same finetune does on the texts without the behaviour.
    """

    updates: Mapping[str, tuple[Float[Tensor, "out rank"], Float[Tensor, "rank in"]]]
    start: int
    rival: Tuned | None = None
    doses: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0, 1.5)
    signed: bool = True
    before: Before | None = field(default=None, init=False)

    @contextmanager
    def applied(self, subject: Subject, dose: float) -> Iterator[None]:
        """Within the block every matrix has ``dose`` times its update added to what it gives."""
        modules: Mapping[str, Any] = dict(subject.model.named_modules())
        with ExitStack() as stack:
            for path, (up, down) in self.updates.items():
                weight = modules[path].weight
                handle = modules[path].register_forward_hook(partial(also, up.to(weight) * dose, down.to(weight)))
                stack.callback(handle.remove)
            yield

    @property
    def size(self) -> Hashable:
        """The norms of the updates, to four digits."""
        return tuple((path, f"{product_norm(*factors):.4g}") for path, factors in self.updates.items())

    def placebo(self, seed: int) -> Tuned:
        """Random matrices of the same rank and norm in the place of the updates."""
        generator = torch.Generator().manual_seed(seed * 7919 + 13)
        drawn: dict[str, tuple[Tensor, Tensor]] = {}
        for path, (up, down) in self.updates.items():
            noise = torch.randn(up.shape, generator=generator), torch.randn(down.shape, generator=generator)
            drawn[path] = noise[0] * (product_norm(up, down) / product_norm(*noise)), noise[1]
        return replace(self, updates=drawn, rival=None)


def product_norm(up: Float[Tensor, "out rank"], down: Float[Tensor, "rank in"]) -> float:
    """Frobenius norm of the product, which is never made."""
    return float(((up.T @ up) * (down @ down.T)).sum().clamp(min=0).sqrt())


def _lengths(push: Push) -> NDArray[np.float64]:
    """Of each block, to four digits."""
    parts = push.vector.reshape(*push.vector.shape[:-1], push.blocks, -1)
    lengths = np.linalg.norm(parts, axis=-1).astype(np.float64)
    scale = 10.0 ** (3 - np.floor(np.log10(np.maximum(lengths, 1e-30))))
    return np.round(lengths * scale) / scale


def _like(vector: NDArray[np.float32], blocks: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """A random direction in each block, as long as what is there; one for all tokens of a front."""
    drawn = rng.standard_normal((blocks, vector.shape[-1] // blocks))
    drawn /= np.linalg.norm(drawn, axis=-1, keepdims=True)
    parts = vector.reshape(*vector.shape[:-1], blocks, -1)
    return (np.linalg.norm(parts, axis=-1, keepdims=True) * drawn).reshape(vector.shape).astype(np.float32)
