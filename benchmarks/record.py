"""What recording every neuron costs, beside the bare forward pass.

    python benchmarks/record.py [--quick] [--batches N] [--threads N] [--without-peers]

Records all units of ``mlp_act`` in all layers of the default model (bf16) from batches of 24 windows of 64 tokens of
the bundled corpus, with every sketch, 20 exemplars a unit and side, and the sums for about 2,000 predicates of the
rules: all flags and class flags, and the strings that stand in most windows. After each batch the trunk alone runs on
the same batch: an interleaved pair, so that a slow moment of the machine hits both alike. The first batches, in which
every exemplar is new, are counted too.

Then TransformerLens and nnsight capture the same activations, without looking at them, over a trunk that runs in their
process; each in an environment made for it with venv and pip in a temporary directory. ``--quick`` leaves both out and
records 6 batches instead of 40, fewer than it takes for the exemplars to settle.

The last line is JSON: the median of the pairs' ratios with its quartiles, for all pairs and for the last half. "cpu"
is the ratio of processor seconds: with ``--threads 1`` other work on the machine moves it least.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse

from assay.core.ids import SiteId, UnitId
from assay.core.jit import kernel_threads, why_no_numba
from assay.model import Subject, load
from assay.model.default import default_model_dir
from assay.record import record
from assay.rules.view import SLOTS, View
from assay.text import TokenTable, batches, load_corpus, tokenise

WINDOWS, LENGTH = 24, 64
PREDICATES = 2000
TARGET = 1.25
PEERS = {"transformer_lens": "transformer-lens", "nnsight": "nnsight"}
PEER_SECONDS = 1800


class Pair(NamedTuple):
    """Seconds for one batch, of the clock and of the processor: the trunk alone, and with everything recorded."""

    bare: float
    recorded: float
    bare_cpu: float
    recorded_cpu: float


class Moment(NamedTuple):
    """Seconds of the clock and of the processor."""

    clock: float
    cpu: float

    @classmethod
    def now(cls) -> Moment:
        """The present one."""
        return cls(time.perf_counter(), time.process_time())

    def since(self) -> Moment:
        """What has passed since this one."""
        now = Moment.now()
        return Moment(now.clock - self.clock, now.cpu - self.cpu)


def text(subject: Subject, count: int) -> tuple[TokenTable, list[str]]:
    """``count`` batches of full windows of the bundled corpus, and the names of the documents."""
    documents = load_corpus("bundled").documents
    table = tokenise(documents, subject.tokenizer, LENGTH, tokens=4 * count * WINDOWS * LENGTH)
    full = np.flatnonzero(table.lengths == LENGTH)[: count * WINDOWS]
    return table.take(full), [document.id for document in documents]


def predicates(subject: Subject, table: TokenTable) -> sparse.csr_matrix:
    """(tokens, PREDICATES) the flags, the class flags and the strings that stand in most windows, as zeros and ones."""
    view = View(table.ids, subject.token_texts())
    parts = [sparse.csr_matrix(view.flags), sparse.csr_matrix(view.class_flags)]
    strings: list[tuple[int, str, int]] = []
    for slot in SLOTS:
        in_windows = view.windows_with(slot)
        strings += [(int(in_windows[name]), slot, name) for name in range(1, len(in_windows))]
    strings.sort(reverse=True)
    room = PREDICATES - sum(part.shape[1] for part in parts)
    for slot in SLOTS:
        keys, chosen = view.keys(slot), [name for _, where, name in strings[:room] if where == slot]
        column = np.full(len(keys.names), -1)
        column[chosen] = np.arange(len(chosen))
        rows = np.flatnonzero(column[keys.ids] >= 0)
        places = (rows, column[keys.ids[rows]])
        parts.append(sparse.csr_matrix((np.ones(len(rows)), places), (view.size, len(chosen))))
    return sparse.hstack(parts, format="csr").astype(np.bool_)


def measure(subject: Subject, table: TokenTable, names: Sequence[str], held: sparse.csr_matrix) -> list[Pair]:
    """Record the table, and run the trunk alone after each batch, on that batch."""
    units = [
        UnitId(site, index)
        for site in (SiteId(layer, "mlp_act") for layer in range(subject.n_layers))
        for index in range(subject.width(site))
    ]
    upcoming = batches(table, WINDOWS * LENGTH)
    measured: list[Pair] = []
    start = Moment.now()

    def bare(done: int, total: int) -> None:
        nonlocal start
        recorded = start.since()
        batch = next(upcoming)
        ids, mask = torch.as_tensor(batch.ids), torch.as_tensor(batch.mask)
        begun = Moment.now()
        with torch.inference_mode():
            subject.hidden(ids, mask)
        alone = begun.since()
        measured.append(Pair(alone.clock, recorded.clock, alone.cpu, recorded.cpu))
        print(f"{done:,} of {total:,} tokens: trunk {alone.clock:.3f} s, recorded {recorded.clock:.3f} s", flush=True)
        start = Moment.now()

    record(subject, table, units, document_ids=names, predicates=held, progress=bare)
    return measured


def summarise(measured: Sequence[Pair]) -> dict[str, object]:
    """Medians, and the spread of the ratio."""
    ratios = [pair.recorded / pair.bare for pair in measured]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return {
        "pairs": len(measured),
        "trunk_seconds": round(statistics.median(pair.bare for pair in measured), 4),
        "recorded_seconds": round(statistics.median(pair.recorded for pair in measured), 4),
        "ratio": round(middle, 3),
        "ratio_quartiles": [round(low, 3), round(high, 3)],
        "ratio_range": [round(min(ratios), 3), round(max(ratios), 3)],
        "cpu": round(statistics.median(pair.recorded_cpu / pair.bare_cpu for pair in measured), 3),
    }


def peer(package: str, module: str, table: TokenTable) -> dict[str, object]:
    """What benchmarks/record_peer.py measures of one peer, or why it could not."""
    script = Path(__file__).with_name("record_peer.py")
    with tempfile.TemporaryDirectory(prefix="assay-peer-") as folder:
        place = Path(folder)
        venv.create(place / "env", with_pip=True)
        python = str(place / "env" / ("Scripts" if os.name == "nt" else "bin") / "python")
        torch_version = torch.__version__.partition("+")[0]
        install = [python, "-m", "pip", "install", "-q", package, f"torch=={torch_version}"]
        np.save(place / "ids.npy", table.ids[: 6 * WINDOWS].reshape(-1, WINDOWS, LENGTH).astype(np.int64))
        measure_it = [python, str(script), module, str(default_model_dir()), str(place / "ids.npy")]
        for command in (install, measure_it):
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=PEER_SECONDS)
            except subprocess.TimeoutExpired:
                return {"failed": f"{' '.join(command[1:4])} took more than {PEER_SECONDS} s"}
            if done.returncode:
                lines = done.stderr.strip().splitlines() or ["no message"]
                return {"failed": f"{' '.join(command[1:4])}: {lines[-1]}"}
    found = json.loads(done.stdout.splitlines()[-1])
    return {"version": found["version"], **summarise([Pair(*pair) for pair in found["pairs"]])}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="6 batches instead of 40, and no peers")
    parser.add_argument("--batches", type=int, help="how many batches of 1,536 tokens")
    parser.add_argument("--threads", type=int, help="threads of torch and of the kernels; all processors by default")
    parser.add_argument("--without-peers", action="store_true", help="leave TransformerLens and nnsight out")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
        os.environ["NUMBA_NUM_THREADS"] = str(options.threads)
    count = options.batches or (6 if options.quick else 40)

    reason = why_no_numba()
    print("kernels: numba" if reason is None else f"kernels: numpy, because {reason}")
    subject = load(progress=print)
    table, names = text(subject, count)
    held = predicates(subject, table)
    print(
        f"{table.n_tokens:,} tokens, {held.shape[1]:,} predicates, {held.nnz / table.n_tokens:.0f} of them at a token"
    )
    with torch.inference_mode():
        subject.hidden(torch.as_tensor(table.ids[:WINDOWS], dtype=torch.int64))
    measured = measure(subject, table, names, held)
    result = {
        "benchmark": "record",
        "kernels": "numba" if reason is None else "numpy",
        "threads": {"torch": torch.get_num_threads(), "kernels": kernel_threads()},
        "tokens": table.n_tokens,
        "predicates": held.shape[1],
        **summarise(measured),
        "last_half": summarise(measured[len(measured) // 2 :]),
        "target": TARGET,
    }
    result["within_target"] = result["ratio"] <= TARGET
    if not (options.quick or options.without_peers):
        result["peers"] = {name: peer(package, name, table) for name, package in PEERS.items()}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
