"""The training loop, in plain torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from assay.ladder import checkpoint
from assay.ladder.checkpoint import Row, State
from assay.ladder.loss import measure
from assay.ladder.model import fresh_model, register_attention
from assay.ladder.recipe import Recipe
from assay.ladder.stream import Stream
from assay.text import TokenTable

Progress = Callable[[str], None]


def train(
    recipe: Recipe,
    stream: Stream,
    choose: TokenTable,
    directory: Path,
    device: torch.device,
    asked: Mapping[str, Any],
    progress: Progress,
) -> State:
    """Train a model to the end of its tokens, and keep the weights of the lowest choose loss.

    At each choose loss the whole state goes to ``directory``, and a training that finds one there goes on from it: on a
    CPU and with the same number of threads its curve (but for seconds) and weights are then, bit for bit, those of one
    that was never interrupted.

    Raises:
        UsageError: the state in ``directory`` is that of another request than ``asked``.
        RunError: it is damaged.
        StorageError: it can't be written.
    """
    model = fresh_model(recipe.shape, recipe.seed, register_attention()).to(device).train()
    optimizer = _optimizer(model, recipe)
    state = checkpoint.restore(directory, model, optimizer, asked)
    clock = _Clock(recipe, state, progress)
    if not state.curve:
        _look(recipe, state, model, choose, None, clock)
        checkpoint.save(directory, state, model, optimizer, asked)
    sums: list[Tensor] = []
    while state.step < recipe.steps:
        sums.append(_step(recipe, state, model, optimizer, stream))
        if state.step % recipe.steps_between == 0 or state.step == recipe.steps:
            fit = float(torch.stack(sums).double().mean())
            sums.clear()
            _look(recipe, state, model, choose, fit, clock)
            checkpoint.save(directory, state, model, optimizer, asked)
    return state


class _Clock:
    """Seconds of all processes, and the line that says how far the training is."""

    def __init__(self, recipe: Recipe, state: State, progress: Progress) -> None:
        self._recipe, self._progress = recipe, progress
        self._begun, self._before, self._first = time.monotonic(), state.seconds, state.step

    def seconds(self) -> float:
        return round(self._before + time.monotonic() - self._begun, 1)

    def tell(self, state: State) -> None:
        row, done = state.curve[-1], state.step - self._first
        fit = "" if row.fit is None else f"fit {row.fit:.3f}, "
        left = ""
        if done and state.step < self._recipe.steps:
            seconds = (time.monotonic() - self._begun) / done * (self._recipe.steps - state.step)
            left = f", {seconds:.0f} s left" if seconds < 120 else f", {seconds / 60:.0f} min left"
        self._progress(
            f"{self._recipe.name}: {row.tokens:,} of {self._recipe.tokens:,} tokens, {fit}"
            f"choose {row.choose:.3f}, best {state.best_row.choose:.3f}{left}"
        )


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    weights = list(model.parameters())
    groups = [
        {"params": [weight for weight in weights if weight.ndim >= 2], "weight_decay": recipe.decay},
        {"params": [weight for weight in weights if weight.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.rate, betas=(0.9, 0.95), fused=True)


def _step(recipe: Recipe, state: State, model: Any, optimizer: torch.optim.Optimizer, stream: Stream) -> Tensor:
    """One step; gives the mean loss of its windows before it."""
    for group in optimizer.param_groups:
        group["lr"] = recipe.rate_at(state.step)
    windows, state.place = stream.take(state.place, recipe.batch)
    parts = torch.from_numpy(windows).to(model.device).split(recipe.part)
    losses: list[Tensor] = []
    for ids in parts:
        with torch.autocast(model.device.type, torch.bfloat16, enabled=recipe.products == "bf16"):
            logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
        loss = functional.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten()) / len(parts)
        loss.backward()
        losses.append(loss.detach())
    nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
    optimizer.step()
    optimizer.zero_grad()
    state.step += 1
    return torch.stack(losses).sum()


def _look(recipe: Recipe, state: State, model: nn.Module, choose: TokenTable, fit: float | None, clock: _Clock) -> None:
    """Measure the choose loss, add it to the curve, and keep the weights if it is the lowest."""
    loss = measure(model, choose, products=torch.bfloat16 if recipe.products == "bf16" else None).mean
    lowest = min((row.choose for row in state.curve), default=float("inf"))
    tokens = state.step * recipe.batch * recipe.window
    state.curve.append(Row(tokens, fit, loss, clock.seconds()))
    if loss < lowest:
        state.best = {name: weight.detach().cpu().clone() for name, weight in model.named_parameters()}
    clock.tell(state)
