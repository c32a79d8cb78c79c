"""The slow and plain way: one text at a time, read whole, by the model itself, with vectors added by raw hooks."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np
import torch

from assay.core.ids import SiteId
from assay.model import Subject

Ids = Sequence[int]

# where layers stand, and the matrix that heads are handed to
PLACES = {
    "llama": ("model.layers", "self_attn.o_proj"),
    "gemma3_text": ("model.layers", "self_attn.o_proj"),
    "gpt2": ("transformer.h", "attn.c_proj"),
    "gpt_neox": ("gpt_neox.layers", "attention.dense"),
    "opt": ("model.decoder.layers", "self_attn.out_proj"),
}


class Added(NamedTuple):
    """A vector, (width,) or (front, width), that is added at a site; ``where`` as treatments have it."""

    site: SiteId
    vector: np.ndarray
    where: str = "all"


def table(one: Added, length: int, prompt: int) -> np.ndarray:
    """(length, width) what is added at each token of a text whose first tokens are its prompt."""
    found = np.zeros((length, one.vector.shape[-1]))
    for place in range(length):
        if one.vector.ndim == 2:
            if place < min(len(one.vector), prompt):
                found[place] = one.vector[place]
        elif one.where == "all" or (place < prompt) == (one.where == "prompt"):
            found[place] = one.vector
    return found


@torch.inference_mode()
def logits(subject: Subject, ids: Ids, added: Sequence[Added] = (), prompt: int | None = None) -> torch.Tensor:
    """(length, vocab) of the model over one text, without padding or cache."""
    layers, heads = PLACES[subject.architecture]
    with ExitStack() as stack:
        for one in added:
            more = torch.from_numpy(table(one, len(ids), len(ids) if prompt is None else prompt)).to(subject.dtype)
            layer = subject.model.get_submodule(f"{layers}.{one.site.layer}")
            if one.site.kind == "head":
                handle = layer.get_submodule(heads).register_forward_pre_hook(
                    lambda _, args, more=more: (args[0] + more, *args[1:])
                )
            else:
                handle = layer.register_forward_hook(lambda _, args, out, more=more: plus(out, more))
            stack.callback(handle.remove)
        return subject.model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0]


def plus(out: Any, more: torch.Tensor) -> Any:
    return out + more if isinstance(out, torch.Tensor) else (out[0] + more, *out[1:])


def generated(subject: Subject, prompt: Ids, tokens: int, added: Sequence[Added] = ()) -> list[int]:
    """The likeliest tokens after a prompt, everything read anew for each."""
    said: list[int] = []
    for _ in range(tokens):
        token = int(logits(subject, [*prompt, *said], added, len(prompt))[-1].argmax())
        if token in subject.special_ids:
            break
        said.append(token)
    return said


def log_odds(subject: Subject, ids: Ids, more: Ids, less: Ids, added: Sequence[Added] = ()) -> float:
    """How much likelier the next token is one of the first than one of the second, nats."""
    shares = torch.softmax(logits(subject, ids, added)[-1].double(), -1)
    return float(torch.log(shares[list(more)].sum()) - torch.log(shares[list(less)].sum()))


def log_probability(subject: Subject, prompt: Ids, more: Ids, added: Sequence[Added] = ()) -> float:
    """Of tokens that come after a prompt, token by token, nats."""
    total = 0.0
    for place, token in enumerate(more):
        shares = torch.softmax(logits(subject, [*prompt, *more[:place]], added)[-1].double(), -1)
        total += float(torch.log(shares[token]))
    return total


@torch.inference_mode()
def residuals(subject: Subject, ids: Ids, site: SiteId) -> np.ndarray:
    """(length, width) what stands at ``resid_post`` or ``head`` over one text."""
    layers, heads = PLACES[subject.architecture]
    layer = subject.model.get_submodule(f"{layers}.{site.layer}")
    got: list[torch.Tensor] = []
    if site.kind == "head":
        handle = layer.get_submodule(heads).register_forward_pre_hook(lambda _, args: got.append(args[0]))
    else:
        handle = layer.register_forward_hook(
            lambda _, args, out: got.append(out if isinstance(out, torch.Tensor) else out[0])
        )
    try:
        subject.model(input_ids=torch.tensor([list(ids)]), use_cache=False)
    finally:
        handle.remove()
    return got[0][0].double().numpy()
