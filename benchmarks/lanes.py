"""What it saves to teach reporters side by side, each on its share of the cores, against one after the other on all.

    python benchmarks/lanes.py [--quick]

The default model, topology Q, adapters above the neurons of a layer, as ``assay report`` teaches them: natural values,
patches, shuffled numbers, as many lessons as there are lanes twice over. Both ways teach the same lessons from the
same beginnings. Lessons are of six steps, so that putting adapters in and judging answers weigh more than in a real
run. Rounds are interleaved, and which goes first alternates; the first of each is not counted. The last line is JSON:
by layer the ratio of seconds, median and quartiles, and how far what was learnt is apart, which is by the rounding of
bf16 products over fewer cores.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

import numpy as np
import torch

from assay.introspect.baselines import Parts
from assay.introspect.ground import Ground, prepare
from assay.introspect.group import NULL, Learnt, Trial, course
from assay.introspect.lanes import Lanes
from assay.introspect.neurons import choose_neurons
from assay.introspect.sentences import gather
from assay.introspect.training import Plan
from assay.introspect.wording import wording
from assay.model import load
from assay.text import load_corpus

LAYERS = (4, 22)
ROUNDS, QUICK_ROUNDS, SENTENCES, UNITS = 12, 5, 96, 2
TAUGHT = ("nat", "int", NULL, "int10")


def quiet(message: str, share: float | None = None) -> None:
    """Tells nobody."""


def race(ground: Ground, layer: int, rounds: int) -> dict[str, Any]:
    """Rounds of both."""
    neurons, plan = choose_neurons(ground.learner, layer, ground.fit.values[layer], UNITS, 0), Plan(1, 1)
    lanes = Lanes.of(ground.learner)
    trials = [Trial("above", TAUGHT[number % len(TAUGHT)], SENTENCES) for number in range(2 * lanes.count)]
    courses = [course(ground, neurons, trial, plan, seed) for seed, trial in enumerate(trials)]
    ways = (Lanes(1), lanes)
    seconds: list[list[float]] = [[], []]
    learnt: list[list[Learnt]] = [[], []]
    for number in range(-1, rounds):
        for way in (0, 1) if number % 2 else (1, 0):
            started = time.perf_counter()
            learnt[way] = ways[way].teach(courses, quiet)
            seconds[way].append(time.perf_counter() - started)
    ratios = [slow / fast for slow, fast in zip(seconds[0][1:], seconds[1][1:], strict=True)]
    low, median, high = statistics.quantiles(ratios, n=4)
    losses = [np.array([one.trained.losses[-1] for one in own]) for own in learnt]
    return {
        "ratio": round(median, 2),
        "quartiles": [round(low, 2), round(high, 2)],
        "lessons": len(courses),
        "seconds_side_by_side": round(statistics.median(seconds[1][1:]), 2),
        "losses_apart": round(float(np.abs(losses[0] - losses[1]).max()), 4),
    }


def main() -> None:
    """Print what was measured, and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, the upper layer alone")
    quick = parser.parse_args().quick
    layers = LAYERS[1:] if quick else LAYERS
    subject = load()
    worded = wording(subject.tokenizer, "Q", UNITS, subject.name)
    sentences = Parts(*gather(subject, load_corpus("bundled"), worded.stop, (SENTENCES, 16, 16), 0))
    ground = prepare(subject, subject, worded, sentences, list(layers), [SENTENCES], False, quiet)
    found: dict[str, Any] = {"dtype": str(subject.dtype).removeprefix("torch."), "cores": torch.get_num_threads()}
    for layer in layers:
        found[f"layer_{layer}"] = race(ground, layer, QUICK_ROUNDS if quick else ROUNDS)
        print(f"layer {layer}: {found[f'layer_{layer}']}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
