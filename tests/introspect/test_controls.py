"""Patches that are not of the neuron, and what is said where its own are no rank-1 change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from assay.fit.ridge import Ridge
from assay.introspect import asking
from assay.introspect.asking import control_slopes, controls, linear_control_slopes
from assay.introspect.grounds import make_loader
from assay.introspect.patches import patches
from assay.introspect.reporter import Reporter, reporter
from assay.introspect.request import ReportRequest
from introspect.test_gates import WORDINGS, kept, neurons, sentences
from model.tiny_models import tiny


def quiet(message: str, share: float | None = None) -> None:
    pass


@pytest.mark.parametrize("name", ["llama", "olmo2"])
def test_control_patches_are_as_long_in_the_residual_as_the_neurons_own(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = tiny(name, torch.float32)
    found, layer = kept(subject, sentences(), "Q"), 1
    tried: list[torch.Tensor] = []
    whole = Reporter.hidden_at

    def spied(self: Reporter, batch: Any, patch: torch.Tensor) -> torch.Tensor:
        tried.append(patch)
        return whole(self, batch, patch)

    asked = neurons(layer)
    with reporter(subject, asked, WORDINGS["Q"], "above", 4, 0) as answering:
        monkeypatch.setattr(Reporter, "hidden_at", spied)
        slopes = control_slopes(answering, asked, found.batches, "int3", 0)
        change = 3 * asking._FAR * torch.ones(len(found.batches[0]), len(asked))
        own = [patches(subject, answering.units, found.batches[0], sign * change) for sign in (-1, 1)]
    assert slopes.shape == (len(asked), 2 * asking.CONTROLS)
    assert len(tried) == 2 * 2 * asking.CONTROLS * len(found.batches)
    lengths = torch.stack([patch.norm(dim=-1).mean(0) for patch in tried])
    expected = torch.stack([patch.norm(dim=-1).mean(0) for patch in own]).mean(0)
    near = 1e-5 if name == "llama" else 0.1  # behind a norm it depends on the sentence: one batch against all
    assert lengths.double() == pytest.approx(expected.expand_as(lengths).double(), rel=near)
    if name == "olmo2":
        written = torch.stack([subject.write_vector(unit) for unit in answering.units]).norm(dim=1)
        assert not torch.allclose(expected, 3 * asking._FAR * written, rtol=0.2)  # what it would be without the norm


def test_the_best_linear_reader_is_moved_by_the_same_patches() -> None:
    subject = tiny("llama", torch.float32)
    found, asked, rng = kept(subject, sentences(), "Q"), neurons(1), np.random.default_rng(0)
    readers = [
        Ridge(np.ones(subject.d_model), rng.standard_normal((subject.d_model, 1)), np.ones(1), np.ones(1))
        for _ in asked
    ]
    slopes = linear_control_slopes(subject, asked, readers, found.batches, "int", 0)
    given = controls(subject, asked, found.batches, "int", 0).double().numpy()
    x = rng.standard_normal(subject.d_model)
    for unit, reader in enumerate(readers):
        for number, patch in enumerate(given[unit]):
            up, down = (float(reader.predict((x + sign * patch)[None])[0, 0]) for sign in (1, -1))
            assert slopes[unit, number] == pytest.approx((up - down) / 7)


def test_a_run_says_where_patches_are_no_rank_1_change() -> None:
    said = {
        name: make_loader(ReportRequest(models=("own",)), tiny(name, torch.float32), quiet).arithmetic()
        for name in ("llama", "olmo2", "gemma2")
    }
    assert "norm" not in said["llama"]
    for name in ("olmo2", "gemma2"):
        assert "in own a norm stands between neuron and residual" in said[name]
        assert "the layer is run with the neuron edited" in said[name]
