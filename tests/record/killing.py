"""A process that is warm, forks recorders and kills them. Driven by test_kill.py, a line of JSON each way.

In: ``{"out": directory, "kill_after": seconds, or null to let it end}``. Out: ``{"killed", "seconds"}``.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import tempfile
import time
import traceback

import torch

from model.tiny_models import tiny
from record.small import letters, record_small


def fork(out, subject, corpus):
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        record_small(out, every=0.0, subject=subject, corpus=corpus)
        code = 0
    except BaseException:  # noqa: BLE001  the child must not return into the loop of its parent
        traceback.print_exc()
    os._exit(code)


def end_of(child, seconds):
    """Wait for the child's end for so many seconds, None for ever, then kill it. Gives the status of wait."""
    descriptor = os.pidfd_open(child)
    try:
        if not select.select([descriptor], [], [], seconds)[0]:
            os.kill(child, signal.SIGKILL)
        return os.waitpid(child, 0)[1]
    finally:
        os.close(descriptor)


def say(value):
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def main():
    torch.set_num_threads(1)
    subject, corpus = tiny("llama", torch.bfloat16), letters()
    subject.fingerprint  # noqa: B018  taken once
    with tempfile.TemporaryDirectory() as scratch:
        record_small(scratch + "/warm", every=0.0, subject=subject, corpus=corpus)
    say("ready")
    for line in sys.stdin:
        order = json.loads(line)
        begun = time.perf_counter()
        status = end_of(fork(order["out"], subject, corpus), order["kill_after"])
        killed = os.WIFSIGNALED(status)
        if not killed and os.WEXITSTATUS(status):
            sys.exit("a recorder failed")
        say({"killed": killed, "seconds": time.perf_counter() - begun})


if __name__ == "__main__":
    main()
