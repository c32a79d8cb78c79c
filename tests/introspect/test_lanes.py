"""Reporters that are taught at the same time learn what they would have learnt alone."""

from __future__ import annotations

import signal
import threading
import time
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch

from assay.introspect.ground import Ground
from assay.introspect.group import NULL, Course, Learnt, Trial, course
from assay.introspect.lanes import Lanes, Stopped
from assay.introspect.neurons import measured
from assay.introspect.training import Plan, Trained
from assay.testing.planted_reports import UNIT
from model.tiny_models import tiny


def quiet(message: str, share: float | None = None) -> None:
    """Tells nobody."""


def courses(ground: Ground, trainable: str) -> list[Course]:
    neuron = measured(UNIT, "planted", ground.fit.values[UNIT.site.layer][:, 0], 1.0)
    trials = [Trial(trainable, *what) for what in (("nat", 400), ("int3", 400), (NULL, 400), ("nat", 800))]
    return [course(ground, [neuron], trial, Plan(epochs=1, patched_epochs=1, rank=4), 0) for trial in trials]


@pytest.mark.parametrize("trainable", ["above", "full", "finetune"])
def test_what_is_learnt_side_by_side_is_what_is_learnt_alone(grounds: dict[str, Ground], trainable: str) -> None:
    ground = grounds["Q"]
    before = {name: weight.clone() for name, weight in ground.learner.model.named_parameters()}
    own = courses(ground, trainable)[: 4 if trainable == "above" else 2]
    alone, beside = Lanes(1).teach(own, quiet), Lanes(3).teach(own, quiet)
    assert [len(one.trained.losses) for one in beside] == [25, 25, 25, 50][: len(own)]
    for one, other in zip(alone, beside, strict=True):
        assert one.trained == other.trained
        assert set(one.weights) == set(other.weights)
        for name, weight in one.weights.items():
            assert np.array_equal(weight, other.weights[name]), name
    assert np.abs(beside[0].weights["rows"]).max() > 0
    after = dict(ground.learner.model.named_parameters())
    assert set(after) == set(before)  # no adapter is left
    assert all(torch.equal(before[name], weight) for name, weight in after.items())


def test_lessons_are_taught_at_once_on_the_same_weights_in_modules_of_their_own(grounds: dict[str, Ground]) -> None:
    together, seen = threading.Barrier(2, timeout=30), list[tuple[int, int]]()
    ground = grounds["Q"]

    def teacher(lessons: Course, progress: Any) -> Learnt:
        together.wait()  # nobody goes on alone
        subject = lessons.ground.learner
        seen.append((id(subject), id(next(subject.model.parameters()))))
        return Learnt({}, Trained([float(lessons.trial.size)], False))

    learnt = Lanes(2).teach(courses(ground, "rows"), quiet, teacher)
    assert [one.trained.losses for one in learnt] == [[400.0], [400.0], [400.0], [800.0]]
    subjects, weights = {subject for subject, _ in seen}, {weight for _, weight in seen}
    assert len(subjects) == 2
    assert id(ground.learner) in subjects
    assert weights == {id(next(ground.learner.model.parameters()))}


def test_what_is_told_is_of_the_longest_lesson_under_way(grounds: dict[str, Ground]) -> None:
    told: list[str] = []
    together = threading.Barrier(4, timeout=30)

    def teacher(lessons: Course, progress: Any) -> Learnt:
        together.wait()
        progress(f"{lessons.trial.regime} {lessons.trial.size}", 0.5)
        together.wait()
        return Learnt({}, Trained([], False))

    Lanes(4).teach(courses(grounds["Q"], "rows"), lambda message, share: told.append(message), teacher)
    assert told == ["nat 800"]


def test_what_goes_wrong_in_one_lesson_ends_the_others_and_is_raised(grounds: dict[str, Ground]) -> None:
    ended: list[Stopped] = []
    ground = grounds["Q"]

    def teacher(lessons: Course, progress: Any) -> Learnt:
        if lessons.trial.regime == NULL:
            raise MemoryError("too much")
        try:
            while True:
                progress("going on")
                time.sleep(0.001)
        except Stopped as stopped:
            ended.append(stopped)
            raise

    threads = torch.get_num_threads()
    with pytest.raises(MemoryError, match="too much"):
        Lanes(4).teach(courses(ground, "rows"), quiet, teacher)
    assert len(ended) == 3
    assert torch.get_num_threads() == threads
    [again] = Lanes(4).teach(courses(ground, "rows")[:1], quiet)  # and nothing is broken
    assert len(again.trained.losses) == 25


@pytest.mark.parametrize("steps", [0, 20])
def test_an_interruption_ends_all_lessons(grounds: dict[str, Ground], steps: int) -> None:
    together, ended = threading.Barrier(2, timeout=30), list[Stopped]()

    def teacher(lessons: Course, progress: Any) -> Learnt:
        first = together.wait() == 0
        try:
            for step in count():
                if first and step == steps:  # while others are still handed out, or later; once, as Ctrl-C does
                    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                progress("going on")
                time.sleep(0.001)
        except Stopped as stopped:
            ended.append(stopped)
            raise
        raise AssertionError

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell runs us in the background
    try:
        with pytest.raises(KeyboardInterrupt):
            Lanes(2).teach(courses(grounds["Q"], "rows"), quiet, teacher)
    finally:
        signal.signal(signal.SIGINT, before)
    lanes = [thread for thread in threading.enumerate() if thread.name.startswith("lane")]
    if steps == 0:  # a thread that was being started when it came is not waited for; it ends by itself
        for thread in lanes:
            thread.join(10)
        lanes = [thread for thread in lanes if thread.is_alive()]
    assert not lanes
    assert len(ended) == 2  # of four: those that had not begun never do


def test_a_cpu_has_a_lane_for_each_core(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = tiny("llama", torch.float32)
    torch.set_num_threads(2)
    assert Lanes.of(subject).count == 2
    monkeypatch.setattr(subject, "device", torch.device("meta"))
    assert Lanes.of(subject).count == 1
    assert Lanes(3).teach([], quiet) == []
