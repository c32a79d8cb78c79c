"""A model once more: in another dtype, or of the same weights."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn


def copy_in(model: Any, dtype: torch.dtype) -> Any:
    """A copy whose parameters are in ``dtype``, and its own even if they are equal; buffers keep their precision.

    The one buffer that a load rounds to the model's dtype, the scale of Gemma's embeddings, is filled again from the
    number it was made from.
    """
    memo: dict[int, Any] = {
        id(weight): nn.Parameter(weight.detach().to(dtype, copy=True), requires_grad=False)
        for weight in model.parameters()
    }
    made = copy.deepcopy(model, memo)
    made.config.dtype = dtype
    for module in made.modules():
        scale = getattr(module, "scalar_embed_scale", None)
        if scale is not None:
            module.embed_scale = torch.tensor(scale, dtype=dtype, device=module.embed_scale.device)
    return made


def sharing(model: Any) -> Any:
    """The same model in modules of its own: parameters and buffers are the very same tensors."""
    memo: dict[int, Any] = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    return copy.deepcopy(model, memo)
