"""SIGKILL at fifty random moments: what is recorded in the end is what would have been recorded without."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from assay.record import open_recording
from record.test_whole import contents

KILLS = 50
TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def recorder():
    """A warm process that records, and kills who records."""
    path = os.pathsep.join([str(TESTS), *filter(None, sys.path)])
    server = subprocess.Popen(
        [sys.executable, str(TESTS / "record/killing.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"},
    )

    def order(out, kill_after=None):
        server.stdin.write(json.dumps({"out": str(out), "kill_after": kill_after}) + "\n")
        server.stdin.flush()
        return json.loads(server.stdout.readline())

    try:
        assert json.loads(server.stdout.readline()) == "ready"
        yield order
    finally:
        server.stdin.close()
        server.wait(20)
        server.stdout.close()


def stage(out):
    """How far a killed recording had come: before its plan, at a block, with or without a checkpoint, or at its end."""
    progress = out / "work" / "progress.json"
    if not progress.is_file():
        return "begin" if not (out / "result.json").is_file() else "end"
    mark = json.loads(progress.read_text())
    return f"block {mark['block']}" + (", checkpoint" if mark["batches"] else "")


def test_killed_at_fifty_random_moments_it_is_the_same(recorder, tmp_path):
    whole = tmp_path / "whole"
    times = [recorder(whole if i == 0 else tmp_path / f"timed{i}")["seconds"] for i in range(4)]
    truth, seconds = contents(whole), float(np.median(times))
    rng = np.random.default_rng(0)
    kills, stages, trial = 0, set(), 0
    while kills < KILLS:
        assert trial < 3 * KILLS, f"only {kills} kills came in time"
        out = tmp_path / f"trial{trial}"
        while recorder(out, float(rng.uniform(0, seconds)))["killed"]:
            kills += 1
            if out.is_dir():
                stages.add(stage(out))
            if rng.random() < 0.6:  # else it is killed once more
                break
        assert not recorder(out)["killed"]
        assert contents(out) == truth, f"trial {trial}"
        result = open_recording(out).result()
        assert result["seconds"] > result["forward_seconds"] > 0
        shutil.rmtree(out)
        trial += 1
    assert {"block 0, checkpoint", "block 1, checkpoint", "block 2, checkpoint"} <= stages
