"""The program's side alone, with methods made for the test, in threads of this process."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from assay.errors import DownloadError, UsageError
from assay.live.lines import LONGEST, decode, encode
from assay.live.server import Progress, Server


class Talk:
    """A server behind two pipes."""

    def __init__(self, methods: Mapping[str, Any]) -> None:
        ours, theirs = os.pipe()
        self.hears, says = os.fdopen(ours, "rb"), os.fdopen(theirs, "wb")
        ours, theirs = os.pipe()
        reads, self.says = os.fdopen(ours, "rb"), os.fdopen(theirs, "wb")
        self.left = threading.Event()
        self._streams = (self.hears, self.says, reads, says)
        self._server = Server(lambda: dict(methods), reads, says, self.left.set)
        self.thread = threading.Thread(target=self._server.serve)
        self.thread.start()

    def say(self, line: bytes | Mapping[str, Any]) -> None:
        self.says.write(line if isinstance(line, bytes) else encode(line))
        self.says.flush()

    def answer(self) -> dict[str, Any]:
        """The next line that is no progress."""
        while "progress" in (message := json.loads(self.hears.readline())):
            pass
        return message

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        self.say({"id": 1, "method": method, "params": params})
        return self.answer()

    def end(self) -> None:
        if not self.says.closed:
            self.says.close()
        self.thread.join(10)
        assert not self.thread.is_alive()
        for stream in self._streams:
            stream.close()


gate, begun = threading.Event(), threading.Event()


def long(params: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Goes on until it is cancelled, or the test lets it go."""
    begun.set()
    while not gate.wait(0.01):
        progress("still at it", 0.5)
    return {}


def deaf(params: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Says nothing while it goes on, so that it can't be cancelled."""
    begun.set()
    gate.wait(20)
    return {}


def failing(error: BaseException) -> Callable[..., Any]:
    def fail(params: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        raise error

    return fail


METHODS = {
    "echo": lambda params, progress: dict(params),
    "nan": lambda params, progress: {"value": float("nan")},
    "long": long,
    "deaf": deaf,
    "usage": failing(UsageError("two\nlines")),
    "machine": failing(DownloadError("no network")),
    "disk": failing(OSError(28, "No space left on device", "/there")),
    "memory": failing(MemoryError()),
    "torch": failing(RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate")),
    "bug": failing(KeyError("x")),
    "exit": failing(SystemExit(3)),
}


@pytest.fixture
def talk() -> Iterator[Talk]:
    gate.clear()
    begun.clear()
    made = Talk(METHODS)
    yield made
    gate.set()
    made.end()


def test_a_request_is_answered_with_its_id_after_it_was_said_to_begin(talk: Talk) -> None:
    talk.say({"id": "a", "method": "echo", "params": {"x": [1, "é"]}})
    assert json.loads(talk.hears.readline()) == {"id": "a", "progress": {"message": "echo begins", "share": None}}
    assert talk.answer() == {"id": "a", "result": {"x": [1, "é"]}}


@pytest.mark.parametrize(
    ("method", "kind", "message"),
    [
        ("usage", "usage", "two lines"),
        ("machine", "machine", "no network"),
        ("disk", "machine", "No space left on device /there"),
        ("memory", "machine", "not enough memory"),
        ("torch", "machine", "not enough memory: [enforce fail]"),
        ("bug", "internal", "KeyError: 'x'"),
        ("exit", "internal", "SystemExit: 3"),
        ("nan", "internal", "ValueError: Out of range float values are not JSON compliant"),
        ("ecko", "usage", "unknown method 'ecko'; did you mean 'echo'?"),
    ],
)
def test_every_error_is_one_line_and_the_next_request_is_answered(
    talk: Talk, method: str, kind: str, message: str
) -> None:
    error = talk.ask(method)["error"]
    assert error["kind"] == kind
    assert error["message"].startswith(message)
    assert "\n" not in error["message"]
    assert talk.ask("echo", x=1)["result"] == {"x": 1}


@pytest.mark.parametrize(
    "line",
    [
        b"rubbish\n",
        b"\xff\xfe\n",
        b"[1, 2]\n",
        b"null\n",
        b'{"id": 1, "method": "echo", "params": {"x": NaN}}\n',
        b'{"id": 1, "method": "echo", "params": {"x": ' + b"9" * 5000 + b"}}\n",
        b"[" * 100_000 + b"\n",
        b'{"method": "echo"}\n',
        b'{"id": [], "method": "echo"}\n',
        b'{"id": true, "method": "echo"}\n',
        b"x" * (LONGEST + 5) + b"\n",
    ],
    ids=lambda line: repr(line[:24]),
)
def test_what_is_no_request_is_said_to_be_none(talk: Talk, line: bytes) -> None:
    threading.Thread(target=talk.say, args=(line,)).start()
    answer = talk.answer()
    assert answer["id"] is None
    assert answer["error"]["kind"] == "usage"
    assert talk.ask("echo", x=1)["result"] == {"x": 1}


@pytest.mark.parametrize("line", [{"id": 7}, {"id": 7, "method": 3}, {"id": 7, "method": "echo", "params": [1]}])
def test_a_request_with_an_id_that_lacks_something_is_answered_by_that_id(talk: Talk, line: dict[str, Any]) -> None:
    talk.say(line)
    assert talk.answer() == {
        "id": 7,
        "error": {"kind": "usage", "message": "a request needs 'method', a name, and 'params', an object"},
    }


def test_a_running_request_is_cancelled_and_a_waiting_one_dropped(talk: Talk) -> None:
    talk.say({"id": 1, "method": "long"})
    assert begun.wait(10)
    talk.say({"id": 2, "method": "echo"})
    talk.say({"id": 2, "method": "echo"})
    assert "take another" in talk.answer()["error"]["message"]
    for name in (2, 99, 1):
        talk.say({"method": "cancel", "params": {"id": name}})
    assert talk.answer() == {
        "id": 2,
        "error": {"kind": "cancelled", "message": "echo was cancelled before it began"},
    }
    assert talk.answer() == {"id": 1, "error": {"kind": "cancelled", "message": "long was cancelled"}}
    assert talk.ask("echo", x=1)["result"] == {"x": 1}


def test_no_more_than_so_many_requests_wait(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.live.server.WAITING", 2)
    talk.say({"id": 0, "method": "long"})
    assert begun.wait(10)
    for name in (1, 2, 3):
        talk.say({"id": name, "method": "echo"})
    assert talk.answer() == {"id": 3, "error": {"kind": "usage", "message": "2 requests wait already; ask again later"}}
    gate.set()
    assert [talk.answer()["id"] for _ in range(3)] == [0, 1, 2]


def test_the_end_of_the_input_ends_it_whatever_it_does(talk: Talk) -> None:
    talk.say({"id": 1, "method": "long"})
    talk.say({"id": 2, "method": "echo"})
    assert begun.wait(10)
    talk.says.close()
    talk.thread.join(10)
    assert not talk.thread.is_alive()
    assert not talk.left.is_set()


def test_what_does_not_end_is_left(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.live.server.GRACE", 0.1)
    talk.say({"id": 1, "method": "deaf"})
    assert begun.wait(10)
    talk.says.close()
    assert talk.left.wait(10)
    gate.set()


def test_lines_are_ascii_and_come_back() -> None:
    message = {"text": "é\u2028\U0001f600", "n": [None, 1.5]}
    line = encode(message)
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert decode(line) == message
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode({"x": float("inf")})
