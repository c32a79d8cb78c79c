"""The edits by which treatments act: a vector at all tokens, at some of them, at the first ones, or one a row."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from assay.errors import UsageError

if TYPE_CHECKING:
    from assay.model import Subject
    from assay.steer.treatment import Push


def adding(subject: Subject, push: Push, dose: float, where: str) -> Callable[[Tensor], Tensor]:
    """The edit that adds a vector, at those tokens at which it is to be added. Raises what :func:`added` does."""
    more = added(subject, push, dose)
    if more.dim() == 2:
        return partial(_add_front, subject, more)
    return partial(_add_everywhere, more) if where == "all" else partial(_add_some, subject, more, where == "generated")


def added(subject: Subject, push: Push, dose: float) -> Tensor:
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
    more = torch.from_numpy(np.array(push.vector)).to(subject.device) * dose
    more = more.to(subject.dtype)
    if not bool(torch.isfinite(more).all()):
        raise UsageError(f"a dose of {dose:g} makes what is added at {push.site} infinite or NaN; take a lower one")
    return more


def _add_everywhere(more: Tensor, tensor: Tensor) -> Tensor:
    return tensor + more.to(tensor.device)


def _add_some(subject: Subject, more: Tensor, generated: bool, tensor: Tensor) -> Tensor:
    chosen = subject.here().generated == generated
    return tensor + chosen[..., None].to(tensor) * more.to(tensor)


def add_by_row(subject: Subject, more: Tensor, each: int, where: str, tensor: Tensor) -> Tensor:
    """To each row of a batch what is of it: ``more`` holds a vector for as many (``each``) prompts in turn."""
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


def also(up: Tensor, down: Tensor, _: Any, args: tuple[Any, ...], output: Tensor) -> Tensor:
    """The hook of a module that gives what the product of two other matrices gives, too."""
    return output + torch.nn.functional.linear(torch.nn.functional.linear(args[0], down), up)
