"""A warm process that forks trainers, each of which kills itself. Driven by test_train.py.

Arguments: directory, corpus, and after how many lines of progress each one in turn dies. Prints the signals.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, LlamaForCausalLM  # noqa: F401  imported once, not by each child

from ladder.small import train_small


class Death:
    """Progress that ends the process by SIGKILL at its n-th line."""

    def __init__(self, lines: int) -> None:
        self.left = lines

    def __call__(self, line: str) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    torch.set_num_threads(1)
    out, corpus, *lines = sys.argv[1:]
    signals = []
    for count in lines:
        child = os.fork()
        if not child:
            try:
                train_small(Path(out), Path(corpus), progress=Death(int(count)))
            except BaseException:  # noqa: BLE001  the child must not return into the loop of its parent
                traceback.print_exc()
            os._exit(1)
        status = os.waitpid(child, 0)[1]
        signals.append(os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0)
    sys.stdout.write(json.dumps(signals))


if __name__ == "__main__":
    main()
