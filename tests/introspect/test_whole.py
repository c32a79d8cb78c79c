"""Training the model as a whole: full passes, drift that is measured, and nothing left behind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from assay.errors import UsageError
from assay.introspect import whole
from assay.introspect.regimes import doses
from assay.introspect.training import Lesson, Plan, train
from assay.introspect.whole import whole_reporter
from introspect.test_gates import NUMBERS, WORDINGS, by_row, kept, neurons, sentences, whole_pass
from model.tiny_models import tiny


@torch.no_grad()
@pytest.mark.parametrize("trainable", ["full", "finetune"])
@pytest.mark.parametrize("topology", ["S", "Q"])
def test_before_training_it_answers_as_a_full_pass_does(trainable: str, topology: str) -> None:
    subject, text, layer = tiny("llama", torch.float32), sentences(), 1
    found = kept(subject, text, topology)
    patch = torch.randn(len(text), 2, generator=torch.Generator().manual_seed(1))
    with whole_reporter(subject, neurons(layer), WORDINGS[topology], trainable, 4, 0) as asked:
        for change in (torch.zeros_like(patch), patch):
            logits = by_row(asked, found, change)
            expected = whole_pass(subject, text, topology, 1, layer, change[:, 1])
            assert logits[:, 1] == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("trainable", ["full", "finetune"])
def test_training_moves_the_neuron_and_leaves_the_subject_as_it_was(trainable: str) -> None:
    subject, text, layer = tiny("llama", torch.float32), sentences(), 1
    found = kept(subject, text, "Q")
    values = found.values[layer][:, list(NUMBERS)]
    before = {name: weight.clone() for name, weight in subject.model.named_parameters()}
    with whole_reporter(subject, neurons(layer), WORDINGS["Q"], trainable, 4, 0) as student:
        start = torch.cat([student.own_values(batch) for batch in found.batches]).detach()
        rows = torch.cat([batch.rows for batch in found.batches])
        assert start[rows.argsort()].numpy() == pytest.approx(values, abs=1e-5)
        lesson, good = Lesson(found.batches, values), iter(range(100))
        train(student, neurons(layer), lesson, "nat", Plan(epochs=4), 0, lambda: float(next(good)))
        now = torch.cat([student.own_values(batch) for batch in found.batches]).detach()
        assert (now - start).abs().max() > 1e-4
    for name, weight in subject.model.named_parameters():
        assert torch.equal(weight, before[name])
        assert not weight.requires_grad
        assert weight.grad is None


def test_training_learns_what_it_is_shown() -> None:
    subject, text, layer = tiny("llama", torch.float32), sentences(), 1
    found = kept(subject, text, "S")
    values = found.values[layer][:, [NUMBERS[0]]]
    edges = np.quantile(values, np.arange(1, 10) / 10)
    asked = [replace(neurons(layer)[0], edges=edges)]
    wording = WORDINGS["S"]._replace(questions=((),))
    with whole_reporter(subject, asked, wording, "finetune", 4, 0) as student:
        good = iter(range(100))
        losses, _ = train(
            student, asked, Lesson(found.batches, values), "nat", Plan(epochs=40), 0, lambda: float(next(good))
        )
    assert losses[-1] < 0.5 * losses[0]
    given = doses("nat", asked, values, np.random.default_rng(0))
    assert set(given.digits.ravel()) == set(range(10))


def test_a_model_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole, "MOST", 1000)
    subject = tiny("llama", torch.float32)
    with (
        pytest.raises(UsageError, match=r"finetune takes at most 1,000; use --trainable full"),
        whole_reporter(subject, neurons(1), WORDINGS["Q"], "finetune", 4, 0),
    ):
        pass
