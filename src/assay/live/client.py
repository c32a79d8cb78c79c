"""Asking the program: started when it is first needed, shared by any number of threads, started again if it dies.

Nothing here imports torch: the web viewer stands on it.
"""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, cast

from assay.errors import UnknownName, UsageError
from assay.live.jobs import MACHINE, Job
from assay.live.jobs import Failure as Failure
from assay.live.lines import LONGEST, encode
from assay.live.program import Program

KEPT = 64  # finished jobs


class Worker:
    """One model worker, at most one process at a time.

    ``keep``: how many finished jobs :meth:`job` still finds. Use it as a context manager, or :meth:`close` it; the
    process ends with this one anyway.

    Args:
        command: how to start it; ``python -P -m assay.live`` unless told otherwise, so that nothing is imported from
            the directory that one happens to be in.
    """

    def __init__(self, command: Sequence[str] | None = None, keep: int = KEPT) -> None:
        self._command = tuple(command or (sys.executable, "-P", "-m", "assay.live"))
        self.keep = keep
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._program: Program | None = None
        self._asked: dict[str, Program] = {}  # by unfinished job, the process that was asked
        self._jobs: dict[str, Job] = {}

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def running(self) -> bool:
        """Whether the process runs now."""
        with self._lock:
            return self._program is not None and self._program.alive

    @property
    def pid(self) -> int | None:
        """The process, if there is one."""
        with self._lock:
            return None if self._program is None else self._program.pid

    def submit(self, method: str, params: Mapping[str, Any]) -> Job:
        """Ask; returns at once.

        Raises:
            UsageError: ``params`` is no JSON, or too long.
            MachineError: the process can't be started.
        """
        with self._lock:
            name = str(next(self._numbers))
        try:
            line = encode({"id": name, "method": method, "params": dict(params)})
        except (ValueError, TypeError) as error:
            raise UsageError(f"what is asked of {method} is no JSON: {error}") from error
        if len(line) > LONGEST:
            raise UsageError(f"what is asked of {method} has {len(line):,} bytes; at most {LONGEST:,} are allowed")
        job = Job(name, method, self._cancel)
        with self._lock:
            program = self._start()
            self._jobs[name], self._asked[name] = job, program
            self._forget()
        program.send(line)
        return job

    def call(self, method: str, params: Mapping[str, Any], timeout: int | float | None = None) -> Any:
        """Ask, wait, and return the result; past ``timeout`` seconds the job is cancelled.

        Raises:
            UsageError: the request can't be carried out as asked.
            MachineError: the machine failed, the program did, or the time is over.
        """
        return self.submit(method, params).value(timeout)

    def job(self, name: str) -> Job:
        """The job of that id.

        Raises:
            UnknownName: there is none, or it is no longer kept.
        """
        with self._lock:
            if name not in self._jobs:
                raise UnknownName("job", name, self._jobs)
            return self._jobs[name]

    def jobs(self) -> list[Job]:
        """Every job that is not finished, and the last ``keep`` that are, oldest first."""
        with self._lock:
            return list(self._jobs.values())

    def close(self) -> None:
        """End the process and fail what is not finished. A later :meth:`submit` starts another."""
        with self._lock:
            program, self._program = self._program, None
            self._fail(program, "the model worker was closed before it answered")
        if program is not None:
            program.close()

    def _start(self) -> Program:
        if self._program is None or not self._program.alive:
            self._program = Program(self._command, self._hear, self._has_ended)
        return self._program

    def _cancel(self, name: str) -> None:
        with self._lock:
            program = self._asked.get(name)
        if program is not None:
            program.send(encode({"method": "cancel", "params": {"id": name}}))

    def _hear(self, message: dict[str, Any]) -> None:
        name = message.get("id")
        with self._lock:
            job = self._jobs.get(name) if isinstance(name, str) else None
        if job is None:
            return
        if progress := _object(message.get("progress")):
            share = progress.get("share")
            job.begin(str(progress.get("message", "")), float(share) if isinstance(share, int | float) else None)
        elif error := _object(message.get("error")):
            self._end(job, None, Failure(str(error.get("kind")), str(error.get("message"))))
        elif "result" in message:
            self._end(job, message["result"], None)

    def _end(self, job: Job, result: Any, failure: Failure | None) -> None:
        with self._lock:
            self._asked.pop(job.id, None)
            job.end(result, failure)
            self._forget()

    def _has_ended(self, program: Program) -> None:
        with self._lock:
            if self._program is program:
                self._program = None
            self._fail(program, f"the model worker {program.last_words()}; ask again, and it is started anew")

    def _fail(self, program: Program | None, message: str) -> None:
        for name in [name for name, asked in self._asked.items() if asked is program]:
            self._end(self._jobs[name], None, Failure(MACHINE, message))

    def _forget(self) -> None:
        finished = [name for name, job in self._jobs.items() if job.finished]
        for name in finished[: max(0, len(finished) - self.keep)]:
            del self._jobs[name]


def _object(value: object) -> dict[str, Any]:
    """An object of JSON; empty where it is something else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
