"""Several treatments side by side, in one pass."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import torch

from assay.errors import UsageError
from assay.steer.adding import add_by_row, added
from assay.steer.treatment import Before, Pushes, Told, Treatment

if TYPE_CHECKING:
    from assay.model import Subject


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

    def __post_init__(self) -> None:
        places = {(one.where, tuple((push.site, push.vector.ndim) for push in one.pushes)) for one in self.treatments}
        if len(places) != 1:
            raise UsageError("treatments that stand side by side must act at the same sites and tokens")

    @property
    def start(self) -> int:
        return self.treatments[0].start

    @contextmanager
    def applied(self, subject: Subject, dose: float) -> Iterator[None]:
        """Within the block each row has its own treatment."""
        first = self.treatments[0]
        with ExitStack() as stack:
            for place, push in enumerate(first.pushes):
                vectors = [added(subject, one.pushes[place], dose) for one in self.treatments]
                edit = partial(add_by_row, subject, torch.stack(vectors), self.each, first.where)
                stack.enter_context(subject.edit(push.site, edit))
            yield

    @property
    def size(self) -> Hashable:
        """Those of each."""
        return tuple(one.size for one in self.treatments)

    def placebo(self, seed: int) -> Many:
        """Placebos of each."""
        return replace(self, treatments=tuple(one.placebo(seed + i) for i, one in enumerate(self.treatments)))


def side_by_side(treatments: Sequence[Treatment | None], each: int) -> Many | None:
    """Several treatments in one pass, each for so many prompts; None where it is the prompts alone that differ.

    Raises:
        UsageError: they can't stand side by side.
    """
    pushes = tuple(one for one in treatments if isinstance(one, Pushes))
    if len(pushes) == len(treatments):
        return Many(pushes, each)
    if all(isinstance(one, Told) for one in treatments):
        return None
    raise UsageError("treatments that stand side by side must all be vectors, or all be texts")
