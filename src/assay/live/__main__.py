"""``python -m assay.live``: the model worker, on its standard input and output."""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Serve until the standard input ends.

    What libraries print must not stand among the answers, nor may they read requests: both streams are moved, and
    their old places lead to standard error and to nothing.
    """
    if not sys.stdin.isatty():  # an interrupt at the terminal is for whoever started this, and may wish to go on
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Idle threads of numpy's matrix products would spin for some 30 ms each time, on cores that compiled loops need.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
    stdin, stdout = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr

    from assay.live.methods import methods
    from assay.live.server import Server

    try:
        Server(methods, stdin, stdout, lambda: os._exit(0)).serve()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
