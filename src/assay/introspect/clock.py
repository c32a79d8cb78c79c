"""How long the rest of a run will take, told with its progress."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from assay.introspect.group import Course, Learnt, Teacher, Trial, teach

if TYPE_CHECKING:
    from assay.introspect.ground import Progress

_LEAST = 0.02  # share of the work after which a time is told at all


class Clock:
    """Progress that says how much time is left, by the lessons that are over.

    Args:
        costs: what each part of the run costs, in any unit.
        progress: where messages go.

    Work that was found done does not count, neither for the pace nor as work that is left; nor does what comes before
    the first lesson.
    """

    def __init__(self, costs: Sequence[int], progress: Progress, now: Callable[[], float] = time.monotonic) -> None:
        self._costs, self._progress, self._now = costs, progress, now
        self._skipped = 0
        self._started: float | None = None
        self._part, self._within = 0, 0
        self._going: dict[int, float] = {}  # by thread, how much of the part's cost its lesson has brought so far
        self._lock = threading.Lock()

    def __call__(self, message: str, share: float | None = None) -> None:
        """Pass a message on; ``share`` of what it tells of is over."""
        left = self.left()
        self._progress(message if left is None else f"{message}, {_said(left)} left", share)

    def skip(self) -> None:
        """The present part was done before."""
        self._skipped += self._costs[self._part]
        self.next()

    def next(self) -> None:
        """The present part is over, whatever was left of it."""
        self._part, self._within = self._part + 1, 0

    def left(self) -> float | None:
        """Seconds; None as long as little is known."""
        if self._started is None or self._part >= len(self._costs):
            return None
        with self._lock:
            within = min(self._within + sum(self._going.values()), self._costs[self._part])
        done = sum(self._costs[: self._part]) + within - self._skipped
        rest = sum(self._costs[self._part :]) - within
        if done < _LEAST * (done + rest):
            return None
        return rest * (self._now() - self._started) / done

    def teacher(self, cost: Callable[[Trial], int], teacher: Teacher = teach) -> Teacher:
        """A teacher each of whose lessons is so much of the present part's cost; several may go on at once."""

        def teaching(lessons: Course, progress: Progress) -> Learnt:
            whole, thread = cost(lessons.trial), threading.get_ident()

            def told(message: str, share: float = 0.0) -> None:
                with self._lock:
                    self._going[thread] = share * whole
                progress(message, share)

            with self._lock:
                self._started = self._now() if self._started is None else self._started
            learnt = teacher(lessons, told)
            with self._lock:
                self._going.pop(thread, None)
                self._within += whole
            return learnt

        return teaching


def _said(seconds: float) -> str:
    """about 40 min, about 2 h 10 min"""
    minutes = max(1, round(seconds / 60))
    return f"about {minutes} min" if minutes < 90 else f"about {minutes // 60} h {minutes % 60} min"
