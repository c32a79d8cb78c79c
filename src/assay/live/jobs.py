"""What was asked of the program, and what has come of it so far."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from assay.errors import MachineError, UsageError

State = Literal["waiting", "running", "done", "failed", "cancelled"]

USAGE, MACHINE, INTERNAL, CANCELLED = "usage", "machine", "internal", "cancelled"


class Failure(NamedTuple):
    """Why a job has no result: ``kind`` is "usage", "machine", "internal" or "cancelled", ``message`` one line."""

    kind: str
    message: str


class Job:
    """One request. Any thread may read it, wait for it or cancel it.

    Attributes:
        id, method: its name, and what it asks for.
        state: "waiting", "running", "done", "failed" or "cancelled".
        message, share: what it is doing, and how much of that is done, 0 to 1 or None.
        result: the answer, once done; error: why there is none, once failed or cancelled.
    """

    def __init__(self, id: str, method: str, cancel: Callable[[str], None]) -> None:
        self.id, self.method = id, method
        self.state: State = "waiting"
        self.message = "waiting"
        self.share: float | None = None
        self.result: Any = None
        self.error: Failure | None = None
        self._cancel = cancel
        self._changed = threading.Condition()

    def __repr__(self) -> str:
        return f"Job({self.id!r}, {self.method!r}, {self.state})"

    @property
    def finished(self) -> bool:
        """Whether the state will not change any more."""
        return self.state in ("done", "failed", "cancelled")

    def wait(self, timeout: int | float | None = None) -> bool:
        """Wait until it is finished, at most so many seconds; whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: self.finished, timeout)

    def value(self, timeout: int | float | None = None) -> Any:
        """Wait and return the result. A job that is waited for no longer is cancelled.

        Raises:
            UsageError: the request can't be carried out as asked, or was cancelled.
            MachineError: the machine failed, the program did (a bug), or the time is over.
        """
        try:
            finished = self.wait(timeout)
        except BaseException:
            self.cancel()
            raise
        if not finished:
            self.cancel()
            raise MachineError(f"{self.method} has no answer after {timeout:g} seconds; it is cancelled")
        if self.error is None:
            return self.result
        if self.error.kind in (USAGE, CANCELLED):
            raise UsageError(self.error.message)
        raise MachineError(self.error.message)

    def cancel(self) -> None:
        """Ask for its end: dropped if it waits, else ended at its next line of progress. Does not wait for that."""
        if not self.finished:
            self._cancel(self.id)

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data, as it is at one moment."""
        with self._changed:
            return {
                "id": self.id,
                "method": self.method,
                "state": self.state,
                "message": self.message,
                "share": self.share,
                "result": self.result,
                "error": None if self.error is None else self.error._asdict(),
            }

    def begin(self, message: str, share: float | None) -> None:
        """It runs, and this is where it is. Called by the worker."""
        with self._changed:
            if not self.finished:
                self.state, self.message, self.share = "running", message, share

    def end(self, result: Any = None, error: Failure | None = None) -> None:
        """It has a result or failed; only the first end counts. Called by the worker."""
        with self._changed:
            if not self.finished:
                self.result, self.error = result, error
                self.message = "done" if error is None else error.message
                self.state = "done" if error is None else "cancelled" if error.kind == CANCELLED else "failed"
                self._changed.notify_all()
