"""How long ``assay --help`` takes, beside a Python that does nothing.

    python benchmarks/startup.py [--quick]

Runs interleaved pairs of both, so that a slow moment of the machine hits both alike. The last line is JSON: the median
seconds of each, and the median of the pairs' ratios with its quartiles.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

BARE = (sys.executable, "-c", "pass")
HELP = (sys.executable, "-m", "assay", "--help")
TARGET_SECONDS = 0.3


class Pair(NamedTuple):
    """Seconds of the two commands, one run after the other."""

    bare: float
    help: float


def seconds(command: Sequence[str]) -> float:
    """Wall-clock seconds of one run. Raises CalledProcessError if it fails."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def measure(pairs: int) -> list[Pair]:
    """Time ``pairs`` interleaved pairs, after one of each that is not counted. Which goes first alternates."""
    seconds(BARE), seconds(HELP)
    measured: list[Pair] = []
    for i in range(pairs):
        if i % 2:
            late = seconds(HELP)
            measured.append(Pair(seconds(BARE), late))
        else:
            measured.append(Pair(seconds(BARE), seconds(HELP)))
    return measured


def summarise(measured: Sequence[Pair]) -> dict[str, object]:
    """Medians, and the spread of the ratio."""
    ratios = [pair.help / pair.bare for pair in measured]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    help_seconds = statistics.median(pair.help for pair in measured)
    return {
        "benchmark": "startup",
        "pairs": len(measured),
        "python_seconds": round(statistics.median(pair.bare for pair in measured), 4),
        "help_seconds": round(help_seconds, 4),
        "ratio": round(middle, 2),
        "ratio_quartiles": [round(low, 2), round(high, 2)],
        "ratio_range": [round(min(ratios), 2), round(max(ratios), 2)],
        "target_seconds": TARGET_SECONDS,
        "within_target": help_seconds < TARGET_SECONDS,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="5 pairs instead of 25")
    result = summarise(measure(5 if parser.parse_args().quick else 25))
    print(f"python -c pass {result['python_seconds']} s, assay --help {result['help_seconds']} s")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
