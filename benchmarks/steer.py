"""How fast a steered model writes beside the same model unsteered and the library's own generation; a trial's time.

    python benchmarks/steer.py [--quick]

Greedy continuations of the same prompts on the default model, in the dtype it is loaded in, with keys and values kept.
Steered: a vector added at every token of one layer, at generated tokens alone, and at the first tokens. What is
steered writes other tokens, so that nothing is let end early: all write as many. Pairs are interleaved, and which goes
first alternates. Then a trial of one concept, five methods at four layers, once, in a process of its own; beside it
stands how often the model could have read that concept's prompts and neutral text bare in that time. --quick takes five
pairs, fewer tokens and no trial. The last line is JSON: the median and the quartiles of each ratio of tokens a second,
over the unsteered model, above 1 is faster; and the trial.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch

from assay.core.ids import SiteId
from assay.model import Subject, load
from assay.model.generate import generate, padded
from assay.model.reading import in_batches
from assay.steer.bench import Bench
from assay.steer.request import SteerRequest
from assay.steer.script import Script
from assay.steer.treatment import Push, Pushes
from assay.text.behaviours import load_behaviour

LAYER, PROMPTS = 18, 24
TRIAL = "steer --concept sentiment --methods actadd,mean_diff,lat,prompt,random --layers 6,12,18,24 --json".split()


class Race:
    """The model, its prompts, and how many tokens are written."""

    def __init__(self, quick: bool) -> None:
        self.rounds, self.tokens = (5, 12) if quick else (11, 64)
        self.subject: Subject = load()
        self.subject.special_ids = frozenset()  # nothing ends early
        behaviour = load_behaviour("sentiment")
        self.prompts = Script(self.subject, behaviour).prompts(behaviour.prompts[:PROMPTS])
        rng = np.random.default_rng(0)
        site, width = SiteId(LAYER, "resid_post"), self.subject.d_model
        everywhere = Push(site, rng.standard_normal(width).astype(np.float32))
        front = Push(site, rng.standard_normal((4, width)).astype(np.float32))
        self.ways: dict[str, Pushes] = {
            "all": Pushes((everywhere,)),
            "generated": Pushes((everywhere,), "generated"),
            "front": Pushes((front,)),
        }

    def ours(self, way: Pushes | None) -> None:
        """Write, steered or not."""
        with nullcontext() if way is None else way.applied(self.subject, 1.0):
            said = generate(self.subject, self.prompts, self.tokens)
        assert all(len(ids) == self.tokens for ids in said)

    @torch.inference_mode()
    def library(self) -> None:
        """Write by the library's own generation, all prompts in one batch as ours."""
        ids, mask = padded(self.prompts)
        model: Any = self.subject.model
        said = model.generate(
            ids, attention_mask=mask, max_new_tokens=self.tokens, min_new_tokens=self.tokens, do_sample=False
        )
        assert said.shape[1] == ids.shape[1] + self.tokens

    def ratios(self, other: Callable[[], None]) -> list[float]:
        """Tokens a second of ``other`` over those of the unsteered model, of each round but the first."""
        found: list[float] = []
        for number in range(self.rounds + 1):
            order = [lambda: self.ours(None), other]
            seconds = [0.0, 0.0]
            for which in (0, 1) if number % 2 else (1, 0):
                start = time.perf_counter()
                order[which]()
                seconds[which] = time.perf_counter() - start
            found.append(seconds[0] / seconds[1])
        return found[1:]


def trial() -> dict[str, float]:
    """Seconds of a whole trial, and how many bare readings of both halves of its text that is (median of five)."""
    bench = Bench(load(dtype="fp32"), load_behaviour("sentiment"), SteerRequest(), lambda message, share=None: None)
    ids = [ids for half in bench.rows for ids in bench.script.prompts([bench.behaviour.prompts[row] for row in half])]
    ids += [window.ids for half in (bench.to_choose, bench.to_report) for window in half.neutral.windows]
    batches = list(in_batches(bench.exact, ids))
    bare: list[float] = []
    for _ in range(5):
        start = time.perf_counter()
        for batch in batches:
            bench.exact.logits(batch.ids, batch.mask)
        bare.append(time.perf_counter() - start)
    with tempfile.TemporaryDirectory() as place:
        start = time.perf_counter()
        command = [sys.executable, "-m", "assay", *TRIAL, "--out", place]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
    return {"seconds": round(seconds, 1), "readings": round(seconds / statistics.median(bare), 1)}


def main() -> None:
    """Run the races and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under a minute")
    quick = parser.parse_args().quick
    race = Race(quick)
    start = time.perf_counter()
    race.ours(None)
    rate = PROMPTS * race.tokens / (time.perf_counter() - start)
    print(f"unsteered: {rate:,.0f} tokens/s, {PROMPTS} prompts of {race.tokens} tokens, {race.subject.reason}")
    told: dict[str, Any] = {"tokens_a_second": round(rate, 1), "rounds": race.rounds}
    ways: dict[str, Callable[[], None]] = {name: lambda way=way: race.ours(way) for name, way in race.ways.items()}
    for name, other in {**ways, "library": race.library}.items():
        ratios = race.ratios(other)
        low, middle, high = statistics.quantiles(ratios, n=4)
        told[name] = {"median": round(middle, 3), "quartiles": [round(low, 3), round(high, 3)]}
        print(f"{name:10} {middle:.3f} of the unsteered tokens/s ({low:.3f} to {high:.3f}; {len(ratios)} pairs)")
    if not quick:
        told["trial"] = trial()
        print("a trial of five methods: {seconds:.0f} s, as long as {readings:.0f} readings".format(**told["trial"]))
    print(json.dumps(told))


if __name__ == "__main__":
    main()
