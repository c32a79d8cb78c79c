"""The time that a run says is left."""

from __future__ import annotations

from typing import Any

import pytest

from assay.introspect.clock import Clock
from assay.introspect.ground import Ground
from assay.introspect.group import NULL, Learnt, Trial, course
from assay.introspect.neurons import measured
from assay.introspect.parts import parts_of
from assay.introspect.request import ReportRequest
from assay.introspect.training import Plan, Trained
from assay.testing.planted_reports import UNIT


class Watch:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_time_left_is_by_the_pace_of_what_was_taught(grounds: dict[str, Ground]) -> None:
    watch, told = Watch(), list[tuple[str, float | None]]()
    clock = Clock([10, 30, 60], lambda *said: told.append(said), watch)
    watch.seconds = 300.0  # reading, which says nothing of how long lessons take
    clock("reading")
    assert told.pop() == ("reading", None)

    def teach(lessons: Any, progress: Any) -> Learnt:
        watch.seconds += 60
        progress("teaching", 0.5)
        watch.seconds += 60
        return Learnt({}, Trained([], False))

    ground = grounds["Q"]
    neuron = measured(UNIT, "planted", ground.fit.values[1][:, 0], 1.0)
    lessons = course(ground, [neuron], Trial("above", "nat", 400), Plan(), 0)
    clock.skip()  # found done: 90 are left, of which the next lesson is 15
    teaching = clock.teacher(lambda trial: 15, teach)
    teaching(lessons, clock)
    assert told.pop() == ("teaching, about 11 min left", 0.5)  # 7.5 took a minute, 82.5 are left
    assert clock.left() == pytest.approx(75 / 15 * 120)
    clock.next()  # the rest of this part needed no teaching
    assert clock.left() == pytest.approx(60 / 30 * 120)
    watch.seconds += 3600 - 120
    clock("asking")
    assert told.pop() == ("asking, about 2 h 0 min left", None)
    clock.next()
    assert clock.left() is None


def test_a_part_costs_what_its_lessons_cost() -> None:
    request = ReportRequest(models=("m",), layers=(0, 3), regimes=("nat", "int"), train_examples=320, effort="smoke")
    plan = Plan(epochs=2, patched_epochs=5)
    deep, last = parts_of(request, {"m": 4})
    # 20 steps an epoch, 10 for the half; natural values twice, and three controls; layers above and two more
    steps = 2 * (20 + 10) + 3 * 2 * 20 + 5 * (20 + 10)
    assert deep.cost(request, plan) == steps * (3 + 2)
    assert last.cost(request, plan) == steps * (0 + 2)
    assert [(trial.regime, trial.size) for trial in deep.trials(request)] == [
        *(("nat", 160), ("nat", 320), ("int", 160), ("int", 320)),
        *[(NULL, 320)] * 3,
    ]
    assert deep.name == "m-Q-above-L0"
    patched = ReportRequest(models=("m",), layers=(0,), regimes=("int",), topologies=("S",), effort="smoke")
    [alone] = parts_of(patched, {"m": 4})
    assert alone.cost(patched, plan) == 2 * 5 * (25 + 13) * (3 + 2)  # one neuron at a time
