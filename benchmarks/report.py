"""What an example costs a reporter that is taught from what was kept, against finetuning through the whole model.

    python benchmarks/report.py [--quick]

The default model, topology Q, adapters above the neurons of a layer. Both ways see the same sentences, questions and
patches in the same batches, are in the dtype in which reporters are taught, begin at the same weights and take the
same steps. The naive way runs every layer on every token of sentence and question, computes logits at every position
and their cross-entropy in fp32, as a language model's own training step in transformers does, and edits the neuron by
a hook; its adapters are put out before the full stop, so that it learns the same. Rounds are interleaved, and which
goes first alternates. What was kept was made once for all epochs and is not counted; ``kept_seconds`` says what it
took for these sentences. The last line is JSON: by layer the ratio of seconds an example, median and quartiles, and
how far the losses of the two are apart.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from assay.core.ids import SiteId
from assay.introspect.baselines import Parts
from assay.introspect.ground import Ground, prepare
from assay.introspect.kept import Batch
from assay.introspect.neurons import Neuron, choose_neurons
from assay.introspect.regimes import Doses, doses
from assay.introspect.reporter import Reporter, reporter
from assay.introspect.sentences import gather
from assay.introspect.training import Plan, attention, step_loss
from assay.introspect.wording import wording
from assay.model import load
from assay.text import load_corpus

LAYERS, TARGETS = (15, 25), {15: 6.0, 25: 15.0}
ROUNDS, QUICK_ROUNDS, SENTENCES, UNITS = 12, 5, 96, 3


class Naive(Reporter):
    """Answers by full passes, adapters put out before the full stop."""

    def logits(self, batch: Batch, change: Tensor) -> Tensor:
        """Over the whole vocabulary at every position, (b * units, tokens, vocab)."""
        questions = torch.tensor(self.wording.questions)
        count = len(questions)
        ids = torch.cat([batch.ids.repeat_interleave(count, 0), questions.repeat(len(batch), 1)], 1)
        mask = batch.past.mask.repeat_interleave(count, 0)
        mask = torch.cat([mask, mask.new_ones(len(mask), questions.shape[1])], 1)
        at = batch.ids.shape[1] - 1
        numbers = torch.tensor([unit.number for unit in self.units]).repeat(len(batch))

        def patched(tensor: Tensor) -> Tensor:
            added = torch.zeros_like(tensor)
            added[torch.arange(len(numbers)), at, numbers] = change.flatten().to(tensor.dtype)
            return tensor + added

        with self.subject.edit(SiteId(self.layer, "mlp_act"), patched), self._late(at):
            hidden = self.subject.hidden(ids, mask)
        everywhere = self.subject.unembed(hidden.flatten(0, 1)).float().unflatten(0, hidden.shape[:2])
        known = (hidden[:, -1].float() - self.centre) / self.spread
        own = known @ self.rows[:, :-1].T + self.rows[:, -1]
        found = everywhere[:, -1].index_add(-1, torch.tensor(self.wording.digits), own)
        return torch.cat([everywhere[:, :-1], found[:, None]], 1)

    def loss(self, batch: Batch, given: Doses) -> Tensor:
        """Cross-entropy over all positions, of which all but the last are left out by their label."""
        rows = batch.rows.numpy()
        logits = self.logits(batch, torch.from_numpy(given.change[rows]))
        labels = torch.full(logits.shape[:2], -100)
        labels[:, -1] = torch.tensor(self.wording.digits)[torch.from_numpy(given.digits[rows]).flatten()]
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)

    @contextmanager
    def _late(self, first: int) -> Iterator[None]:
        def late(_: Any, args: tuple[Any, ...], output: Tensor) -> Tensor:
            return torch.cat([torch.zeros_like(output[:, :first]), output[:, first:]], 1)

        handles = [tuner.lora_B["default"].register_forward_hook(late) for tuner in self.adapters._tuners]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


class Side:
    """One of the two: its reporter, its optimiser, the time its steps took and their losses."""

    def __init__(self, asked: Reporter, plan: Plan) -> None:
        self.asked = asked
        rows, adapters = [asked.rows], list(asked.adapters.parameters.values())
        groups = [{"params": rows, "lr": plan.rows_rate}, {"params": adapters, "lr": plan.rate}]
        self.optimizer = torch.optim.AdamW([group for group in groups if group["params"]], weight_decay=0.0, fused=True)
        self.seconds: list[float] = []
        self.losses: list[float] = []

    def step(self, batch: Batch, given: Doses) -> None:
        """One step of training, timed by the example."""
        started = time.perf_counter()
        if isinstance(self.asked, Naive):
            wrong = self.asked.loss(batch, given)
        else:
            with attention(self.asked.subject):
                wrong = step_loss(self.asked, batch, given)
        self.optimizer.zero_grad()
        wrong.backward()
        self.optimizer.step()
        self.seconds.append((time.perf_counter() - started) / given.digits[batch.rows].size)
        self.losses.append(wrong.item())


def race(ground: Ground, neurons: list[Neuron], rounds: int) -> dict[str, Any]:
    """Interleaved steps of both on the same batches."""
    plan, values = Plan(), ground.values([neuron.unit for neuron in neurons]).fit
    batches = ground.fit.batches
    given = doses("int10", neurons, values, np.random.default_rng(0))
    sides: list[Side] = []
    learnt: dict[str, Any] = {}
    # adapters stand in the model's own modules, so the two take turns in putting theirs there
    with reporter(ground.learner, neurons, ground.wording, "above", plan.rank, 0) as asked:
        asked.begin_on(batches[:2])
        learnt = asked.state()
        naive = Naive(ground.learner, neurons, ground.wording, asked.rows, asked.adapters, False)
        naive.load(learnt)
        sides = [Side(asked, plan), Side(naive, plan)]
        states = [learnt, learnt]
        for number in range(-1, rounds):
            batch = batches[number % len(batches)]
            for side in (0, 1) if number % 2 else (1, 0):
                sides[side].asked.load(states[side])
                sides[side].step(batch, given)
                states[side] = sides[side].asked.state()
    ratios = [slow / fast for fast, slow in zip(sides[0].seconds[1:], sides[1].seconds[1:], strict=True)]
    apart = [abs(a - b) for a, b in zip(sides[0].losses, sides[1].losses, strict=True)]
    low, median, high = statistics.quantiles(ratios, n=4)
    return {
        "ratio": round(median, 2),
        "quartiles": [round(low, 2), round(high, 2)],
        "ms_an_example": round(1000 * statistics.median(sides[0].seconds[1:]), 2),
        "naive_ms_an_example": round(1000 * statistics.median(sides[1].seconds[1:]), 2),
        "losses_apart": round(max(apart), 4),
        "losses": [round(sides[0].losses[-1], 4), round(sides[1].losses[-1], 4)],
    }


def main() -> None:
    """Print what was measured, and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    rounds = QUICK_ROUNDS if parser.parse_args().quick else ROUNDS
    subject = load()
    worded = wording(subject.tokenizer, "Q", UNITS, subject.name)
    fit, choose, test = gather(subject, load_corpus("bundled"), worded.stop, (SENTENCES, 8, 8), 0)
    started = time.perf_counter()
    layers = list(LAYERS)
    ground = prepare(subject, subject, worded, Parts(fit, choose, test), layers, [SENTENCES], False, lambda *_: None)
    kept = time.perf_counter() - started
    found: dict[str, Any] = {"dtype": str(subject.dtype).removeprefix("torch."), "kept_seconds": round(kept, 1)}
    for layer in LAYERS:
        neurons = choose_neurons(subject, layer, ground.fit.values[layer], UNITS, 0)
        found[f"layer_{layer}"] = race(ground, neurons, rounds) | {"target": TARGETS[layer]}
        print(f"layer {layer}: {found[f'layer_{layer}']}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
