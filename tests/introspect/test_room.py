"""Batches that do not fit in memory are taken in smaller parts, with the same result."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from assay.errors import MachineError
from assay.introspect.asking import ask
from assay.introspect.regimes import doses
from assay.introspect.reporter import Reporter, reporter
from assay.introspect.room import Room, enough_memory
from assay.introspect.training import Lesson, Plan, train
from introspect.test_gates import NUMBERS, WORDINGS, kept, neurons, sentences
from model.tiny_models import tiny

LAYER = 1


def learnt(room: Room) -> tuple[dict[str, np.ndarray], np.ndarray, list[float]]:
    """What is learnt and answered when no more fits than the room has."""
    subject = tiny("llama", torch.float32)
    found = kept(subject, sentences(40), "Q")
    values = found.values[LAYER][:, list(NUMBERS)]
    given = doses("int", neurons(LAYER), values, np.random.default_rng(0))
    with reporter(subject, neurons(LAYER), WORDINGS["Q"], "above", 4, 0, room) as student:
        better = iter(range(100))
        lesson, plan = Lesson(found.batches, values), Plan(patched_epochs=2)
        trained = train(student, neurons(LAYER), lesson, "int3", plan, 0, lambda: float(next(better)))
        return student.state(), ask(student, found.batches, given), trained.losses


def test_parts_that_fit_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    state, said, losses = learnt(Room())
    whole, sizes = Reporter.answers, list[int]()

    def tight(self: Reporter, batch: Any, change: Any) -> Any:
        sizes.append(len(batch))
        if len(batch) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(self, batch, change)

    monkeypatch.setattr(Reporter, "answers", tight)
    told: list[str] = []
    room = Room(told.append)
    others, answers, own = learnt(room)
    assert room.most == 4
    assert told[-1] == "out of memory: from here on 4 sentences at once, which changes no result but by rounding"
    large = [n for n in sizes if n > 5]
    assert len(large) == len(told)  # each size is tried once, and said to be too much
    assert set(large) <= {16, 8}
    assert own == pytest.approx(losses, abs=1e-5)
    assert answers == pytest.approx(said, abs=1e-4)
    for name, value in state.items():
        assert others[name] == pytest.approx(value, abs=1e-4), name


def test_where_one_sentence_is_too_much_that_is_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(self: Reporter, batch: Any, change: Any) -> Any:
        raise RuntimeError(
            "[enforce fail at alloc_cpu.cpp:116] . DefaultCPUAllocator: can't allocate memory: you tried"
        )

    monkeypatch.setattr(Reporter, "answers", none)
    with pytest.raises(MachineError, match="one sentence; ask for fewer --neurons-per-layer"):
        learnt(Room())


def test_other_errors_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(self: Reporter, batch: Any, change: Any) -> Any:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(Reporter, "answers", wrong)
    room = Room()
    with pytest.raises(RuntimeError, match="mat1"):
        learnt(room)
    assert room.most is None
    with pytest.raises(ValueError, match="mine"), enough_memory("x"):
        raise ValueError("mine")


def test_what_does_not_fit_elsewhere_is_said() -> None:
    said = r"out of memory at m-Q-above-L3; ask for fewer .* What is finished is kept"
    with pytest.raises(MachineError, match=said), enough_memory("m-Q-above-L3"):
        raise MemoryError
