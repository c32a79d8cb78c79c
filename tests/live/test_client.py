"""The client, against small programs that speak the protocol, and some that don't."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from assay.errors import MachineError, UnknownName, UsageError
from assay.live.client import Worker
from assay.live.jobs import Failure, Job
from assay.live.methods import METHODS
from assay.live.params import EVERYWHERE

ECHO = """
import json, os, sys, time
kept = None
for line in sys.stdin:
    asked = json.loads(line)
    method, params, id = asked["method"], asked["params"], asked.get("id")
    def say(**what):
        print(json.dumps({"id": id, **what}), flush=True)
    if method == "cancel":
        id = params["id"]
        say(error={"kind": "cancelled", "message": "hold was cancelled"})
    elif method == "hold":
        say(progress={"message": "holding", "share": 0.25})
    elif method == "die":
        print("first", "last words", sep="\\n", file=sys.stderr, flush=True)
        os._exit(3)
    elif method == "kill":
        os.kill(os.getpid(), 9)
    elif method == "noise":
        print("not ours", '{"id": 99, "result": 1}', '{"id": "1", "progress": 7}', "[]", sep="\\n", flush=True)
        sys.stderr.write("x" * 1_000_000)
        sys.stderr.flush()
        say(result=params)
    elif method == "bad":
        say(error={"kind": params["kind"], "message": "no"})
    else:
        say(result={"pid": os.getpid(), **params})
"""


def program(code: str = ECHO) -> Worker:
    return Worker([sys.executable, "-c", code], keep=3)


def test_nothing_runs_before_something_is_asked_and_nothing_after_the_end() -> None:
    with program() as worker:
        assert not worker.running
        assert worker.call("echo", {"x": 1})["x"] == 1
        assert worker.running
    assert not worker.running
    assert worker.call("echo", {"x": 2})["x"] == 2
    worker.close()
    worker.close()


def test_a_job_says_where_it_is_and_is_cancelled() -> None:
    with program() as worker:
        job = worker.submit("hold", {})
        while job.state == "waiting":
            time.sleep(0.01)
        assert job.to_json() == {
            "id": job.id,
            "method": "hold",
            "state": "running",
            "message": "holding",
            "share": 0.25,
            "result": None,
            "error": None,
        }
        assert not job.wait(0.01)
        job.cancel()
        assert job.wait(10)
        assert (job.state, job.error) == ("cancelled", Failure("cancelled", "hold was cancelled"))
        with pytest.raises(UsageError, match="was cancelled"):
            job.value()
        job.cancel()
        with pytest.raises(MachineError, match=r"hold has no answer after 0\.05 seconds; it is cancelled"):
            worker.call("hold", {}, timeout=0.05)


@pytest.mark.parametrize(
    ("kind", "error"), [("usage", UsageError), ("machine", MachineError), ("internal", MachineError)]
)
def test_errors_are_raised_as_the_worker_said(kind: str, error: type[Exception]) -> None:
    with program() as worker, pytest.raises(error, match=r"^no$"):
        worker.call("bad", {"kind": kind})


@pytest.mark.parametrize(
    ("method", "how"),
    [
        ("die", "ended with code 3; its last words: last words"),
        ("kill", r"was killed by signal 9 \(SIGKILL\); it said"),
    ],
)
def test_a_crash_fails_what_is_unfinished_and_the_next_request_starts_it_again(method: str, how: str) -> None:
    with program() as worker:
        held, before = worker.submit("hold", {}), worker.call("echo", {})["pid"]
        with pytest.raises(MachineError, match=f"^the model worker {how}.*; ask again, and it is started anew$"):
            worker.call(method, {}, timeout=30)
        assert held.wait(10)
        assert held.state == "failed"
        assert worker.call("echo", {})["pid"] != before


def test_noise_on_both_streams_is_passed_over() -> None:
    with program() as worker:
        assert worker.call("noise", {"x": 1}, timeout=30) == {"x": 1}
        assert worker.call("echo", {"x": 2})["x"] == 2


def test_closing_fails_what_is_unfinished() -> None:
    worker = program()
    job = worker.submit("hold", {})
    worker.close()
    assert job.error == Failure("machine", "the model worker was closed before it answered")


def test_a_program_that_is_not_there_is_one_line() -> None:
    with pytest.raises(MachineError, match="can't start the model worker, /nowhere/python: No such file"):
        Worker(["/nowhere/python"]).submit("echo", {})


def test_a_program_that_does_not_end_by_itself_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.live.program.GRACE", 0.2)
    worker = program("import signal, time; signal.signal(15, signal.SIG_IGN); print('{}', flush=True); time.sleep(60)")
    job, began = worker.submit("hold", {}), time.monotonic()
    time.sleep(0.3)
    worker.close()
    assert job.finished
    assert not worker.running
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("params", [{"x": float("nan")}, {"x": object()}, {"x": "y" * (8 << 20)}])
def test_what_is_no_request_is_refused_before_it_is_sent(params: dict[str, Any]) -> None:
    worker = program()
    with pytest.raises(UsageError, match="what is asked of echo"):
        worker.submit("echo", params)
    assert not worker.running


def test_finished_jobs_are_kept_up_to_a_bound_and_unfinished_ones_always() -> None:
    with program() as worker:
        held = worker.submit("hold", {})
        jobs = [worker.submit("echo", {}) for _ in range(6)]
        assert all(job.wait(10) for job in jobs)
        assert [job.id for job in worker.jobs()] == [held.id, *(job.id for job in jobs[-3:])]
        assert worker.job(held.id) is held
        with pytest.raises(UnknownName, match="unknown job"):
            worker.job(jobs[0].id)


def test_many_threads_ask_one_program() -> None:
    found: list[tuple[int, dict[str, Any]]] = []

    def ask(x: int) -> None:
        found.append((x, worker.call("echo", {"x": x}, timeout=30)))

    with program() as worker:
        threads = [threading.Thread(target=ask, args=(x,)) for x in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(x for x, _ in found) == list(range(40))
    assert all(answer["x"] == x for x, answer in found)
    assert len({answer["pid"] for _, answer in found}) == 1


def test_a_job_that_nobody_waits_for_any_more_is_cancelled() -> None:
    cancelled: list[str] = []
    job = Job("1", "echo", cancelled.append)
    with pytest.raises(MachineError):
        job.value(timeout=0.0)
    assert cancelled == ["1"]
    job.end(result=3)
    job.end(error=Failure("machine", "too late"))
    job.begin("too late", None)
    assert (job.value(), job.state, job.message) == (3, "done", "done")
    assert repr(job) == "Job('1', 'echo', done)"


def test_it_imports_no_torch_and_none_is_needed(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["torch"] = sys.modules["transformers"] = None
from assay.live.client import Worker
heavy = ("numpy", "pyarrow", "scipy", "click")
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stdout == "[]\n", done.stderr


def test_every_method_and_parameter_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs/live.md").read_text(encoding="utf-8")
    for method, row in METHODS.items():
        section = text.partition(f"### `{method}`")[2].partition("\n### ")[0]
        assert section, method
        assert all(f"`{name}`" in section for name in row.names), method
    assert all(f"`{name}`" in text for name in EVERYWHERE)
