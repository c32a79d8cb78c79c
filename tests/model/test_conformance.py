"""The conformance kit: every architecture passes it, and it notices what it is there to notice."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import pytest
import torch

from assay.core.ids import SiteId
from assay.errors import UnsupportedModel
from assay.model import Subject
from assay.model.hooks import Switchboard
from assay.testing import check_subject
from model.tiny_models import CONFIGS, tiny, tiny_model, tiny_tokenizer


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", CONFIGS)
def test_every_architecture_conforms(name: str, dtype: torch.dtype) -> None:
    check_subject(tiny(name, dtype))


def fresh(name: str = "llama") -> Subject:
    return Subject.from_hf(tiny_model(name), tiny_tokenizer(), name="odd")


def test_positions_that_ignore_the_padding_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = fresh("gpt2")
    run = Subject._run
    trunk = subject._trunk

    def run_by_place(self: Subject, inputs: dict[str, Any], mask: torch.Tensor) -> torch.Tensor:
        def placed(**kwargs: Any) -> Any:
            if not mask[:, 0].all():
                kwargs["position_ids"] = torch.arange(mask.shape[1]).expand_as(mask)
            return trunk(**kwargs)

        monkeypatch.setattr(self, "_trunk", placed)
        return run(self, inputs, mask)

    monkeypatch.setattr(Subject, "_run", run_by_place)
    with pytest.raises(UnsupportedModel, match="other logits than the model's own padded on the left"):
        check_subject(subject)


def test_padding_that_is_seen_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = fresh()
    monkeypatch.setattr(subject.model.model, "forward", _unmasked(subject.model.model.forward))
    with pytest.raises(UnsupportedModel, match="padded tokens reach real ones padded on the left"):
        check_subject(subject)


def _unmasked(forward: Any) -> Any:
    def without_mask(**kwargs: Any) -> Any:
        return forward(**kwargs | {"attention_mask": torch.ones_like(kwargs["attention_mask"])})

    return without_mask


def test_an_early_exit_that_is_too_early_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = fresh()
    last = SiteId(2, "resid_post")
    real = Subject.activations

    def wrong(self: Subject, ids: Any, mask: Any, sites: Any) -> Any:
        got = real(self, ids, mask, sites)
        return {site: t * 2 if site == last else t for site, t in got.items()}

    monkeypatch.setattr(Subject, "activations", wrong)
    with pytest.raises(UnsupportedModel, match=r"an early exit changes L2.resid_post without padding"):
        check_subject(subject)


def test_a_hook_that_a_failed_pass_leaves_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = fresh()

    @contextmanager
    def careless(self: Switchboard, site: SiteId, fn: Any) -> Any:
        token = object()
        line = self._line(site)
        line.edits[token] = fn
        yield
        del line.edits[token]
        self._tidy(site)

    monkeypatch.setattr(Switchboard, "edit", careless)
    with pytest.raises(UnsupportedModel, match="hooks are left after a pass that failed"):
        check_subject(subject)


def test_an_edit_that_acts_at_some_layers_only_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = fresh()
    edit = Subject.edit

    def lazy(self: Subject, site: SiteId, fn: Any) -> Any:
        return edit(self, site, torch.clone if site.layer == 2 else fn)

    monkeypatch.setattr(Subject, "edit", lazy)
    with pytest.raises(UnsupportedModel, match=r"an edit at L2.resid_pre changes nothing"):
        check_subject(subject)
