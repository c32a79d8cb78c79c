"""What is done to a model: vectors that are added, text that is put before, adapters that are trained. Each has a dose,
and placebos: the same done without meaning."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
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

if TYPE_CHECKING:
    from assay.model import Subject

WHERE = ("all", "prompt", "generated")
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
    """What one unit of dose adds at a site: ``vector`` (width,) at every token, or (front, width) at the first ones."""

    site: SiteId
    vector: Float[NDArray[np.float32], "*front width"]

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
                stack.enter_context(subject.edit(push.site, _adding(subject, push, dose, self.where)))
            yield

    def placebo(self, seed: int) -> Pushes:
        """Random directions in the place of the vectors, each of the same length; one for all tokens of a front."""
        rng = np.random.default_rng([seed, 71])
        return replace(self, pushes=tuple(replace(push, vector=_like(push.vector, rng)) for push in self.pushes))

    @property
    def size(self) -> Hashable:
        """Sites, and lengths of what is added there, to four digits."""
        lengths = [np.round(np.atleast_1d(np.linalg.norm(push.vector, axis=-1)), 4).tobytes() for push in self.pushes]
        return self.where, tuple((push.site, size) for push, size in zip(self.pushes, lengths, strict=True))

    def scaled(self, factor: float) -> Pushes:
        """The same with every vector multiplied."""
        pushes = (replace(push, vector=(factor * push.vector).astype(np.float32)) for push in self.pushes)
        return replace(self, pushes=tuple(pushes))


@dataclass(frozen=True, eq=False)
class Many:
    """Several treatments by vectors at the same sites, in one pass: each for as many prompts of those generated from.

    ``each``: prompts of the first treatment, then as many of the second, and so on.
    """

    treatments: tuple[Pushes, ...]
    each: int
    doses: tuple[float, ...] = ()
    signed: bool = False
    before: Before | None = field(default=None, init=False)

    @property
    def start(self) -> int:
        return self.treatments[0].start

    @contextmanager
    def applied(self, subject: Subject, dose: float) -> Iterator[None]:
        """Within the block each row has its own treatment."""
        first = self.treatments[0]
        with ExitStack() as stack:
            for place, push in enumerate(first.pushes):
                added = [_added(subject, one.pushes[place], dose) for one in self.treatments]
                edit = partial(_add_by_row, subject, torch.stack(added), self.each, first.where)
                stack.enter_context(subject.edit(push.site, edit))
            yield

    @property
    def size(self) -> Hashable:
        """Those of each."""
        return tuple(one.size for one in self.treatments)

    def placebo(self, seed: int) -> Many:
        """Placebos of each."""
        return replace(self, treatments=tuple(one.placebo(seed + i) for i, one in enumerate(self.treatments)))


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
    """Weights that a finetune changed: ``updates`` (out, in) by the path of the matrix in the model; the dose is their
    factor."""

    updates: Mapping[str, Float[Tensor, "out in"]]
    start: int
    doses: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0, 1.5)
    signed: bool = True
    before: Before | None = field(default=None, init=False)

    @contextmanager
    def applied(self, subject: Subject, dose: float) -> Iterator[None]:
        """Within the block every matrix has ``dose`` times its update added to what it gives."""
        modules: Mapping[str, Any] = dict(subject.model.named_modules())
        with ExitStack() as stack:
            for path, update in self.updates.items():
                matrix = update.to(modules[path].weight) * dose
                handle = modules[path].register_forward_hook(partial(_also, matrix))
                stack.callback(handle.remove)
            yield

    @property
    def size(self) -> Hashable:
        """The norms of the updates."""
        return tuple((path, float(update.norm())) for path, update in self.updates.items())

    def placebo(self, seed: int) -> Tuned:
        """Random matrices of the same norm in the place of the updates."""
        generator = torch.Generator().manual_seed(seed * 7919 + 13)
        drawn = {path: torch.randn(update.shape, generator=generator) for path, update in self.updates.items()}
        return replace(
            self, updates={path: drawn[path] * (u.norm() / drawn[path].norm()) for path, u in self.updates.items()}
        )


def _also(matrix: Tensor, _: Any, args: tuple[Any, ...], output: Tensor) -> Tensor:
    return output + torch.nn.functional.linear(args[0], matrix)


def _adding(subject: Subject, push: Push, dose: float, where: str) -> Callable[[Tensor], Tensor]:
    more = _added(subject, push, dose)
    if more.dim() == 2:
        return partial(_add_front, subject, more)
    return partial(_add_everywhere, more) if where == "all" else partial(_add_some, subject, more, where == "generated")


def _added(subject: Subject, push: Push, dose: float) -> Tensor:
    """What is added, in the model's dtype.

    Raises:
        UsageError: another width than that of the site, or infinite or NaN.
    """
    width = subject.width(push.site)
    if push.vector.shape[-1] != width:
        raise UsageError(
            f"what is added at {push.site} has {push.vector.shape[-1]} entries, and {subject.name} has {width} there; "
            "take a direction of this model"
        )
    more = torch.from_numpy(push.vector).to(subject.device) * dose
    more = more.to(subject.dtype)
    if not bool(torch.isfinite(more).all()):
        raise UsageError(f"a dose of {dose:g} makes what is added at {push.site} infinite or NaN; take a lower one")
    return more


def _add_everywhere(more: Tensor, tensor: Tensor) -> Tensor:
    return tensor + more.to(tensor.device)


def _add_some(subject: Subject, more: Tensor, generated: bool, tensor: Tensor) -> Tensor:
    chosen = subject.here().generated == generated
    return tensor + chosen[..., None].to(tensor) * more.to(tensor)


def _add_by_row(subject: Subject, more: Tensor, each: int, where: str, tensor: Tensor) -> Tensor:
    here = subject.here()
    own = more.to(tensor)[here.rows // each]
    if own.dim() == 3:
        front = here.real & (here.positions < own.shape[1]) & ~here.generated
        at = here.positions.clamp(max=own.shape[1] - 1)
        return tensor + own[torch.arange(len(own))[:, None], at] * front[..., None].to(tensor)
    added = own[:, None].expand_as(tensor)
    return tensor + (
        added if where == "all" else added * (here.generated == (where == "generated"))[..., None].to(tensor)
    )


def _add_front(subject: Subject, more: Tensor, tensor: Tensor) -> Tensor:
    here = subject.here()
    front = here.real & (here.positions < len(more)) & ~here.generated
    if not bool(front.any()):
        return tensor
    return tensor + more.to(tensor)[here.positions.clamp(max=len(more) - 1)] * front[..., None].to(tensor)


def _like(vector: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    drawn = rng.standard_normal(vector.shape[-1])
    drawn /= np.linalg.norm(drawn)
    return (np.linalg.norm(vector, axis=-1, keepdims=True) * drawn).astype(np.float32)
