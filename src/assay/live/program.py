"""One run of the program, seen from outside: a process, and the two threads that hear what it says."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from typing import IO, Any

from assay.errors import MachineError, UsageError
from assay.live.lines import decode

GRACE = 5.0  # seconds that it has to end by itself
_KEPT = 16_384  # bytes of its standard error
_LINE = 300  # characters of a line that is quoted


class Program:
    """A process that is fed lines and gives lines.

    Args:
        command: what to run.
        hear: is told each message, in a thread of its own.
        ended: is told, once, when it has ended, with all that it said heard, by that thread.

    Raises:
        MachineError: it can't be started.
    """

    def __init__(
        self, command: Sequence[str], hear: Callable[[dict[str, Any]], None], ended: Callable[[Program], None]
    ) -> None:
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe)
        except OSError as error:
            raise MachineError(f"can't start the model worker, {command[0]}: {error.strerror or error}") from error
        self._hear, self._ended = hear, ended
        self._sending = threading.Lock()
        self._stderr = b""
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._listen, self._drain)]
        for thread in self._threads:
            thread.start()

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, line: bytes) -> None:
        """Hand it a line; nothing happens where it has ended, which ``ended`` tells."""
        with self._sending, contextlib.suppress(OSError, ValueError):
            stdin = _there(self._process.stdin)
            stdin.write(line)
            stdin.flush()

    def close(self) -> None:
        """End it: by the end of its standard input, else by force. Returns when it is gone and ``ended`` was told."""
        with self._sending, contextlib.suppress(OSError):
            _there(self._process.stdin).close()
        for insist in (self._process.terminate, self._process.kill):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE)
                break
            insist()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(GRACE)

    def last_words(self) -> str:
        """How it ended, and the last line of its standard error."""
        code = self._process.returncode
        how = f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with code {code}"
        lines = [line.strip() for line in self._stderr.decode("utf-8", "replace").splitlines()]
        last = next((line for line in reversed(lines) if line), "")
        shown = "".join(c for c in last if c.isprintable())[:_LINE]
        return f"{how}; " + (f"its last words: {shown}" if shown else "it said nothing")

    def _listen(self) -> None:
        stdout = _there(self._process.stdout)
        with stdout:
            for line in stdout:
                with contextlib.suppress(UsageError):  # not ours: something else wrote into the pipe
                    self._hear(decode(line))
        self._process.wait()
        self._threads[1].join(GRACE)
        with self._sending, contextlib.suppress(OSError):
            _there(self._process.stdin).close()
        self._ended(self)

    def _drain(self) -> None:
        """Read its standard error, so that it never blocks there, and keep the end of it."""
        stderr = _there(self._process.stderr)
        with stderr:
            while chunk := os.read(stderr.fileno(), _KEPT):
                self._stderr = (self._stderr + chunk)[-_KEPT:]


def _there(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


def _signal_name(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"
