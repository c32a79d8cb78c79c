"""What is kept against full passes, at every layer of every architecture, and what must be exactly zero."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from assay.core.ids import SiteId, UnitId
from assay.introspect.baselines import Parts
from assay.introspect.ground import Ground, prepare
from assay.introspect.kept import Kept, keep, padded
from assay.introspect.neurons import Neuron
from assay.introspect.patches import lowest_kept
from assay.introspect.regimes import doses
from assay.introspect.reporter import Reporter, reporter
from assay.introspect.sentences import Sentences
from assay.introspect.training import Lesson, Plan, step_loss, train
from assay.introspect.wording import Wording
from assay.model import Subject
from model.tiny_models import CONFIGS, LAYERS, POST_NORMED, count_hooks, tiny

DIGITS = tuple(range(20, 30))
WORDINGS = {"S": Wording(5, ((), ()), DIGITS), "Q": Wording(5, ((7, 31, 9), (8, 31, 9)), DIGITS)}
NUMBERS = (3, 11)  # of the neurons asked about
EXACT = (torch.float64, 1e-9)
OTHERWISE = {"gptj": (torch.float64, 1e-6), "gemma2": (torch.float32, 5e-5)}


def sentences(count: int = 12, seed: int = 0) -> Sentences:
    rng = np.random.default_rng(seed)
    rows = tuple((*rng.integers(10, 50, rng.integers(3, 9)).tolist(), 5) for _ in range(count))
    return Sentences(rows, tuple(map(str, rows)), np.arange(count) // 2)


def kept(subject: Subject, text: Sentences, topology: str, below: bool = True) -> Kept:
    layers = range(1, LAYERS + 1)
    low = [lowest_kept(subject, n - 1) for n in layers]
    return keep(subject, text, WORDINGS[topology].questions, sorted({*layers, *low}), range(LAYERS), below=below)


def neurons(layer: int) -> list[Neuron]:
    site = SiteId(layer, "mlp_act")
    return [Neuron(UnitId(site, i), "random", 0.0, 1.0, np.linspace(-1, 1, 9), 1.0) for i in NUMBERS]


def whole_pass(subject: Subject, text: Sentences, topology: str, unit: int, layer: int, change: Tensor) -> Tensor:
    """Logits after sentence and question in one pass over everything, one neuron changed at the full stop."""
    question = WORDINGS[topology].questions[unit]
    ids, mask = padded([row + question for row in text.ids])
    at = ids.shape[1] - 1 - len(question)

    def edited(tensor: Tensor) -> Tensor:
        added = torch.zeros_like(tensor)
        added[:, at, NUMBERS[unit]] = change
        return tensor + added

    with subject.edit(SiteId(layer, "mlp_act"), edited):
        return subject.logits(ids, mask)[:, -1]


def by_row(asked: Reporter, found: Kept, change: Tensor) -> Tensor:
    """Logits (n, units, vocab) in the order of the sentences."""
    rows = torch.cat([batch.rows for batch in found.batches])
    logits = torch.cat([asked.subject.unembed(asked.hidden(batch, change[batch.rows])) for batch in found.batches])
    return logits[rows.argsort()]


@torch.no_grad()
@pytest.mark.parametrize("topology", ["S", "Q"])
@pytest.mark.parametrize("name", CONFIGS)
def test_kept_and_full_passes_agree_at_every_layer_patched_and_not(name: str, topology: str) -> None:
    """A rank-1 edit of the residual where the neuron adds to it directly, a real one where a norm stands between."""
    dtype, tolerance = OTHERWISE.get(name, EXACT)
    subject = tiny(name, dtype)
    assert subject.adds_directly != (name in POST_NORMED)
    text = sentences()
    found = kept(subject, text, topology)
    patch = torch.randn(len(text), 2, generator=torch.Generator().manual_seed(1)).to(dtype) * 3
    for layer in range(LAYERS):
        with reporter(subject, neurons(layer), WORDINGS[topology], "above", 4, 0) as asked:
            for change in (torch.zeros_like(patch), patch):
                logits = by_row(asked, found, change)
                for unit in range(2):
                    whole = whole_pass(subject, text, topology, unit, layer, change[:, unit])
                    assert logits[:, unit].double() == pytest.approx(whole.double(), abs=max(tolerance, 2e-5))
        if topology == "Q":
            with reporter(subject, neurons(layer), WORDINGS[topology], "question", 4, 0) as asked:
                logits = by_row(asked, found, patch)
                whole = whole_pass(subject, text, topology, 1, layer, patch[:, 1])
                assert logits[:, 1].double() == pytest.approx(whole.double(), abs=max(tolerance, 2e-5))
    assert count_hooks(subject) == 0


@contextmanager
def gated(asked: Reporter, first: int) -> Iterator[None]:
    """Adapters act only from a place in the sequence on: what a full pass needs to be like the kept one."""
    with ExitStack() as stack:
        for tuner in asked.adapters._tuners:

            def late(_: Any, args: tuple[Any, ...], output: Tensor) -> Tensor:
                return torch.cat([torch.zeros_like(output[:, :first]), output[:, first:]], 1)

            handle = tuner.lora_B["default"].register_forward_hook(late)
            stack.callback(handle.remove)
        yield


@torch.no_grad()
@pytest.mark.parametrize("trainable", ["above", "question"])
def test_trained_adapters_act_from_the_full_stop_on_or_at_the_question_alone(trainable: str) -> None:
    """Against one full pass with the adapters' output put out at all tokens before."""
    subject, text, layer = tiny("llama", torch.float64), sentences(), 0
    found = kept(subject, text, "Q")
    change = torch.randn(len(text), 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with reporter(subject, neurons(layer), WORDINGS["Q"], trainable, 4, 0) as asked:
        for parameter in asked.adapters.parameters.values():
            parameter += 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2))
        logits = by_row(asked, found, change)
        untrained = by_row_without(subject, text, layer, change)
        width = max(map(len, text.ids))
        with gated(asked, width - (trainable == "above")):
            whole = whole_pass(subject, text, "Q", 1, layer, change[:, 1])
        assert logits[:, 1].double() == pytest.approx(whole, abs=5e-6)
        assert (logits[:, 1] - untrained).abs().max() > 1e-2


def by_row_without(subject: Subject, text: Sentences, layer: int, change: Tensor) -> Tensor:
    with reporter(subject, neurons(layer), WORDINGS["Q"], "rows", 4, 0) as plain:
        return by_row(plain, kept(subject, text, "Q"), change)[:, 1]


def trained(subject: Subject, layer: int, topology: str, trainable: str, text: Sentences) -> dict[str, np.ndarray]:
    found = kept(subject, text, topology)
    values = found.values[layer][:, list(NUMBERS)]
    with reporter(subject, neurons(layer), WORDINGS[topology], trainable, 4, 0) as student:
        lesson = Lesson(found.batches, values)
        losses = iter(range(100))
        train(student, neurons(layer), lesson, "int3", Plan(patched_epochs=3), 0, lambda: float(next(losses)))
        return student.state()


@pytest.mark.parametrize(("topology", "trainable"), [("S", "above"), ("Q", "above"), ("Q", "question")])
def test_the_neurons_do_bit_for_bit_what_they_did_before_training(topology: str, trainable: str) -> None:
    """Drift is zero by construction: no neuron that is asked about has anything trained below it."""
    subject, text, layer = tiny("llama", torch.float32), sentences(), 1
    before = kept(subject, text, topology)
    weights = trained(subject, layer, topology, trainable, text)
    assert max(np.abs(value).max() for name, value in weights.items() if "lora_B" in name) > 1e-4
    after = kept(subject, text, topology)
    for n in range(LAYERS):
        assert np.array_equal(before.values[n], after.values[n])
    if trainable == "above":
        with reporter(subject, neurons(layer), WORDINGS[topology], trainable, 4, 0) as asked:
            asked.load(weights)
            during = kept(subject, text, topology)
        for n in range(layer + 1):
            assert np.array_equal(before.values[n], during.values[n])
        assert not np.array_equal(before.values[2], during.values[2])


@torch.no_grad()
@pytest.mark.parametrize("name", CONFIGS)
def test_a_patch_of_a_last_layer_neuron_changes_nothing_after_a_question(name: str) -> None:
    """Bit for bit: no layer is left in which another token could see it. Straight after the stop it changes all."""
    subject, text, layer = tiny(name, torch.float32), sentences(), LAYERS - 1
    change = torch.full((len(text), 2), 30.0)
    for topology, same in (("Q", True), ("S", False)):
        found = kept(subject, text, topology)
        for trainable in ("above", "question") if topology == "Q" else ("above",):
            with reporter(subject, neurons(layer), WORDINGS[topology], trainable, 4, 0) as asked:
                for parameter in asked.adapters.parameters.values():
                    parameter += 0.02
                plain, patched = (by_row(asked, found, amount) for amount in (torch.zeros_like(change), change))
            assert torch.equal(plain, patched) == same


def test_gradients_reach_all_that_is_trained_and_nothing_else() -> None:
    subject, text, layer = tiny("llama", torch.float32), sentences(), 1
    found = kept(subject, text, "Q")
    given = doses("int", neurons(layer), found.values[layer][:, list(NUMBERS)], np.random.default_rng(0))
    for trainable, count in (("rows", 0), ("above", 1), ("question", 3)):
        with reporter(subject, neurons(layer), WORDINGS["Q"], trainable, 4, 0) as asked:
            for name, parameter in asked.adapters.parameters.items():
                if "lora_B" in name:
                    parameter.data += 0.01
            step_loss(asked, found.batches[0], given).backward()
            layers = {name.split(".")[0] for name in asked.adapters.parameters}
            assert len(layers) == count
            assert all(p.grad is not None and p.grad.abs().max() > 0 for p in asked.parameters().values())
        assert all(p.grad is None for p in subject.model.parameters())


def test_sentences_are_kept_in_blocks_and_some_for_probes_alone() -> None:
    subject, text = tiny("llama", torch.float32), sentences(40)
    found = keep(subject, text, WORDINGS["Q"].questions, [1, 3], [0, 2], taught=20, blocks=(10, 20))
    assert sorted(torch.cat([batch.rows for batch in found.batches]).tolist()) == list(range(20))
    assert sorted(torch.cat([batch.rows for batch in found.first(10)]).tolist()) == list(range(10))
    assert sorted(found.stops) == [1, 2, 3]
    for row in (3, 27):  # one that is taught, one that is not
        ids = torch.tensor([text.ids[row]])
        sites = [SiteId(2, "mlp_act"), SiteId(2, "resid_mid"), SiteId(1, "resid_pre")]
        got = subject.activations(ids, None, sites)
        assert found.values[2][row] == pytest.approx(got[sites[0]][0, -1].numpy(), abs=1e-5)
        assert found.before[2][row] == pytest.approx(got[sites[1]][0, -1].numpy(), abs=1e-5)
        assert found.stops[1][row] == pytest.approx(got[sites[2]][0, -1].numpy(), abs=1e-5)


def test_every_sentence_is_in_a_batch_where_a_patch_must_be_measured() -> None:
    """Probes are learnt on more sentences than reporters: none of them may be told of a patch that was not made."""
    for name, batched in (("llama", 16), ("olmo2", 40)):
        subject, text = tiny(name, torch.float32), sentences(40)
        ground = prepare(subject, subject, WORDINGS["S"], Parts(text, text, text), [1], [16], False, lambda *_: None)
        assert sum(map(len, ground.fit.batches)) == batched
        assert sum(map(len, ground.fit.first(16))) == 16
        added = ground.adds(UnitId(SiteId(1, "mlp_act"), 3)).fit(np.full(40, 3.0, np.float32))
        assert np.abs(added).max(1).min() > 1e-6


def test_what_a_neuron_adds_is_measured_where_a_norm_stands_between() -> None:
    """The function that probes are patched with, against an edit in a full pass."""
    for name in ("llama", "olmo2"):
        subject = tiny(name, torch.float32)
        text = sentences()
        ground: Ground = prepare(
            subject, subject, WORDINGS["S"], Parts(text, text, text), [1], [12], False, lambda *_: None
        )
        unit = UnitId(SiteId(1, "mlp_act"), 3)
        change = np.linspace(-4, 4, len(text)).astype(np.float32)
        found = ground.adds(unit).test(change)
        for row in (0, 7):
            ids = torch.tensor([text.ids[row]])
            after = SiteId(1, "resid_post")
            plain = subject.activations(ids, None, [after])[after][0, -1]

            def edited(tensor: Tensor, by: float = float(change[row])) -> Tensor:
                added = torch.zeros_like(tensor)
                added[:, -1, 3] = by
                return tensor + added

            with subject.edit(unit.site, edited):
                patched = subject.activations(ids, None, [after])[after][0, -1]
            assert found[row] == pytest.approx((patched - plain).numpy(), abs=1e-5)
