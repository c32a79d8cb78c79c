"""Swaps against full passes with an edit, and their success against its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from assay.core.ids import SiteId
from assay.errors import UsageError
from assay.model import Subject
from assay.probe.erasers.eraser import Eraser
from assay.probe.prompts import prompt_pairs
from assay.probe.swap import PairReading, answer_log_probs, read_pairs, swap_success, swapped
from assay.text.concepts import Item
from model.tiny_models import LAYERS, VOCAB, count_hooks, tiny
from probe.planted_pairs import HE, SHE, WIDTH, concept, planted_pairs, random_pairs


def eraser(width: int, rank: int = 3, seed: int = 0) -> Eraser:
    """Neither orthogonal nor without a bias: as LEACE makes them."""
    rng = np.random.default_rng(seed)
    left, right = rng.normal(size=(width, rank)), rng.normal(size=(rank, width))
    return Eraser(left @ np.linalg.inv(right @ left), right, rng.normal(size=width), "test")


def along(*axes: NDArray[np.float64]) -> Eraser:
    basis = np.stack(axes, 1)
    return Eraser(basis, basis.T, np.zeros(len(basis)), "test")


def read(layer: int = 0) -> PairReading:
    planted = planted_pairs()
    return read_pairs(planted.subject, [layer], planted.pairs)[layer]


def full_log_probs(subject: Subject, reading: PairReading, row: int, erase: Eraser) -> NDArray[np.float64]:
    """By its definition, one prompt at a time: log-probabilities (into, token) at the last token."""
    length, first = int(reading.pairs.lengths[row]), int(reading.pairs.first[row])
    site = SiteId(reading.layer, "resid_post")
    prompts = torch.from_numpy(reading.pairs.ids[row, :, :length])
    found = []
    for label in (0, 1):
        source = subject.activations(prompts[1 - label][None], None, [site])[site]

        def edit(into: torch.Tensor, source: torch.Tensor = source) -> torch.Tensor:
            whole = erase(into) + source - erase(source)
            return torch.cat([into[:, :first], whole[:, first:]], 1)

        with subject.edit(site, edit):
            logits = subject.logits(prompts[label][None])[0, -1].double()
        found.append(torch.log_softmax(logits, -1).numpy())
    return np.array(found)


@pytest.mark.parametrize("layer", range(LAYERS))
@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "gptj"])
def test_a_swap_is_the_full_pass_with_an_edit(name: str, layer: int) -> None:
    subject, pairs = tiny(name), random_pairs(VOCAB)
    erase = eraser(subject.d_model, seed=layer)
    reading = read_pairs(subject, [layer], pairs)[layer]
    rows = np.arange(len(pairs))  # of three lengths, so padded
    logits = subject.unembed(swapped(subject, reading, rows, erase.swap)).double()
    expected = np.array([full_log_probs(subject, reading, row, erase) for row in rows])
    np.testing.assert_allclose(torch.log_softmax(logits, -1).numpy(), expected, atol=1e-4)
    assert count_hooks(subject) == 0


def test_one_reading_serves_every_layer_and_selects_rows() -> None:
    subject, pairs = tiny("llama"), random_pairs(VOCAB)
    readings = read_pairs(subject, [2, 0], pairs)
    assert list(readings) == [2, 0]
    for layer, reading in readings.items():
        site = SiteId(layer, "resid_post")
        for row, length in enumerate(pairs.lengths):
            prompts = torch.from_numpy(pairs.ids[row, :, :length])
            alone = subject.activations(prompts, None, [site])[site]
            torch.testing.assert_close(reading.residual[row, :, :length], alone)
            assert not reading.residual[row, :, length:].any()
            torch.testing.assert_close(reading.final[row], subject.hidden(prompts)[:, -1])
    some = readings[0].select(np.array([False, True, False, True]))
    assert torch.equal(some.residual, readings[0].residual[[1, 3]])
    assert torch.equal(some.final, readings[0].final[[1, 3]])
    assert some.pairs.lengths.tolist() == [7, 4]


def test_success_is_as_defined() -> None:
    subject, pairs = tiny("llama"), random_pairs(VOCAB, (5, 7, 7, 4, 6, 6, 5, 4))
    reading = read_pairs(subject, [1], pairs)[1]
    erase = eraser(subject.d_model)
    found = swap_success(subject, reading, erase)
    none = along(np.zeros(subject.d_model))
    shares, covered, distance = np.zeros((8, 2, 2)), np.zeros(8), np.zeros(8)
    for row in range(8):
        before, after = (full_log_probs(subject, reading, row, one)[:, [2, 3]] for one in (none, erase))
        for into in (0, 1):
            for answer in (0, 1):
                start, goal = before[into, answer], before[1 - into, answer]
                shares[row, into, answer] = min(1.0, max(0.0, (after[into, answer] - start) / (goal - start)))
            sign = 1 if into == 0 else -1
            covered[row] += sign * np.subtract(*(after - before)[into, ::-1])
            distance[row] += sign * np.subtract(*(before[1 - into] - before[into])[::-1])
    assert 0.05 < shares.mean() < 0.95
    np.testing.assert_allclose(found.per_pair, shares.mean(-1), atol=2e-3)
    assert found.success.value == pytest.approx(found.per_pair.mean())
    assert found.shift.value == pytest.approx(covered.sum() / distance.sum(), abs=1e-3)


def test_groups_are_drawn_again_whole() -> None:
    reading = read()
    found = swap_success(planted_pairs().subject, reading, eraser(WIDTH), replicates=500)
    by_group = [found.per_pair[reading.pairs.groups == group].mean() for group in np.unique(reading.pairs.groups)]
    spread = np.std(by_group) / np.sqrt(len(by_group))
    assert found.success.replicates.shape == (500,)
    assert found.success.replicates.std() == pytest.approx(spread, rel=0.15)
    one = PairReading(reading.pairs.select(np.zeros(4, int)), 0, reading.residual[[0] * 4], reading.final[[0] * 4])
    alone = swap_success(planted_pairs().subject, one, eraser(WIDTH), replicates=20)
    np.testing.assert_allclose(alone.success.replicates, alone.success.value)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_nothing_erased_is_0_and_everything_is_1(layer: int) -> None:
    subject, reading = planted_pairs().subject, read(layer)
    none = Eraser(np.zeros((WIDTH, 0)), np.zeros((0, WIDTH)), np.zeros(WIDTH), "test")
    nothing = swap_success(subject, reading, none)
    assert nothing.per_pair.tolist() == [[0.0, 0.0]] * len(reading.pairs)
    assert nothing.shift.value == pytest.approx(0, abs=1e-6)
    everything = swap_success(subject, reading, along(*np.eye(WIDTH)))
    np.testing.assert_allclose(everything.per_pair, 1, atol=1e-4)
    assert everything.shift.value == pytest.approx(1, abs=1e-5)


def test_the_direction_that_carries_it_moves_the_output_and_others_do_not() -> None:
    planted = planted_pairs()
    subject, rng = planted.subject, np.random.default_rng(5)
    first, last = read(0), read(2)
    assert swap_success(subject, first, along(planted.named)).success.value == pytest.approx(1, abs=1e-3)
    assert swap_success(subject, last, along(planted.said)).success.value == pytest.approx(1, abs=1e-3)
    assert swap_success(subject, first, along(planted.said)).success.value == pytest.approx(0, abs=1e-3)
    assert swap_success(subject, last, along(planted.named)).success.value == pytest.approx(0, abs=1e-3)
    axis = rng.normal(size=WIDTH)
    axis -= axis @ planted.named * planted.named
    assert swap_success(subject, first, along(axis / np.linalg.norm(axis))).shift.value == pytest.approx(0, abs=0.02)


def test_pairs_that_are_not_told_apart_are_unscored() -> None:
    planted = planted_pairs()
    same = [
        Item(f"{name} was {word} because", label, "w", "w", "t", answer)
        for word, label, answer, name in ((" soon", 1, SHE, "Anna"), (" now", 0, HE, "Anna"))
    ]
    she, he = (
        Item(f"Then {name} was late because", label, "n", "n", "t", answer)
        for name, label, answer in (("Ida", 1, SHE), ("Luke", 0, HE))
    )
    pairs, _ = prompt_pairs(concept((*same, she, he)), planted.subject)
    reading = read_pairs(planted.subject, [0], pairs)[0]
    found = swap_success(planted.subject, reading, along(planted.named))
    assert np.isnan(found.per_pair[0]).all()
    assert found.success.value == pytest.approx(1, abs=1e-3)
    with pytest.raises(UsageError, match="planted pairs gives the answers of every pair the same probability"):
        swap_success(planted.subject, reading.select(np.array([0])), along(planted.named))


def test_answers_are_likelier_after_their_own_prompt() -> None:
    log_probs = answer_log_probs(planted_pairs().subject, read())
    assert log_probs.shape == (18, 2, 2)
    assert (log_probs[:, 0, 0] > log_probs[:, 0, 1]).all()
    assert (log_probs[:, 1, 1] > log_probs[:, 1, 0]).all()
