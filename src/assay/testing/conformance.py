"""What every subject must do, as one function: for a new architecture, or a model class of one's own."""

from __future__ import annotations

from contextlib import suppress

import torch
from torch import Tensor

from assay.core.ids import SiteId
from assay.errors import UnsupportedModel
from assay.model import Subject, validate

_LENGTHS = (9, 6, 1)
_TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-4, torch.float16: 3e-2, torch.bfloat16: 2e-1}


class _Stop(Exception):
    """Private: what the edit of a failing pass raises."""


@torch.inference_mode()
def check_subject(subject: Subject) -> None:
    """Check everything that the rest of assay takes for granted of a subject.

    Beyond what :func:`assay.model.validate` checks whenever a model is loaded, on three sequences of 9, 6 and 1 random
    tokens, unpadded and padded on either side: the logits are the model's own; every site of every layer has its shape
    and finite values; an early exit changes none of them; padded tokens change no real one; left and right padding
    agree; a pass started at each layer equals the full one; an edit at each site of each layer changes the outcome,
    alone and in a partial pass alike; a pass that fails leaves no hook and no edit.

    It runs some tens of passes a layer: meant for tiny models of an architecture.

    Raises:
        UnsupportedModel: one of these fails; the message says which.
        ActivationError: NaN or infinite logits.
    """
    validate(subject)
    by_padding = {padding: _batch(subject, padding) for padding in ("none", "left", "right")}
    hidden: dict[str, Tensor] = {}
    for padding, (ids, mask) in by_padding.items():
        where = "without padding" if padding == "none" else f"padded on the {padding}"
        hidden[padding] = _check_passes(subject, ids, mask, where)
    left, right = (hidden[padding][by_padding[padding][1].bool()] for padding in ("left", "right"))
    size = _TOLERANCE[subject.dtype] * (1 + right.abs().amax())
    _hold(subject, bool((left - right).abs().amax() <= size), "left padding gives other numbers than right padding")
    _check_edits(subject, *by_padding["left"])
    _check_failure(subject, *by_padding["right"])


def _hold(subject: Subject, holds: bool, what: str) -> None:
    if not holds:
        raise UnsupportedModel(f"{subject.name} ({subject.architecture}) failed its check: {what}")


def _batch(subject: Subject, padding: str) -> tuple[Tensor, Tensor]:
    longest = min(max(_LENGTHS), subject.context_length)
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(subject.vocab_size, (len(_LENGTHS), longest), generator=generator)
    mask = torch.zeros_like(ids)
    for row, length in enumerate(_LENGTHS):
        real = longest if padding == "none" else min(length, longest)
        tokens = ids[row, :real].clone()
        ids[row] = 0
        where = slice(longest - real, longest) if padding == "left" else slice(0, real)
        ids[row, where], mask[row, where] = tokens, 1
    return ids.to(subject.device), mask.to(subject.device)


def _check_passes(subject: Subject, ids: Tensor, mask: Tensor, where: str) -> Tensor:
    real = mask.bool()
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    own = subject.model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False).logits
    logits = subject.logits(ids, mask)
    _hold(subject, torch.equal(own.to(logits.device)[real], logits[real]), f"other logits than the model's own {where}")
    sites = subject.sites()
    with subject.capture(sites) as captured:
        hidden = subject.hidden(ids, mask)
    for site in sites:
        tensor = captured[site]
        shape = (*ids.shape, subject.width(site))
        _hold(subject, tuple(tensor.shape) == shape, f"{site} must have the shape {shape}. Got {tuple(tensor.shape)}")
        _hold(subject, bool(tensor[real].isfinite().all()), f"NaN or infinite values at {site} {where}")
        early = subject.activations(ids, mask, [site])[site]
        _hold(subject, torch.equal(early, tensor.to(early.device)), f"an early exit changes {site} {where}")
    others = subject.hidden(torch.where(real, ids, (ids + 1) % subject.vocab_size), mask)
    _hold(subject, torch.equal(others[real], hidden[real]), f"padded tokens reach real ones {where}")
    for layer in range(subject.n_layers):
        start = captured[SiteId(layer, "resid_pre")]
        after = subject.forward_from(layer, start, mask)
        _hold(subject, torch.equal(after, hidden), f"a pass started at layer {layer} differs from the full one {where}")
    return hidden


def _check_edits(subject: Subject, ids: Tensor, mask: Tensor) -> None:
    hidden = subject.hidden(ids, mask)
    for site in subject.sites():
        if subject.writes_nothing(site):
            continue
        base = SiteId(site.layer, "resid_pre")
        start = subject.activations(ids, mask, [base])[base]

        def change(tensor: Tensor) -> Tensor:
            ramp = torch.linspace(-1, 1, tensor.shape[-1], dtype=tensor.dtype, device=tensor.device)
            return tensor + ramp * (1 + tensor.abs().amax())

        with subject.edit(site, change):
            full, part = subject.hidden(ids, mask), subject.forward_from(site.layer, start, mask)
        _hold(subject, not torch.equal(full, hidden), f"an edit at {site} changes nothing")
        _hold(subject, torch.equal(full, part), f"an edit at {site} acts otherwise in a partial pass")
    _hold(subject, torch.equal(subject.hidden(ids, mask), hidden), "an edit acts after its block")


def _check_failure(subject: Subject, ids: Tensor, mask: Tensor) -> None:
    hidden, hooks = subject.hidden(ids, mask), _hooks(subject)

    def fail(tensor: Tensor) -> Tensor:
        raise _Stop

    for site in subject.sites():
        with suppress(_Stop), subject.edit(site, fail):
            subject.hidden(ids, mask)
    _hold(subject, _hooks(subject) == hooks, "hooks are left after a pass that failed")
    _hold(subject, torch.equal(subject.hidden(ids, mask), hidden), "a pass that failed changes the next one")


def _hooks(subject: Subject) -> int:
    modules = subject.model.modules()
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in modules)
