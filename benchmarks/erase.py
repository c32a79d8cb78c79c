"""How long fitting an eraser and attacking it take.

    python benchmarks/erase.py [--quick]

Three races, and one time. LEACE: rows in batches of 4,096 to an eraser, beside the concept-erasure package on the same
tensors, once as it comes (float32, covariances shrunk) and once in float64 without shrinkage, which is what is computed
here; and the eraser alone, from statistics that stand. RLACE: a step of the game with the few eigenvectors that stand
out, beside one that takes the whole matrix apart. Attacks: all five with their nulls, on 400 rows of 576 columns. Pairs
are interleaved, and which goes first alternates; the first is not counted. The last line is JSON: by race the ratio of
seconds, ours over theirs, as median and quartiles.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import torch

from assay.probe import ATTACKS, LeaceFitter, run_attacks
from assay.probe.erasers.rlace import BATCH, Game

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import concept_erasure

WIDTHS, ROWS, UPDATE = (576, 1536), 20_480, 4096
PAIRS, QUICK_PAIRS = 11, 5


class Leace:
    """Both fitters on the same rows; ``exact``: the package computes what is computed here."""

    def __init__(self, width: int, rows: int, exact: bool) -> None:
        draw = torch.Generator().manual_seed(0)
        self.x = torch.randn(rows, width, generator=draw)
        self.z = torch.randint(2, (rows,), generator=draw).float()
        self.x[:, 0] += self.z
        self.width = width
        plain: dict[str, Any] = {"shrinkage": False, "constrain_cov_trace": False, "dtype": torch.float64}
        self.settings = plain if exact else {}

    def gathered(self) -> LeaceFitter:
        """Ours, with all rows."""
        fitter = LeaceFitter(self.width)
        for x, z in zip(self.x.split(UPDATE), self.z.split(UPDATE), strict=True):
            fitter.update(x, z)
        return fitter

    def gathered_theirs(self) -> Any:
        """The package's, with all rows."""
        fitter = concept_erasure.LeaceFitter(self.width, 1, **self.settings)
        for x, z in zip(self.x.split(UPDATE), self.z.split(UPDATE), strict=True):
            fitter.update(x, z)
        return fitter

    @cached_property
    def standing(self) -> tuple[LeaceFitter, Any]:
        """Both, with all rows, to be asked for erasers."""
        return self.gathered(), self.gathered_theirs()

    def ours(self) -> object:
        """Rows to eraser."""
        return self.gathered().eraser

    def theirs(self) -> object:
        """Rows to eraser."""
        return self.gathered_theirs().eraser

    def ours_alone(self) -> object:
        """Statistics to eraser."""
        return LeaceFitter(self.width).merge(self.standing[0]).eraser

    def theirs_alone(self) -> object:
        """Statistics to eraser."""
        fitter = self.standing[1]
        fitter.__dict__.pop("_cached_eraser", None)
        return fitter.eraser


class Rlace:
    """Steps of the game in so many dimensions, from where 200 have led."""

    def __init__(self, width: int, steps: int) -> None:
        self.rng = np.random.default_rng(0)
        self.z = self.rng.integers(2, size=(1000, 1)).astype(np.float64)
        self.x = self.rng.standard_normal((1000, width))
        self.x[:, :1] += 2 * self.z
        self.steps = steps
        self.game = Game.begin(width, 1, 1, self.rng)
        for _ in range(200):
            self.game = self.game.turn(*self.batch(), 0.005)

    def batch(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows and labels of one step."""
        rows = self.rng.integers(len(self.x), size=BATCH)
        return self.x[rows], self.z[rows]

    def ours(self) -> object:
        """A turn of each side, as it is done."""
        game = self.game
        for _ in range(self.steps):
            game = game.turn(*self.batch(), 0.005)
        return game

    def theirs(self) -> object:
        """The same turn with a whole matrix."""
        full, weights = (self.game.hull.basis * self.game.hull.values) @ self.game.hull.basis.T, self.game.weights
        for _ in range(self.steps):
            x, z = self.batch()
            seen = x - x @ full
            slope = (1 / (1 + np.exp(-seen @ weights)) - z) / len(x)
            weights = weights - 0.005 * seen.T @ slope
            update = -0.005 / 2 * weights @ (x.T @ slope).T
            values, vectors = np.linalg.eigh(full + update + update.T)
            ranked = values[::-1]
            shifts = (np.cumsum(ranked) - 1) / np.arange(1, len(ranked) + 1)
            shift = shifts[np.flatnonzero(ranked > shifts)[-1]]
            full = (vectors * np.maximum(values - shift, 0)) @ vectors.T
        return full


def seconds(run: Callable[[], object]) -> float:
    """Wall-clock seconds of one run."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def race(ours: Callable[[], object], theirs: Callable[[], object], pairs: int) -> dict[str, Any]:
    """Median ratio and its quartiles over interleaved pairs."""
    taken: list[tuple[float, float]] = []
    for number in range(pairs + 1):
        if number % 2:
            mine = seconds(ours)
            taken.append((mine, seconds(theirs)))
        else:
            other = seconds(theirs)
            taken.append((seconds(ours), other))
    ratios = [mine / other for mine, other in taken[1:]]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return {
        "ratio": round(middle, 4),
        "quartiles": [round(low, 4), round(high, 4)],
        "seconds": round(statistics.median(mine for mine, _ in taken[1:]), 4),
        "pairs": pairs,
    }


def attacks(rounds: int) -> dict[str, Any]:
    """Seconds of all attacks together."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((400, 576)), np.arange(400) % 2
    taken = [seconds(lambda: run_attacks(x, y, np.arange(400) // 2)) for _ in range(rounds)]
    return {"seconds": round(statistics.median(taken), 2), "attacks": len(ATTACKS), "rounds": rounds, "target": 40}


def main() -> None:
    """Print what was measured, and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer pairs, one width")
    quick = parser.parse_args().quick
    pairs = QUICK_PAIRS if quick else PAIRS
    found: dict[str, Any] = {"benchmark": "erase", "threads": torch.get_num_threads()}
    for width in WIDTHS[:1] if quick else WIDTHS:
        for name, exact in (("default", False), ("exact", True)):
            both = Leace(width, ROWS // 2 if quick else ROWS, exact)
            found[f"leace_{width}_{name}"] = race(both.ours, both.theirs, pairs)
            found[f"leace_{width}_{name}_eraser_alone"] = race(both.ours_alone, both.theirs_alone, pairs)
        game = Rlace(width, 5)
        found[f"rlace_{width}_5_steps"] = race(game.ours, game.theirs, pairs)
    found["attacks"] = attacks(1 if quick else 5)
    for name, value in found.items():
        print(f"{name}: {value}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
