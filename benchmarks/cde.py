"""How long causal direction extraction takes: 5 layers x 5 seeds on the default model, against the target.

    python benchmarks/cde.py [--quick]

Pairs of the ``gender`` prompts; learnt in bf16 where the processor computes in it, success measured in fp32 on names
that were held out. ``naive`` takes the same steps without what is kept: from the tokens, through all layers, with the
unembedding at every position and fused attention. Steps are interleaved, and which goes first alternates; both must
have the same loss, and their largest relative difference is printed. --quick takes one seed, an eighth of the steps and
fewer pairs, and multiplies. The last line is JSON: seconds a step and a fit by layer, the whole, the ratio's median and
quartiles, and the success.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from assay.core.ids import SiteId
from assay.model import Subject, load
from assay.probe.erasers.cde import BATCH, STEPS, CdeFitter, attention, swap_loss
from assay.probe.prompts import PromptPairs, prompt_pairs
from assay.probe.swap import PairReading, read_pairs, swap_success
from assay.text.concepts import load_concept

LAYERS = (0, 7, 13, 20, 27)
SEEDS, HELD_OUT, STEPS_TIMED = 5, 100, 7
QUICK = 8  # share of the steps that --quick takes, as a divisor
TARGET_SECONDS = 20 * 60


class Bench:
    """The model in the dtype that it learns in and in fp32, and pairs to learn from and to measure on."""

    def __init__(self, quick: bool) -> None:
        self.quick = quick
        self.steps, self.rounds = (STEPS // QUICK, 5) if quick else (STEPS, STEPS_TIMED)
        self.subject = load()
        self.exact = self.subject.with_dtype(torch.float32)
        pairs, _ = prompt_pairs(load_concept("gender"), self.subject)
        groups = np.unique(pairs.groups.astype(str))
        rng = np.random.default_rng(0)
        held_out = np.isin(pairs.groups.astype(str), rng.choice(groups, len(groups) // 3, replace=False))
        start = time.perf_counter()
        self.fit = read_pairs(self.subject, LAYERS, pairs.select(~held_out))
        test = pairs.select(rng.permutation(np.flatnonzero(held_out))[: HELD_OUT // 3 if quick else HELD_OUT])
        self.test = read_pairs(self.exact, LAYERS, test)
        self.reading_seconds = time.perf_counter() - start

    def learn(self, layer: int, seed: int) -> tuple[float, float, float]:
        """Seconds of a fit and of its evaluation, and its success."""
        start = time.perf_counter()
        eraser = CdeFitter(self.subject, seed=seed, steps=self.steps).fit(self.fit[layer]).eraser
        middle = time.perf_counter()
        success = swap_success(self.exact, self.test[layer], eraser).success.value
        fit, test = middle - start, time.perf_counter() - middle
        return (fit * QUICK, test * 3, success) if self.quick else (fit, test, success)

    def race(self, layer: int) -> tuple[list[float], float]:
        """How many times as fast a step is as a naive one, of each round but the first; and how far losses differ."""
        reading, rng = self.fit[layer], np.random.default_rng(1)
        basis = torch.linalg.qr(torch.from_numpy(rng.normal(size=(self.subject.d_model, 1))).float())[0]
        basis.requires_grad_()
        rows = np.flatnonzero(reading.pairs.lengths == np.median(reading.pairs.lengths))[:BATCH]
        ratios: list[float] = []
        apart = 0.0

        def quick() -> torch.Tensor:
            with attention(self.subject):
                loss = swap_loss(self.subject, reading, rows, basis)
                torch.autograd.grad(loss, [basis])
            return loss

        def naive() -> torch.Tensor:
            loss = naive_loss(self.subject, reading, reading.pairs.select(rows), basis)
            torch.autograd.grad(loss, [basis])
            return loss

        for number in range(self.rounds + 1):
            if number % 2:
                fast, slow = timed(quick), timed(naive)
            else:
                slow, fast = timed(naive), timed(quick)
            ratios.append(slow[0] / fast[0])
            apart = max(apart, abs(slow[1] / fast[1] - 1))
        return ratios[1:], apart


def naive_loss(subject: Subject, reading: PairReading, pairs: PromptPairs, basis: torch.Tensor) -> torch.Tensor:
    """The loss of pairs of one length by passes through all layers, by its definition."""
    length = int(pairs.lengths[0])
    ids = torch.from_numpy(pairs.ids[:, :, :length]).flatten(0, 1)
    site = SiteId(reading.layer, "resid_post")
    with torch.no_grad(), subject.capture([site]) as got:
        unedited = torch.log_softmax(subject.logits(ids).float(), -1)[:, -1].unflatten(0, (-1, 2)).flip(1).flatten(0, 1)
    source = got[site].unflatten(0, (-1, 2)).flip(1).flatten(0, 1)
    narrow = basis.to(source.dtype)
    before = (torch.arange(length) < torch.from_numpy(pairs.first).repeat_interleave(2)[:, None])[..., None]
    with subject.edit(site, lambda h: torch.where(before, h, h + (source - h) @ narrow @ narrow.T)):
        run = torch.log_softmax(subject.logits(ids).float(), -1)[:, -1]
    return ((unedited.exp() - run.exp()) * (unedited - run)).sum(-1).mean()


def timed(run: Callable[[], torch.Tensor]) -> tuple[float, float]:
    """Wall-clock seconds, and the loss."""
    start = time.perf_counter()
    loss = run()
    return time.perf_counter() - start, loss.item()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="one seed, an eighth of its steps, and the time as of all")
    quick = parser.parse_args().quick
    seeds = 1 if quick else SEEDS
    bench = Bench(quick)
    ratios: list[float] = []
    apart, total = 0.0, 0.0
    by_layer: dict[str, dict[str, Any]] = {}
    for layer in LAYERS:
        raced, difference = bench.race(layer)
        ratios, apart = ratios + raced, max(apart, difference)
        runs = [bench.learn(layer, seed) for seed in range(seeds)]
        total += sum(fit + test for fit, test, _ in runs) * SEEDS / seeds
        by_layer[str(layer)] = {
            "fit_seconds": round(statistics.median(fit for fit, _, _ in runs), 1),
            "test_seconds": round(statistics.median(test for _, test, _ in runs), 1),
            "ratio": round(statistics.median(raced), 2),
            "success": [round(success, 3) for _, _, success in runs],
        }
        print(f"layer {layer}: {by_layer[str(layer)]}", flush=True)
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    result = {
        "benchmark": "cde",
        "dtype": str(bench.subject.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "pairs": len(bench.fit[LAYERS[0]].pairs),
        "test_pairs": len(bench.test[LAYERS[0]].pairs),
        "seeds": seeds,
        "layers": by_layer,
        "reading_seconds": round(bench.reading_seconds, 1),
        "seconds": round(total + bench.reading_seconds, 1),
        "ratio": round(middle, 2),
        "ratio_quartiles": [round(low, 2), round(high, 2)],
        "largest_difference_of_loss": float(f"{apart:.2g}"),
        "target_seconds": TARGET_SECONDS,
        "within_target": total + bench.reading_seconds <= TARGET_SECONDS,
    }
    print(f"{len(LAYERS)} layers x {SEEDS} seeds in {result['seconds'] / 60:.1f} minutes")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
