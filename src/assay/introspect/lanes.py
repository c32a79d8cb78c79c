"""Reporters taught at the same time, each by its share of the processor.

A step is hundreds of products too small for two cores to share well, and reporters need nothing of each other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from queue import SimpleQueue
from typing import TYPE_CHECKING

import torch

from assay.introspect.ground import Progress
from assay.introspect.group import Course, Learnt, Teacher, teach
from assay.introspect.training import attention
from assay.model import large

if TYPE_CHECKING:
    from assay.model import Subject

_LOOK_UP = 1.0  # seconds


class Stopped(Exception):
    """A lesson is over because another one failed."""


class Lanes:
    """So many lessons at once, each in a thread with as many cores as the others.

    Lanes have modules of their own around the same weights, for adapters and edits are put into modules. What is
    learnt does not depend on how many there are, but by the rounding of products over fewer cores.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._own: dict[tuple[int, int], tuple[Subject, Subject]] = {}

    @classmethod
    def of(cls, subject: Subject) -> Lanes:
        """One a core on a CPU; elsewhere one, which has all of the device."""
        alone = subject.device.type != "cpu" or large.is_spread(subject.model)
        return cls(1 if alone else torch.get_num_threads())

    def teach(self, courses: Sequence[Course], progress: Progress, teacher: Teacher = teach) -> list[Learnt]:
        """What a teacher makes of each course, in their order; ``progress`` is that of the longest under way.

        Raises:
            Exception: whatever a lesson raised first; the others end at their next step.
        """
        if not courses:
            return []
        with attention(courses[0].ground.learner):
            if min(self.count, len(courses)) == 1:
                return [teacher(course, progress) for course in courses]
            return self._side_by_side(courses, progress, teacher)

    def _side_by_side(self, courses: Sequence[Course], progress: Progress, teacher: Teacher) -> list[Learnt]:
        longest_first = sorted(range(len(courses)), key=lambda place: -courses[place].examples)
        count, threads = min(self.count, len(courses)), torch.get_num_threads()
        free = SimpleQueue[int]()
        for lane in range(count):
            free.put(lane)
        desk = _Desk(longest_first, progress)
        own = [[self._within(lane, course) for course in courses] for lane in range(count)]  # while no module is in use

        def lesson(place: int) -> Learnt:
            lane = free.get()
            torch.set_num_threads(max(1, threads // count))
            try:
                return teacher(own[lane][place], desk.of(place))
            finally:
                desk.over(place)
                free.put(lane)

        try:
            with ThreadPoolExecutor(count, "lane") as pool:
                try:  # from the first lesson on: an interruption while others are handed out must end it
                    futures = {place: pool.submit(lesson, place) for place in longest_first}
                    return _results([futures[place] for place in range(len(courses))])
                finally:  # whatever ends it, an interruption too; if all went well nothing is left to end
                    desk.stop.set()
                    pool.shutdown(wait=False, cancel_futures=True)
        finally:
            torch.set_num_threads(threads)

    def _within(self, lane: int, course: Course) -> Course:
        ground = course.ground
        own = {"learner": self._subject(lane, ground.learner), "meter": self._subject(lane, ground.meter)}
        return course._replace(ground=replace(ground, **own))

    def _subject(self, lane: int, subject: Subject) -> Subject:
        if lane == 0:
            return subject
        key = lane, id(subject)
        if key not in self._own:
            self._own[key] = subject, subject.sharing()  # the first is held so that its id stays its own
        return self._own[key][1]


class _Desk:
    """Hears of every lesson, and passes on what is said of the first that is under way."""

    def __init__(self, order: Sequence[int], progress: Progress) -> None:
        self.stop = threading.Event()
        self._going, self._progress, self._lock = list(order), progress, threading.Lock()

    def of(self, place: int) -> Callable[..., None]:
        def told(message: str, share: float | None = None) -> None:
            if self.stop.is_set():
                raise Stopped
            with self._lock:
                if self._going[0] == place:
                    self._progress(message, share)

        return told

    def over(self, place: int) -> None:
        with self._lock:
            self._going.remove(place)


def _results(futures: Sequence[Future[Learnt]]) -> list[Learnt]:
    """Of all, or the first error. It looks up every second: a signal that comes between Python's last look and a wait
    without end is heard only when the wait is over."""
    waiting = set(futures)
    while waiting:
        done, waiting = wait(futures, _LOOK_UP, FIRST_EXCEPTION)
        for future in done:
            future.result()
    return [future.result() for future in futures]
