"""How long it takes to explain and test every neuron of the default model, beside one bare pass over the same text.

    python benchmarks/explain_all.py [--quick] [--behaviour] [--keep DIR]

The whole command, end to end, in a process of its own: 100,000 tokens to fit, 25,000 to choose, 25,000 to test, eight
rules. It runs once: minutes are long enough to need no repetition, and its peak of memory is that of one run. The bare
pass (all 150,000 tokens through the trunk, no head) is timed before and after it, and the ratio taken to their mean.
``--quick`` explains one layer of 24,000 tokens, so that its ratio says nothing about the whole. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext

TOKENS, QUICK_TOKENS = 150_000, 24_000
TARGET_MINUTES, TARGET_GIB = 10.0, 6.0

_BARE = """
import sys, time
import torch
from assay.explain.material import WHOLE_SHARES, gather_material
from assay.explain.whole.joined import join
from assay.model import load
from assay.text import batches, load_corpus
subject = load()
table = join(gather_material(subject, load_corpus("bundled"), int(sys.argv[1]), 0, WHOLE_SHARES)).table
start = time.perf_counter()
with torch.inference_mode():
    for batch in batches(table, 1536):
        subject.hidden(torch.from_numpy(batch.ids), torch.from_numpy(batch.mask))
print(time.perf_counter() - start)
"""


def bare(tokens: int) -> float:
    """Seconds of one pass of the trunk over the text."""
    done = subprocess.run([sys.executable, "-c", _BARE, str(tokens)], check=True, capture_output=True, text=True)
    return float(done.stdout)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="one layer, 24,000 tokens")
    parser.add_argument("--behaviour", action="store_true", help="test the behaviour of 30 units as well")
    parser.add_argument("--keep", metavar="DIR", help="keep the run there")
    asked = parser.parse_args()
    tokens, units = (QUICK_TOKENS, "L15.mlp_act:all") if asked.quick else (TOKENS, "all")
    passes = [bare(tokens)]
    with nullcontext(asked.keep) if asked.keep else tempfile.TemporaryDirectory(prefix="assay-") as out:
        command = [sys.executable, "-m", "assay", "explain", "--units", units, "--explainer", "rules,lookup"]
        command += ["--tokens", str(tokens), "--out", out, "--behaviour" if asked.behaviour else "--no-behaviour"]
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        shown = subprocess.run([sys.executable, "-c", _SUMMARY, out], check=True, capture_output=True, text=True)
    passes.append(bare(tokens))
    summary = json.loads(shown.stdout)
    gib = summary["peak_rss_mb"] / 1024
    result = {
        "benchmark": "explain_all",
        "quick": asked.quick,
        "units": summary["units"],
        "tokens": summary["tokens"],
        "behaviour": asked.behaviour,
        "minutes": round(seconds / 60, 2),
        "bare_pass_seconds": [round(value, 1) for value in passes],
        "ratio": round(seconds / (sum(passes) / 2), 1),
        "peak_gib": round(gib, 2),
        "mean_r": round(summary["mean_r"], 3),
        "target_minutes": TARGET_MINUTES,
        "target_gib": TARGET_GIB,
        "within_target": seconds < 60 * TARGET_MINUTES and gib < TARGET_GIB,
    }
    print(f"{result['units']:,} units in {result['minutes']} min, {result['ratio']} times a bare pass, {gib:.1f} GiB")
    print(json.dumps(result))


_SUMMARY = """
import json, sys
from assay.store import open_run
print(json.dumps(open_run("last", sys.argv[1]).result()["summary"]))
"""


if __name__ == "__main__":
    main()
