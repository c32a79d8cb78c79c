"""Turning units up at one place, against full passes with the edit at that place alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from assay.core.direction import Direction
from assay.core.ids import SiteId, UnitId
from assay.explain.material import Part
from assay.explain.steering import CONTEXT, LENGTH, Arm, Steering, draw_places, writes_at
from assay.explain.writes import seen_through_lens
from assay.testing import Planted
from assay.text import TokenTable
from explain.bench import SITE, Bench
from model.tiny_models import LAYERS, VOCAB, tiny

ARCHITECTURES = ("llama", "gpt2", "gpt_neox", "gemma3_text", "olmo2", "opt_projected")
DIRECTION = UnitId(SiteId(1, "resid_post"), "@test")
UNITS = (
    UnitId(SiteId(1, "mlp_act"), 5),
    UnitId(SiteId(1, "head"), 2),
    UnitId(SiteId(0, "resid_pre"), 3),
    UnitId(SiteId(LAYERS - 1, "resid_post"), 7),
    DIRECTION,
)
DOSE = 0.7


def part_of(lengths: tuple[int, ...], seed: int = 0) -> Part:
    """One window a document, of random tokens of the tiny vocabulary."""
    rng = np.random.default_rng(seed)
    ids = np.full((len(lengths), 40), -1, dtype=np.int32)
    for row, length in enumerate(lengths):
        ids[row, :length] = rng.integers(2, VOCAB, length)
    table = TokenTable(ids, np.array(lengths), np.arange(len(lengths)), np.zeros(len(lengths), dtype=np.int64))
    return Part("test", (), table, table.flat_positions > 0, [str(i) for i in range(VOCAB)])


@pytest.fixture(scope="module", params=ARCHITECTURES)
def subject(request: pytest.FixtureRequest) -> Any:
    found = tiny(request.param, torch.float64)
    vector = np.random.default_rng(1).standard_normal(found.d_model).astype(np.float32)
    found.units.add(DIRECTION, Direction(DIRECTION.site, vector, offset=0.3, scale=0.5))
    return found


def logits_at(subject: Any, ids: torch.Tensor, site: SiteId, edit: Any) -> np.ndarray:
    """Logits of the last token with an edit of that token's vector, (width,), at a site: a full pass."""

    def only_last(tensor: torch.Tensor) -> torch.Tensor:
        out = tensor.clone()
        out[0, -1] = edit(tensor[0, -1])
        return out

    with torch.inference_mode(), subject.edit(site, only_last):
        return subject.logits(ids)[0, -1].numpy()


@pytest.mark.parametrize("unit", UNITS, ids=str)
def test_every_change_is_what_full_passes_give(subject: Any, unit: UnitId) -> None:
    """Two doses, random directions of the norm of what the first writes, and the direct path."""
    part, tokens = part_of((40, 9, 2, 33)), np.arange(2, VOCAB - 4)
    steering = Steering(subject, part, {unit.site.layer}, tokens, 10, seed=4)
    directions = np.random.default_rng(2).standard_normal((3, subject.d_model))
    arms = [Arm(unit, DOSE), Arm(unit, -0.2)]
    moved = {
        i: (m, i - m.places.start) for m in steering.run(arms, directions, True) for i in range(*m.places.indices(99))
    }
    assert set(moved) == set(range(4))
    place, end = writes_at(unit.site), SiteId(LAYERS - 1, "resid_post")
    for i, (window, position) in enumerate(zip(*steering.places[:2], strict=True)):
        found, row = moved[i]
        ids = torch.as_tensor(part.table.ids[window : window + 1, : position + 1].astype(np.int64))
        base = logits_at(subject, ids, unit.site, lambda h: h)

        def change(site: SiteId, edit: Any, ids: torch.Tensor = ids, base: np.ndarray = base) -> np.ndarray:
            change = (logits_at(subject, ids, site, edit) - base)[tokens]
            return change - change.mean()

        def turned(dose: float) -> Any:
            def edit(h: torch.Tensor) -> torch.Tensor:
                has = subject.units.values(unit.site, h[None], [unit.index])[0, 0]
                return subject.units.put(unit, h[None], (has + dose)[None])[0]

            return edit

        with torch.inference_mode(), subject.capture([place]) as seen:
            subject.hidden(ids)
            before = seen[place][0, -1].clone()
            logits_at(subject, ids, unit.site, turned(DOSE))
            written = seen[place][0, -1] - before
        assert found.written[row, 0] == pytest.approx(written, abs=1e-6)
        for k, arm in enumerate(arms):
            expected = change(unit.site, turned(arm.dose))
            assert np.abs(expected).max() > 1e-4
            assert found.change[row, k] == pytest.approx(expected, abs=2e-5, rel=1e-4)
        for k, direction in enumerate(torch.as_tensor(directions)):
            step = direction / direction.norm() * written.norm()
            assert found.random[row, k] == pytest.approx(change(place, lambda h, s=step: h + s), abs=2e-5, rel=1e-4)
        assert found.direct[row] == pytest.approx(change(end, lambda h, s=written: h + s), abs=2e-5, rel=1e-4)
        assert found.noise[row] < 1e-6


def test_units_of_a_site_go_together_and_places_in_blocks(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    subject, tokens = bench.subject, np.arange(2, bench.subject.vocab_size)
    arms = [Arm(UnitId(SITE, i), 0.5 + i) for i in range(4)]

    def table(chosen: list[Arm]) -> np.ndarray:
        steering = Steering(subject, bench.material.test, {1}, tokens, 30, seed=0)
        return np.concatenate([moved.change for moved in steering.run(chosen)])

    whole = table(arms)
    assert whole.shape == (30, 4, len(tokens))
    monkeypatch.setattr("assay.explain.steering.ROWS", 16)
    monkeypatch.setattr("assay.explain.steering.TEXTS", 7)
    assert table(arms) == pytest.approx(whole, abs=1e-4)
    assert table([arms[2]])[:, 0] == pytest.approx(whole[:, 2], abs=1e-4)
    assert np.abs(whole[:, 0]).max() > 0.5


def test_a_head_turned_down_below_nothing_writes_nothing(subject: Any) -> None:
    part, tokens = part_of((40,)), np.arange(2, VOCAB)
    unit = UnitId(SiteId(1, "head"), 2)
    [moved] = Steering(subject, part, {1}, tokens, 1, seed=0).run([Arm(unit, -1e9), Arm(unit, -1e6)])
    assert np.array_equal(moved.written[:, 0], moved.written[:, 1])
    assert np.abs(moved.written).max() > 1e-4


# places


def test_places_are_one_a_document_with_text_before_them() -> None:
    part = part_of((40,) * 50 + (3, 2, 1))
    places = draw_places(part, 99, seed=1)
    assert sorted(places.documents) == list(range(52))  # the last window has position 0 alone, which does not count
    assert np.array_equal(places.windows, places.documents)
    long = places.positions[places.windows < 50]
    assert long.min() >= CONTEXT
    assert long.max() < LENGTH
    assert len(set(long)) > 12
    assert places.positions[places.windows == 50] == 2
    assert places.positions[places.windows == 51] == 1
    assert len(draw_places(part, 20, seed=1).documents) == 20
    assert not np.array_equal(draw_places(part, 20, seed=2).windows, draw_places(part, 20, seed=1).windows)


def test_special_tokens_are_no_places(bench: Bench) -> None:
    part = bench.material.test
    places = draw_places(part, 200, seed=0)
    counts = part.table.padded(part.scored, False)
    assert counts[places.windows, places.positions].all()


# the lens


def test_the_lens_is_the_direct_path_of_the_last_layer(subject: Any) -> None:
    """Of what is written into the last residual the lens misses what the norm there takes away, and no more."""
    part, tokens = part_of((40, 40, 40)), np.arange(2, VOCAB)
    unit = UnitId(SiteId(LAYERS - 1, "mlp_act"), 5)
    steering = Steering(subject, part, {LAYERS - 1}, tokens, 3, seed=0)
    moved = list(steering.run([Arm(unit, 0.01)], direct=True))
    written = np.concatenate([m.written[:, 0] for m in moved])
    change = np.concatenate([m.change[:, 0] for m in moved])
    assert np.concatenate([m.direct for m in moved]) == pytest.approx(change, abs=1e-4 * np.abs(change).max())
    for vector, own in zip(written, change, strict=True):
        assert np.corrcoef(seen_through_lens(subject, vector, tokens), own)[0, 1] > 0.8
    assert not seen_through_lens(subject, np.zeros(subject.d_model), tokens).any()


def test_on_a_planted_neuron_what_it_promotes_rises_by_what_it_writes(model: Planted, bench: Bench) -> None:
    unit = bench.unit("effect")
    tokens = np.arange(2, model.subject.vocab_size)
    steering = Steering(model.subject, bench.material.test, {1}, tokens, 24, seed=0)
    change = np.concatenate([moved.change[:, 0] for moved in steering.run([Arm(unit, 1.0)])]).mean(0)
    texts = model.subject.token_texts()
    raised = np.isin([texts[i] for i in tokens], model.truths[unit].promotes)
    assert change[raised].min() - change[~raised].max() == pytest.approx(2.0, abs=0.2)
