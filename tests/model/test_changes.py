"""Passes that multiply only what changed, against whole ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch.nn.functional import linear
from torch.overrides import TorchFunctionMode

from assay.core.ids import SiteId
from assay.model import Subject, changes
from assay.model.changes import Changes
from model.tiny_models import CONFIGS, LAYERS, tiny, token_batch


@pytest.fixture
def bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a processor that computes in bf16."""
    monkeypatch.setattr(changes, "computes_bf16", lambda device: True)


class _Count(TorchFunctionMode):
    """Counts products with matrices, by the dtype of the matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[torch.dtype] = Counter()

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        weight = args[1] if func in (linear, torch.Tensor.matmul, torch.Tensor.__matmul__) else None
        weight = args[2] if func is torch.addmm else weight
        if weight is not None and weight.ndim == 2:
            self.seen[weight.dtype] += 1
        return func(*args, **(kwargs or {}))


@contextmanager
def counted() -> Iterator[Counter[torch.dtype]]:
    with _Count() as mode:
        yield mode.seen


def _scaled(values: torch.Tensor) -> torch.Tensor:
    """An edit of one coordinate by a thousandth."""
    values = values.clone()
    values[..., 3] *= 1.001
    return values


def _passes(subject: Subject, layer: int, site: SiteId) -> tuple[torch.Tensor, ...]:
    """The unedited pass, an edited one whole, the same from changes twice, and one from changes without an edit."""
    ids, mask = token_batch("left")
    at = SiteId(layer, "resid_pre")
    start = subject.activations(ids, mask, [at])[at]
    made = Changes(subject)
    with made.unedited():
        base = subject.forward_from(layer, start, mask)
    with subject.edit(site, _scaled):
        whole = subject.forward_from(layer, start, mask)
        with made.edited():
            once = subject.forward_from(layer, start, mask)
        with made.edited():
            twice = subject.forward_from(layer, start, mask)
    with made.edited():
        still = subject.forward_from(layer, start, mask)
    real = mask.bool()
    return tuple(found[real] for found in (base, whole, once, twice, still))


@pytest.mark.usefixtures("bf16")
@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("kind", ["mlp_act", "head", "resid_pre", "resid_post"])
def test_the_change_of_an_edit_is_that_of_whole_passes(name: str, kind: str) -> None:
    """bf16 keeps some three digits of the change; of the residual, it would lose several times this change."""
    subject = tiny(name)
    base, whole, once, twice, still = _passes(subject, 1, SiteId(1, kind))
    size = (whole - base).norm()
    assert size > 0
    assert (once - whole).norm() < 0.02 * size
    assert torch.equal(once, twice)
    assert torch.equal(still, base)
    rounded = base.to(torch.bfloat16).float() - base
    assert rounded.norm() > 4 * size


@pytest.mark.usefixtures("bf16")
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_only_what_reads_the_edited_tensor_is_multiplied_in_fp32(name: str) -> None:
    subject = tiny(name)
    ids, mask = token_batch("none")
    site, made = SiteId(0, "mlp_act"), Changes(subject)
    with made.unedited():
        subject.hidden(ids, mask)
    with counted() as seen, made.edited():
        assert torch.equal(subject.hidden(ids, mask), subject.hidden(ids, mask))
    assert seen[torch.bfloat16] == 0
    with made.edited(), subject.edit(site, _scaled), counted() as asked:
        subject.hidden(ids, mask)
    products = 7 if name == "llama" else 4
    assert sum(asked.values()) == products * LAYERS
    with subject.edit(site, _scaled), counted() as done, made.edited():
        subject.hidden(ids, mask)
    assert done[torch.bfloat16] == products * (LAYERS - 1)
    assert done[torch.float32] == 1


@pytest.mark.parametrize(("dtype", "here"), [(torch.float64, True), (torch.bfloat16, True), (torch.float32, False)])
def test_passes_are_whole_elsewhere(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, here: bool) -> None:
    monkeypatch.setattr(changes, "computes_bf16", lambda device: here)
    subject = tiny("llama", dtype)
    _, whole, once, _, _ = _passes(subject, 1, SiteId(1, "mlp_act"))
    assert torch.equal(once, whole)
    assert changes.arithmetic(subject) == ("fp32, changes through weights in bf16" if here else "fp32")


@pytest.mark.usefixtures("bf16")
def test_what_was_forgotten_changes_nothing() -> None:
    subject = tiny("llama")
    ids, mask = token_batch("none")
    made = Changes(subject)
    with made.unedited():
        subject.hidden(ids, mask)
    made.forget()
    with made.edited(), subject.edit(SiteId(0, "mlp_act"), _scaled), counted() as seen:
        found = subject.hidden(ids, mask)
    assert seen[torch.bfloat16] == 0
    with subject.edit(SiteId(0, "mlp_act"), _scaled):
        assert torch.equal(found, subject.hidden(ids, mask))
