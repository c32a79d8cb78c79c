"""A direction as a bias: a model that was steered for good, in files that need nothing of ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from assay.core.direction import Direction
from assay.errors import StorageError, UnsupportedModel, UsageError
from assay.model.copies import copy_in
from assay.model.large import is_spread
from assay.model.sitemap import tap

if TYPE_CHECKING:
    from assay.model.subject import Subject


@torch.no_grad()
def bake(subject: Subject, direction: Direction, path: str | Path) -> None:
    """Write the model and its tokenizer, as Hugging Face keeps them, with a direction in the bias of an MLP.

    ``scale * vector`` is added to what the last matrix of the MLP of the direction's layer gives, and with it to the
    ``resid_post`` of that layer, at every token. Where those matrices have a bias (GPT-2, GPT-NeoX) it is in that;
    where the architecture can have one (Llama's ``mlp_bias``) all of them get one, 0 but for this.

    Raises:
        UsageError: a direction that is not at ``resid_post``, of another width, or of no layer of the model; a model
            that is spread over devices; a place where something is already.
        UnsupportedModel: an architecture without such a bias, or with a norm behind it.
        StorageError: the disk says no.
    """
    path = Path(path).expanduser()
    subject.check_site(direction.site)
    if direction.site.kind != "resid_post":
        raise UsageError(f"a bias is added at resid_post of a layer. Got a direction at {direction.site}.")
    if direction.vector.size != subject.d_model:
        raise UsageError(
            f"the direction has {direction.vector.size} entries, and {subject.name} has {subject.d_model}; take one of "
            "this model"
        )
    if is_spread(subject.model):
        raise UsageError(f"{subject.name} is spread over devices and can't be written; load it in one place")
    if not subject.adds_directly:
        raise UnsupportedModel(f"in {subject.name} a norm stands behind the MLP's last matrix, which a bias can't pass")
    if path.exists():
        raise UsageError(f"{path} is there already; give a place where nothing is")
    model = copy_in(subject.model, subject.dtype)
    matrix = _with_bias(subject, model, direction.site.layer)
    added = torch.from_numpy(np.float32(direction.scale) * direction.vector)
    matrix.bias += added.to(matrix.bias)
    try:
        model.save_pretrained(path)
        subject.tokenizer.save_pretrained(path)
    except OSError as error:
        raise StorageError(f"can't write {path}: {error.strerror or error}") from error


def _with_bias(subject: Subject, model: Any, layer: int) -> Any:
    """The last matrix of the layer's MLP, which has a bias now."""
    row = subject._row
    stack: Any = model.get_submodule(row.layers)
    matrix: Any = tap(row, stack[layer], "mlp_act").module
    if matrix.bias is not None:
        return matrix
    if getattr(model.config, "mlp_bias", None) is not False:
        raise UnsupportedModel(
            f"{subject.architecture} models have no bias behind the MLP's last matrix; export a control vector (.gguf)"
        )
    model.config.mlp_bias = True
    for one in stack:
        for module in _mlp(row, one).modules():
            if isinstance(module, nn.Linear):
                module.bias = nn.Parameter(module.weight.new_zeros(module.out_features), requires_grad=False)
    return matrix


def _mlp(row: Any, layer: nn.Module) -> nn.Module:
    return tap(row, layer, "mlp_out").module
