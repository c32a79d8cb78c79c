"""How long the behaviour of one unit takes to test, beside full forward passes with the same edits.

    python benchmarks/behaviour.py [--quick]

A neuron of layer 15 of the default model in fp32, on 10 excerpts of 64 tokens, set to five things in turn: its mean, a
prediction, another unit's, the prediction shuffled, and the truth plus noise at the same r. ``naive`` does it without
what :class:`assay.explain.behaviour.Behaviour` keeps: an unedited pass and one for each arm, each through all layers
and the whole unembedding, and the divergence by its definition. Rounds are interleaved, and which goes first
alternates. Both must give the same divergences; their largest relative difference is printed, and
that of the scores 1 - J / J of the mean. The pool of unedited
passes, made once a run, is timed apart. The last line is JSON: median seconds, and the ratio's median and quartiles.
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
from numpy.typing import NDArray

from assay.core.ids import SiteId, UnitId
from assay.explain.behaviour import Behaviour, Divergences, Size
from assay.explain.material import gather_material
from assay.explain.measure import noisy
from assay.model import load
from assay.record import stream
from assay.referee import shuffled
from assay.text import load_corpus

LAYER, R = 15, 0.5
SIZE = Size(pool=64, excerpts=10, length=64)
TARGET_SECONDS, TARGET_RATIO = 2.5, 2.0

Floats = NDArray[np.float32]


class Bench:
    """The model in fp32, a test split, and what some units of one layer do on it."""

    def __init__(self, units: int) -> None:
        subject = load()
        part = gather_material(subject, load_corpus("bundled"), 24_000, 0).test
        site = SiteId(LAYER, "mlp_act")
        drawn = np.random.default_rng(0).choice(subject.width(site), units + 1, replace=False)
        self.values = np.zeros((units + 1, part.table.n_tokens), np.float32)
        for block in stream(subject, part.table, [site]):
            self.values[:, block.flat] = block.activations[site][:, drawn].T
        self.units = [UnitId(site, int(index)) for index in drawn[:units]]
        self.subject, self.part = subject.with_dtype(torch.float32), part
        start = time.perf_counter()
        self.behaviour = Behaviour(self.subject, part, {LAYER}, 0, lambda *_: None, SIZE)
        self.pool_seconds = time.perf_counter() - start

    def arms(self, i: int) -> dict[str, Floats]:
        """What unit ``i`` is set to: a prediction is the truth plus noise, another unit's the next one's."""
        real, kept = self.values[i], self.part.scored
        prediction = noisy(real, kept, R, seed=1)
        mixed = prediction.copy()
        mixed[kept] = shuffled(prediction[kept].astype(np.float64), 0)
        mean = np.full_like(real, real[kept].mean())
        arms = {"prediction": prediction, "other_unit": self.values[i + 1], "shuffled": mixed}
        return {"mean": mean, **arms, "noise_equal_r": noisy(real, kept, R, seed=0)}

    def quick(self, i: int) -> Divergences:
        """What is measured."""
        return self.behaviour.run(self.units[i], self.values[i], self.arms(i))

    @torch.inference_mode()
    def naive(self, i: int) -> dict[str, NDArray[np.float64]]:
        """J of each arm on the same excerpts, (excerpts,), by full forward passes."""
        unit, subject, part = self.units[i], self.subject, self.part
        rows = self.behaviour.excerpts(self.values[i])
        text, kept = part.table.ids[rows, : SIZE.length], part.table.padded(part.scored, False)[rows, : SIZE.length]
        ids, mask = torch.from_numpy(np.maximum(text, 0)).long(), torch.from_numpy(text >= 0).long()
        where = torch.from_numpy(kept)
        base = torch.log_softmax(subject.unembed(subject.hidden(ids, mask)), -1)
        found: dict[str, NDArray[np.float64]] = {}
        for name, values in self.arms(i).items():
            grid = torch.from_numpy(part.table.padded(values)[rows, : SIZE.length].astype(np.float32))
            with subject.edit(unit.site, setting(int(unit.index), grid, where)):
                after = torch.log_softmax(subject.unembed(subject.hidden(ids, mask)), -1)
            j = (by_definition(base, after) * mask).sum(-1)
            found[name] = j.double().numpy()
        return found


def setting(index: int, grid: torch.Tensor, where: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """An edit that sets one neuron where ``where`` holds."""

    def edit(values: torch.Tensor) -> torch.Tensor:
        values = values.clone()
        values[..., index] = torch.where(where, grid, values[..., index])
        return values

    return edit


def by_definition(log_p: torch.Tensor, log_q: torch.Tensor) -> torch.Tensor:
    """Jensen-Shannon divergence (nats) of two distributions over the last axis."""
    p, q = log_p.exp(), log_q.exp()
    log_m = torch.log((p + q) / 2)
    return ((p * (log_p - log_m)).sum(-1) + (q * (log_q - log_m)).sum(-1)) / 2


def timed(run: Callable[[int], Any], i: int) -> tuple[float, Any]:
    """Wall-clock seconds of one run, and what it gave."""
    start = time.perf_counter()
    found = run(i)
    return time.perf_counter() - start, found


def measure(bench: Bench, rounds: int) -> tuple[list[tuple[float, float]], float, float]:
    """Seconds of each round, quick and naive, after one not counted; the largest differences of J and of a score."""
    seconds: list[tuple[float, float]] = []
    difference, of_score = 0.0, 0.0
    for i in range(rounds + 1):
        unit = i % len(bench.units)
        if i % 2:
            quick, naive = timed(bench.quick, unit), timed(bench.naive, unit)
        else:
            naive, quick = timed(bench.naive, unit), timed(bench.quick, unit)
        seconds.append((quick[0], naive[0]))
        for name, j in quick[1].j.items():
            by_hand, scale = naive[1][name].sum(), naive[1]["mean"].sum()
            difference = max(difference, abs(j.sum() - by_hand) / by_hand)
            of_score = max(of_score, abs(j.sum() / quick[1].j["mean"].sum() - by_hand / scale))
    return seconds[1:], difference, of_score


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="5 rounds instead of 11")
    rounds = 5 if parser.parse_args().quick else 11
    bench = Bench(units=4)
    seconds, difference, of_score = measure(bench, rounds)
    ratios = [naive / quick for quick, naive in seconds]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    each = statistics.median(quick for quick, _ in seconds)
    result = {
        "benchmark": "behaviour",
        "rounds": rounds,
        "layer": LAYER,
        **SIZE._asdict(),
        "arms": len(bench.arms(0)),
        "dtype": "float32",
        "threads": torch.get_num_threads(),
        "seconds": round(each, 3),
        "naive_seconds": round(statistics.median(naive for _, naive in seconds), 3),
        "ratio": round(middle, 2),
        "ratio_quartiles": [round(low, 2), round(high, 2)],
        "pool_seconds": round(bench.pool_seconds, 1),
        "largest_difference": float(f"{difference:.2g}"),
        "largest_difference_of_score": float(f"{of_score:.2g}"),
        "target_seconds": TARGET_SECONDS,
        "target_ratio": TARGET_RATIO,
        "within_target": each <= TARGET_SECONDS and middle >= TARGET_RATIO,
    }
    print(f"a unit in {each:.2f} s, {middle:.2f} times as fast as full passes")
    print(f"J differs by at most {difference:.1%}, a score by {of_score:.4f}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
