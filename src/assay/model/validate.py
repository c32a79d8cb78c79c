"""Checks of a subject on a tiny input, before anything is measured on it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import torch
from torch import Tensor

from assay.core.ids import SiteId
from assay.errors import ActivationError, UnsupportedModel
from assay.model.subject import Subject


def validate(subject: Subject) -> None:
    """Check that the site map fits the model.

    On two sequences of five tokens, one of them padded: our forward pass gives the logits of the model's own; every
    site has its shape; the sites of a layer add up to its residual; identity edits at all sites leave the logits
    bit-equal; a real edit of each kind at a middle layer changes the final hidden state; a pass started at a layer
    equals the full pass; no hook is left.

    Raises:
        UnsupportedModel: one of these fails; the message says which.
        ActivationError: NaN or infinite logits.
    """
    before = _hooks(subject)
    ids, mask = _tiny_input(subject)
    middle = subject.n_layers // 2
    logits = subject.logits(ids, mask)
    if not bool(logits[mask.bool()].isfinite().all()):
        raise ActivationError(f"{subject.name} gives NaN or infinite logits on a tiny input; try dtype fp32")
    _check_own_logits(subject, ids, mask, logits)
    captured = _check_shapes(subject, ids, mask)
    _check_sums(subject, captured)
    _check_identity(subject, ids, mask, logits)
    hidden = subject.hidden(ids, mask)
    if not torch.equal(subject.forward_from(middle, captured[SiteId(middle, "resid_pre")], mask), hidden):
        _refuse(subject, f"a pass started at layer {middle} differs from the full pass")
    _check_real_edits(subject, ids, mask, hidden, captured, middle)
    if _hooks(subject) != before:
        _refuse(subject, "hooks are left after the blocks that made them")


def _refuse(subject: Subject, what: str) -> None:
    raise UnsupportedModel(f"{subject.name} ({subject.architecture}) failed its check: {what}; it can't be used")


def _tiny_input(subject: Subject) -> tuple[Tensor, Tensor]:
    length = min(5, subject.context_length)
    ids = torch.arange(2 * length, device=subject.device).reshape(2, length) * 7 % subject.vocab_size
    mask = torch.ones_like(ids)
    mask[1, length - length // 2 :] = 0
    return ids, mask


def _check_own_logits(subject: Subject, ids: Tensor, mask: Tensor, logits: Tensor) -> None:
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    own = subject.model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False).logits
    if not torch.equal(own, logits):
        _refuse(subject, "its own forward pass gives other logits than final norm and head")


def _check_shapes(subject: Subject, ids: Tensor, mask: Tensor) -> dict[SiteId, Tensor]:
    sites = subject.sites()
    with subject.capture(sites) as captured:
        subject.hidden(ids, mask)
    for site in sites:
        want = (*ids.shape, subject.width(site))
        got = captured.get(site)
        if got is None or tuple(got.shape) != want:
            shown = "nothing" if got is None else str(tuple(got.shape))
            _refuse(subject, f"{site} must have the shape {want}. Got {shown} instead")
    return captured


def _check_sums(subject: Subject, captured: dict[SiteId, Tensor]) -> None:
    for layer in range(subject.n_layers):
        at = {kind: captured[SiteId(layer, kind)] for kind in ("resid_pre", "attn_out", "mlp_out", "resid_post")}
        if subject.parallel:
            total = at["mlp_out"] + at["attn_out"] + at["resid_pre"]
        else:
            total = at["resid_pre"] + at["attn_out"]
            if not torch.equal(total, captured[SiteId(layer, "resid_mid")]):
                _refuse(subject, f"L{layer}.resid_pre and L{layer}.attn_out do not add up to L{layer}.resid_mid")
            total = total + at["mlp_out"]
        if not torch.equal(total, at["resid_post"]):
            _refuse(subject, f"the sites of layer {layer} do not add up to L{layer}.resid_post")


def _check_identity(subject: Subject, ids: Tensor, mask: Tensor, logits: Tensor) -> None:
    with ExitStack() as stack:
        for site in subject.sites():
            stack.enter_context(subject.edit(site, torch.clone))
        edited = subject.logits(ids, mask)
    if not torch.equal(edited, logits):
        _refuse(subject, "edits that change nothing change the logits")


def _check_real_edits(
    subject: Subject, ids: Tensor, mask: Tensor, hidden: Tensor, captured: dict[SiteId, Tensor], middle: int
) -> None:
    start = captured[SiteId(middle, "resid_pre")]
    for site in (site for site in subject.sites() if site.layer == middle):
        if subject.writes_nothing(site):
            continue
        with subject.edit(site, _ramp(captured[site])):
            changed = subject.forward_from(middle, start, mask)
        if torch.equal(changed, hidden):
            _refuse(subject, f"an edit at {site} changes nothing")


def _ramp(tensor: Tensor) -> Callable[[Tensor], Tensor]:
    """An edit that adds values from -s to s over the width, s being 1 + the largest entry: no norm hides it."""
    size = 1 + tensor.abs().amax()
    ramp = torch.linspace(-1, 1, tensor.shape[-1], dtype=tensor.dtype, device=tensor.device) * size
    return lambda live: live + ramp


def _hooks(subject: Subject) -> int:
    modules = subject.model.modules()
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in modules)
