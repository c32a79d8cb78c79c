"""How quickly the viewer answers on a run of all 46,080 neurons, against reading the same unit from the run's tables.

    python benchmarks/view.py [--quick] [--run RUN]

A made-up run of 30 layers of 1,536 neurons (or a real one, with ``--run``) is indexed and then served by ``assay view``
in a process of its own. Measured are: seconds from starting the program to its first page; milliseconds of 500 pages
of units drawn at random, 500 searches by words and 500 by token, each as a browser on this machine waits for it; and
the memory of the server at its peak. The ratio is that of one unit read from the run's tables, as ``assay show UNIT``
does once they are in memory, to the viewer's page of the same unit, in interleaved pairs. The last line is JSON.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np
from made_up import write_run

from assay.cli.unit import unit_record
from assay.core.ids import UnitId
from assay.store import open_run
from assay.store.index import Index, index_path
from assay.store.indexing import build_index
from assay.store.listing import Asked

LAYERS, QUICK_LAYERS = 30, 2
PAGES, QUICK_PAGES, PAIRS, QUICK_PAIRS = 500, 60, 15, 5
STARTS = 5


class Server:
    """``assay view`` of one run, and a connection to it."""

    def __init__(self, run: Path) -> None:
        began = time.perf_counter()
        command = [sys.executable, "-m", "assay", "view", str(run), "--port", "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        self.connection = http.client.HTTPConnection(urlsplit(self.process.stdout.readline().strip()).netloc)
        self.get("/")
        self.seconds = time.perf_counter() - began

    def get(self, path: str) -> float:
        """Milliseconds until all of the page is here."""
        began = time.perf_counter()
        self.connection.request("GET", path)
        answer = self.connection.getresponse()
        answer.read()
        assert answer.status == 200, (path, answer.status)
        return 1000 * (time.perf_counter() - began)

    @property
    def megabytes(self) -> float:
        """Resident memory, and at its peak."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait()


def spread(values: list[float]) -> dict[str, float]:
    """Median and the 95th percentile."""
    return {"median": round(statistics.median(values), 1), "p95": round(float(np.quantile(values, 0.95)), 1)}


def measure(path: Path, pages: int, pairs: int) -> dict[str, Any]:
    """All figures of one run."""
    run = open_run(path)
    began = time.perf_counter()
    if not index_path(run).is_file():
        build_index(run)
    built = time.perf_counter() - began
    index, rng = Index(index_path(run)), np.random.default_rng(1)
    explainer = index.explainers()[0]
    total = index.units(Asked(explainer, most=1)).total
    names = [index.units(Asked(explainer, start=int(i), most=1)).rows[0] for i in rng.integers(0, total, pages)]
    texts = list(index.tokens().values())
    words = [max(row["text"].replace("“", " ").replace("”", " ").split(), key=len) for row in names]
    tokens = [texts[int(i)] for i in rng.integers(0, len(texts), pages)]
    base, starts = f"/run/{quote(run.id)}", []
    for _ in range(STARTS):
        server = Server(path)
        starts.append(server.seconds)
        server.close()
    server = Server(path)
    try:
        unit_ms = [server.get(f"{base}/unit/{quote(row['unit'])}") for row in names]
        word_ms = [server.get(f"{base}/units?q={quote(word)}") for word in words]
        token_ms = [server.get(f"{base}/units?token={quote(token)}") for token in tokens]
        ratios: list[float] = []
        for row in names[: pairs + 1]:
            began = time.perf_counter()
            unit_record(run, UnitId.parse(row["unit"]))
            ratios.append(1000 * (time.perf_counter() - began) / server.get(f"{base}/unit/{quote(row['unit'])}"))
        low, ratio, high = statistics.quantiles(ratios[1:], n=4)  # the first brings the tables into memory
        server.get(f"{base}/map")
        return {
            "units": total,
            "index_seconds": round(built, 1),
            "index_megabytes": round(index_path(run).stat().st_size / 1e6, 1),
            "first_page_seconds": round(statistics.median(starts), 2),
            "unit_ms": spread(unit_ms),
            "words_ms": spread(word_ms),
            "token_ms": spread(token_ms),
            "server_megabytes": round(server.megabytes, 1),
            "ratio": round(ratio, 1),
            "quartiles": [round(low, 1), round(high, 1)],
        }
    finally:
        server.close()


def main() -> None:
    """Print what was measured, and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two layers, fewer pages")
    parser.add_argument("--run", type=Path, help="a whole run of `assay explain --units all`")
    asked = parser.parse_args()
    pages, pairs = (QUICK_PAGES, QUICK_PAIRS) if asked.quick else (PAGES, PAIRS)
    with tempfile.TemporaryDirectory() as place:
        os.environ["ASSAY_CACHE"] = place
        print("making a run" if asked.run is None else f"reading {asked.run}", file=sys.stderr)
        path = asked.run or write_run(Path(place) / "runs", QUICK_LAYERS if asked.quick else LAYERS)
        found = measure(path, pages, pairs)
    for name, value in found.items():
        print(f"{name}: {value}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
