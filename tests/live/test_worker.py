"""The program itself with a small model, driven as the viewer drives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from assay.errors import MachineError, UsageError
from assay.live.client import Worker
from assay.live.lines import encode
from live.asking import MODEL, TEXT, UNIT


def test_two_threads_load_and_ask_at_once(worker: Worker) -> None:
    answers: list[dict[str, Any]] = []

    def ask() -> None:
        answers.append(worker.call("activations", {"model": MODEL, "unit": UNIT, "text": TEXT}, timeout=120))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers[0] == answers[1]
    assert answers[0]["dtype"] == "float32"
    assert "".join(token["text"] for token in answers[0]["tokens"]) == TEXT


def test_a_model_that_is_loaded_is_described_and_its_weights_are_compared(worker: Worker) -> None:
    said = worker.call("load", {"model": MODEL})
    assert said["name"] == MODEL
    assert said["n_layers"] == 2
    assert worker.call("load", {"model": MODEL, "fingerprint": said["fingerprint"]}) == said
    with pytest.raises(UsageError, match=f"{MODEL} in .* has the weights {said['fingerprint'][:12]}; the run was made"):
        worker.call("activations", {"model": MODEL, "fingerprint": "0" * 64, "unit": UNIT, "text": TEXT})
    other = worker.call("load", {"model": MODEL, "dtype": "fp64"})
    assert other["dtype"] == "float64"
    assert other["fingerprint"] != said["fingerprint"]
    assert worker.call("load", {"model": f"{MODEL}~shuffled"})["name"] == f"{MODEL}~shuffled-0"


@pytest.mark.parametrize(
    ("method", "params", "message"),
    [
        ("activate", {}, "unknown method 'activate'; did you mean 'activations'?"),
        ("activations", {"unit": UNIT, "texts": "x"}, "unknown parameter of activations 'texts'; did you mean 'text'?"),
        ("activations", {"unit": UNIT}, "activations needs 'text'"),
        ("activations", {"unit": UNIT, "text": ""}, "the text is empty"),
        ("activations", {"unit": UNIT, "text": "a b " * 600}, "the text has .* tokens; at most 512"),
        ("activations", {"unit": UNIT, "text": "x" * 50_000}, "the text has 50,000 characters; at most 512 tokens"),
        ("activations", {"unit": UNIT, "text": "\ud83d"}, "half a character"),
        ("activations", {"unit": UNIT, "text": 7}, "'text' of activations must be text. Got 7"),
        ("activations", {"unit": UNIT, "text": "x", "claims": 3}, "must be a list of objects"),
        ("activations", {"unit": UNIT, "text": "x", "context": "page"}, "unknown context 'page'; known: text, window"),
        ("activations", {"unit": "L9.mlp_act:3", "text": "x"}, "unknown site 'L9.mlp_act'"),
        ("activations", {"unit": "L1.mlp_act:99999", "text": "x"}, "out of range; L1.mlp_act has units 0 to"),
        ("activations", {"unit": "L1.mlp_act:1,L1.mlp_act:2", "text": "x"}, "takes one unit"),
        ("activations", {"unit": "L1.resid_post:@no", "text": "x"}, "there is no direction L1.resid_post:@no"),
        ("steer", {"unit": UNIT, "text": "x"}, "steer needs exactly one of 'factor', 'value' or 'add'. Got none."),
        ("steer", {"unit": UNIT, "text": "x", "factor": 1, "add": 2}, "Got factor and add"),
        ("steer", {"unit": UNIT, "text": "x", "factor": True}, "must be a finite number. Got True"),
        ("steer", {"unit": UNIT, "text": "x", "add": 1, "tokens": 999}, "a whole number from 0 to 256. Got 999"),
        ("score", {"unit": UNIT}, "score needs exactly one of 'rules' or 'sentence'. Got none."),
        ("score", {"unit": UNIT, "rules": {"rules": [{"when": []}]}}, "rule 1: a rule needs 'value'"),
        ("score", {"unit": UNIT, "rules": "{"}, "a rule list must be JSON; line 1"),
        ("score", {"unit": UNIT, "rules": [1]}, "'rules' must be a rule list"),
        ("score", {"unit": UNIT, "sentence": " "}, "the sentence is empty"),
        ("explain", {"unit": UNIT, "tokens": 100}, "'tokens' of explain must be a whole number from 12,000"),
    ],
)
def test_what_can_not_be_done_is_one_clear_line(
    worker: Worker, method: str, params: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        worker.call(method, {"model": MODEL, **params}, timeout=120)
    assert "\n" not in str(caught.value)


def test_a_model_that_is_not_there_is_one_clear_line(worker: Worker) -> None:
    with pytest.raises(UsageError, match="unknown model 'ladder-2-11'; did you mean 'ladder-2-1'"):
        worker.call("load", {"model": "ladder-2-11"})
    with pytest.raises(UsageError, match="load needs 'model'"):
        worker.call("load", {})


def test_a_running_job_is_cancelled_and_the_next_one_is_done(worker: Worker, tmp_path: Path) -> None:
    job = worker.submit("explain", {"model": MODEL, "unit": UNIT, "out": str(tmp_path)})
    while job.state == "waiting" or "begins" in job.message:
        assert not job.wait(0.02), job.error
    waiting = worker.submit("load", {"model": MODEL})
    dropped = worker.submit("load", {"model": MODEL})
    dropped.cancel()
    assert dropped.wait(60)
    assert dropped.state == "cancelled"
    assert not job.finished
    job.cancel()
    assert job.wait(120)
    assert job.state == "cancelled"
    assert not list(tmp_path.rglob("done.json"))
    assert waiting.value(60)["name"] == MODEL


def test_a_worker_that_is_killed_is_started_again(worker: Worker) -> None:
    worker.call("load", {"model": MODEL})
    pid = worker.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)  # so that the request can't be answered before the end
    job = worker.submit("load", {"model": MODEL})
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(MachineError, match=r"was killed by signal 9 \(SIGKILL\)"):
        job.value(60)
    assert worker.call("load", {"model": MODEL}, timeout=120)["name"] == MODEL
    assert worker.pid != pid


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks at /proc")
def test_it_ends_when_whoever_started_it_is_killed() -> None:
    """Killed outright, in the middle of what was asked."""
    code = f"""
import time
from assay.live.client import Worker
worker = Worker()
job = worker.submit("load", {{"model": "{MODEL}"}})
print(worker.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.kill()
    until = time.monotonic() + 30
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(pid)


def test_by_hand_what_libraries_print_is_not_among_the_answers() -> None:
    """Something printed, and a subprocess that writes to where standard output was."""
    code = """
import os, sys
import assay.live.methods
def loud(params, progress):
    print("printed")
    os.system("echo by another program")
    return {"read": sys.stdin.read()}
assay.live.methods.methods = lambda: {"loud": loud}
from assay.live.__main__ import main
main()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as done:
        assert done.stdin is not None
        assert done.stdout is not None
        assert done.stderr is not None
        done.stdin.write(encode({"id": 1, "method": "loud", "params": {}}))
        done.stdin.flush()
        assert done.stdout.readline() == b'{"id": 1, "progress": {"message": "loud begins", "share": null}}\n'
        assert done.stdout.readline() == b'{"id": 1, "result": {"read": ""}}\n'
        done.stdin.close()
        assert done.stdout.read() == b""
        assert done.stderr.read().split() == b"printed by another program".split()
