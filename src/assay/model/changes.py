"""Edited passes that hardly differ from the unedited one: only the change goes through the weights, in bf16.

For a matrix W with input x and output y in the unedited pass, W x' = y + W (x' - x). The sum is taken in fp32 and the
product in bf16, so that what is rounded is a share of the change, not of the residual. What has no weights (norms,
attention, nonlinearities) is computed in fp32 from the whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.overrides import TorchFunctionMode

from assay.model.large import is_spread
from assay.model.placement import computes_bf16

if TYPE_CHECKING:
    from assay.model.subject import Subject


def multiplies_changes(subject: Subject) -> bool:
    """Whether products of changes can be left to bf16: the subject is in fp32, in one place that computes bf16."""
    return subject.dtype == torch.float32 and _can(subject)


def arithmetic(subject: Subject) -> str:
    """How effects are measured on this subject, or on a copy of it in fp32 where it is in another dtype."""
    return "fp32, changes through weights in bf16" if _can(subject) else "fp32"


def _can(subject: Subject) -> bool:
    return computes_bf16(subject.device) and not is_spread(subject.model)


class _Product(NamedTuple):
    given: Tensor
    gave: Tensor


class Changes:
    """Edited passes of one subject, beside one unedited pass that is kept.

    Where :func:`multiplies_changes` says no, both blocks do nothing and every pass is whole. Of each weight matrix
    that an edited pass meets a copy in bf16 is kept; of the unedited pass, what every matrix was given and gave.
    """

    def __init__(self, subject: Subject) -> None:
        self._weights = {id(weight) for weight in subject.model.parameters()} if multiplies_changes(subject) else set()
        self._halves: dict[int, Tensor] = {}
        self._kept: dict[int, list[_Product]] = {}

    @contextmanager
    def unedited(self) -> Iterator[None]:
        """Within the block a pass runs as ever; it is the one that changes are taken from."""
        self._kept = {}
        if not self._weights:
            yield
            return
        with _Products(self._keep):
            yield

    @contextmanager
    def edited(self) -> Iterator[None]:
        """Within the block one pass, of the same shape as the unedited one, multiplies only what changed."""
        if not self._weights:
            yield
            return
        with _Products(_Changed(self._kept, self._half)):
            yield

    def forget(self) -> None:
        """Let go of the unedited pass."""
        self._kept = {}

    def _keep(self, given: Tensor, weight: Tensor, plain: bool, run: Callable[[], Tensor]) -> Tensor:
        gave = run()
        if id(weight) in self._weights:
            self._kept.setdefault(id(weight), []).append(_Product(given, gave))
        return gave

    def _half(self, weight: Tensor) -> Tensor:
        if id(weight) not in self._halves:
            self._halves[id(weight)] = weight.to(torch.bfloat16)
        return self._halves[id(weight)]


class _Changed:
    """The products of one edited pass; a matrix that the unedited pass did not meet is multiplied as ever.

    So are those that read the edited tensor itself: an edit of one coordinate is one number a token, whose rounding
    would not average out.
    """

    def __init__(self, kept: dict[int, list[_Product]], half: Callable[[Tensor], Tensor]) -> None:
        self._left = {key: iter(products) for key, products in kept.items()}
        self._half = half
        self._edited: Tensor | None = None
        self._given: Tensor | None = None
        self._change = torch.empty(0)

    def __call__(self, given: Tensor, weight: Tensor, plain: bool, run: Callable[[], Tensor]) -> Tensor:
        kept = next(self._left.get(id(weight), iter(())), None)
        if kept is None or given is self._edited:
            return run()
        if self._edited is None:
            if torch.equal(given, kept.given):
                return kept.gave
            self._edited = given
            return run()
        if given is not self._given:  # several matrices read one tensor
            self._given, self._change = given, (given - kept.given).to(torch.bfloat16)
        half = self._half(weight)
        return kept.gave + (self._change @ half if plain else linear(self._change, half))


class _Products(TorchFunctionMode):
    """Hands every product with a matrix, x W^T or ("plain") x W, to a function: linear layers and GPT-2's."""

    def __init__(self, multiply: Callable[[Tensor, Tensor, bool, Callable[[], Tensor]], Tensor]) -> None:
        super().__init__()
        self.multiply = multiply

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        run = partial(func, *args, **(kwargs or {}))
        if func is linear:
            return self.multiply(args[0], args[1], False, run)
        if func is torch.addmm:
            return self.multiply(args[1], args[2], True, run)
        return run()
