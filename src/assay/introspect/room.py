"""Room in memory: batches that do not fit are taken in smaller parts, and that is said."""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch

from assay.errors import MachineError
from assay.introspect.kept import Batch

T = TypeVar("T")
_CPU = ("can't allocate memory", "not enough memory", "cannot allocate memory")


def _quiet(message: str) -> None:
    """Tells nobody."""


@dataclass
class Room:
    """How many sentences of a batch are worked on at once: all, until that did not fit once; then for good fewer."""

    told: Callable[[str], None] = _quiet
    most: int | None = None

    def work(self, batch: Batch, do: Callable[[Sequence[Batch]], T]) -> T:
        """What ``do`` makes of a batch in parts; it is begun again with smaller ones when memory did not suffice.

        Raises:
            MachineError: one sentence is too much.
        """
        while True:
            try:
                return do(batch.parts(self.most or len(batch)))
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                self._halve(min(self.most or len(batch), len(batch)))

    def _halve(self, size: int) -> None:
        if size == 1:
            raise MachineError("out of memory at one sentence; ask for fewer --neurons-per-layer or a smaller model")
        self.most = size // 2
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.told(f"out of memory: from here on {self.most} sentences at once, which changes no result but by rounding")


@contextmanager
def enough_memory(what: str) -> Generator[None]:
    """Say plainly that memory did not suffice for ``what``, and what to ask for instead.

    Raises:
        MachineError: it did not.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise MachineError(
            f"out of memory at {what}; ask for fewer --train-examples or --layers. What is finished is kept"
        ) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there was not enough memory, on whatever device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _CPU)
