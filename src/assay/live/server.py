"""The program's own side: requests are read by one thread, carried out by another, one after the other.

The reader never waits for a computation, so that a cancelled one ends at its next line of progress, and so that the
program ends with whoever started it.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

from assay.errors import AssayError, UnknownName, UsageError
from assay.live.jobs import CANCELLED, INTERNAL, MACHINE, USAGE, Failure
from assay.live.lines import LONGEST, decode, encode

WAITING = 256  # requests at most
GRACE = 2.0  # seconds that a computation has to end when the program is to
OFTEN = 0.1  # seconds between two lines of progress that differ in their share alone

Progress = Callable[..., None]
Method = Callable[[Mapping[str, Any], Progress], Mapping[str, Any]]


class Cancelled(BaseException):
    """Raised out of a line of progress. Like KeyboardInterrupt no error: nothing that handles errors may take it."""


@runtime_checkable
class Reader(Protocol):
    """What is used of a stream of bytes that is read."""

    def readline(self, limit: int, /) -> bytes: ...


@runtime_checkable
class Writer(Protocol):
    """What is used of one that is written."""

    def write(self, line: bytes, /) -> Any: ...
    def flush(self) -> None: ...


@dataclass(eq=False)
class Request:
    """One request, and whether its end was asked for."""

    id: str | int
    method: str
    params: Mapping[str, Any]
    cancelled: threading.Event = field(default_factory=threading.Event)


class _Told(NamedTuple):
    message: str
    at: float


class Server:
    """Reads requests, carries them out and answers.

    Args:
        methods: makes the table of methods by name; called with the first request, since it imports torch.
        stdin, stdout: of the protocol.
        leave: ends the program at once, when a computation does not end though it was told to.
    """

    def __init__(
        self,
        methods: Callable[[], Mapping[str, Method]],
        stdin: Reader,
        stdout: Writer,
        leave: Callable[[], None],
    ) -> None:
        self._make_methods, self._stdin, self._stdout, self._leave = methods, stdin, stdout, leave
        self._methods: Mapping[str, Method] | None = None
        self._waiting: deque[Request] = deque[Request]()
        self._current: Request | None = None
        self._closing = False
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._done = threading.Event()

    def serve(self) -> None:
        """Carry out requests until the input ends."""
        threading.Thread(target=self._read, daemon=True).start()
        while (request := self._next()) is not None:
            line = self._outcome(request)
            with self._changed:
                self._current = None
            self._say(line)
        self._done.set()

    # What the reading thread does

    def _read(self) -> None:
        while line := self._stdin.readline(LONGEST + 1):
            try:
                if len(line) > LONGEST:
                    while line and not line.endswith(b"\n"):
                        line = self._stdin.readline(LONGEST)
                    raise UsageError(f"a request has at most {LONGEST:,} bytes")
                if line.strip():
                    self._take(decode(line))
            except UsageError as error:
                self._say(_failed(None, Failure(USAGE, str(error))))
        self._close()
        if not self._done.wait(GRACE):
            self._leave()

    def _take(self, message: Mapping[str, Any]) -> None:
        name, method, given = message.get("id"), message.get("method"), message.get("params", {})
        params = cast("dict[str, Any]", given) if isinstance(given, dict) else None
        if method == "cancel":
            self._cancel((params or {}).get("id"))
            return
        if not isinstance(name, str | int) or isinstance(name, bool):
            raise UsageError("a request needs an 'id', a string or a whole number")
        if not isinstance(method, str) or params is None:
            self._say(_failed(name, Failure(USAGE, "a request needs 'method', a name, and 'params', an object")))
            return
        with self._changed:
            known = [*self._waiting, *([self._current] if self._current else [])]
            if any(request.id == name for request in known):
                raise UsageError(f"the id {name!r} is that of a request that is not answered yet; take another")
            if len(self._waiting) >= WAITING:
                self._say(_failed(name, Failure(USAGE, f"{WAITING} requests wait already; ask again later")))
                return
            self._waiting.append(Request(name, method, params))
            self._changed.notify()

    def _cancel(self, name: object) -> None:
        with self._changed:
            dropped = [request for request in self._waiting if request.id == name]
            for request in dropped:
                self._waiting.remove(request)
            if self._current is not None and self._current.id == name:
                self._current.cancelled.set()
        for request in dropped:
            self._say(_failed(request.id, Failure(CANCELLED, f"{request.method} was cancelled before it began")))

    def _close(self) -> None:
        with self._changed:
            self._closing = True
            self._waiting.clear()
            if self._current is not None:
                self._current.cancelled.set()
            self._changed.notify()

    # What the computing thread does

    def _next(self) -> Request | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            self._current = None if self._closing else self._waiting.popleft()
            return self._current

    def _outcome(self, request: Request) -> bytes:
        """The line that answers one request, whatever happens."""
        try:
            progress = self._progress(request)
            progress(f"{request.method} begins")
            result = self._method(request.method)(request.params, progress)
            return encode({"id": request.id, "result": result})
        except Cancelled:
            failure = Failure(CANCELLED, f"{request.method} was cancelled")
        except AssayError as error:
            failure = Failure(USAGE if error.exit_code == 2 else MACHINE, str(error))
        except OSError as error:
            told = " ".join(str(part) for part in (error.strerror, error.filename) if part)
            failure = Failure(MACHINE, told or repr(error))
        except (Exception, SystemExit) as error:  # noqa: BLE001  the program outlives every error of a method
            failure = _unexpected(error)
            gc.collect()
        return _failed(request.id, failure)

    def _method(self, name: str) -> Method:
        if self._methods is None:
            self._methods = self._make_methods()
        if name not in self._methods:
            raise UnknownName("method", name, self._methods)
        return self._methods[name]

    def _progress(self, request: Request) -> Progress:
        told = [_Told("", 0.0)]

        def progress(message: str, share: float | None = None) -> None:
            if request.cancelled.is_set():
                raise Cancelled
            now = time.monotonic()
            if message != told[0].message or now - told[0].at >= OFTEN or share == 1:
                told[0] = _Told(message, now)
                at = None if share is None else round(min(max(float(share), 0.0), 1.0), 4)
                self._say(encode({"id": request.id, "progress": {"message": _line(message), "share": at}}))

        return progress

    # What both do

    def _say(self, line: bytes) -> None:
        try:
            with self._writing:
                self._stdout.write(line)
                self._stdout.flush()
        except (OSError, ValueError):  # nobody hears it any more
            self._close()


def _failed(name: str | int | None, failure: Failure) -> bytes:
    return encode({"id": name, "error": {"kind": failure.kind, "message": _line(failure.message)}})


def _unexpected(error: BaseException) -> Failure:
    """An error that nobody raised on purpose; its traceback goes to standard error."""
    memory = "out of memory" in str(error).lower() or "not enough memory" in str(error).lower()
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and memory):
        return Failure(MACHINE, f"not enough memory: {error}".removesuffix(": "))
    traceback.print_exception(error, file=sys.stderr)
    return Failure(INTERNAL, f"{type(error).__name__}: {error}")


def _line(text: str) -> str:
    """Text on one line."""
    return " ".join(text.split())
