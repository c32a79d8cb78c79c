"""``assay view`` as a program: what it prints, where it listens, and how it ends."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

import synthetic
from assay.errors import MachineError
from assay.view.serve import HOST, listening


@pytest.mark.parametrize("named", [False, True])
def test_it_prints_an_address_that_answers_and_ends_when_interrupted(tmp_path: Path, named: bool) -> None:
    path = synthetic.write_run(tmp_path)
    command = [sys.executable, "-m", "assay", "view", *(["last"] if named else []), "--out", str(tmp_path)]
    with subprocess.Popen(
        [*command, "--port", "0", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = ""
        while "}" not in lines:
            lines += process.stdout.readline()
        url = json.loads(lines)["url"]
        assert url.endswith(f"/run/{path.name}" if named else "/")
        assert url.startswith(f"http://{HOST}:")
        with urlopen(url) as answer:
            assert path.name in answer.read().decode()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert "Traceback" not in said


def test_a_port_that_is_taken_is_named() -> None:
    with listening(0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(MachineError, match=f"port {port} is taken"):
            listening(port)


def test_it_listens_on_this_machine_alone_and_answers_without_delay() -> None:
    with listening(0) as bound:
        assert bound.getsockname()[0] == "127.0.0.1"
        assert bound.proto == socket.IPPROTO_TCP
