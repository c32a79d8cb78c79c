"""How far a training has come, in one file that is replaced as a whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from assay.errors import RunError, UsageError
from assay.ladder.stream import Place
from assay.store.atomic import make_directory, write_tensors

FILE = "checkpoint.safetensors"
MOMENTS = ("exp_avg", "exp_avg_sq")

_START = Place(0, 0)


class Row(NamedTuple):
    """A point of the curve. ``fit``: mean loss of the windows since the row before, None in the first."""

    tokens: int
    fit: float | None
    choose: float
    seconds: float


@dataclass
class State:
    """A training between two steps.

    ``curve``: a row for each choose loss so far. ``best``: the weights at the lowest of them, fp32 on the CPU.
    """

    step: int = 0
    place: Place = _START
    curve: list[Row] = field(default_factory=list[Row])
    best: dict[str, Tensor] = field(default_factory=dict[str, Tensor])

    @property
    def best_row(self) -> Row:
        """The row of the lowest choose loss, the first of equals."""
        return min(self.curve, key=lambda row: row.choose)

    @property
    def seconds(self) -> float:
        """Of all processes so far."""
        return self.curve[-1].seconds if self.curve else 0.0


def save(directory: Path, state: State, model: Any, optimizer: torch.optim.Optimizer, asked: Mapping[str, Any]) -> None:
    """Store everything that the rest of the training depends on. ``asked`` is what a resumed one must ask for too.

    Raises:
        StorageError: the disk is full. The checkpoint before stands.
    """
    make_directory(directory)
    tensors: dict[str, Tensor] = {f"best/{name}": value for name, value in state.best.items()}
    for name, weight in model.named_parameters():
        tensors[f"weights/{name}"] = weight
        tensors.update({f"{moment}/{name}": optimizer.state[weight][moment] for moment in MOMENTS if state.step})
    progress = {"step": state.step, "place": state.place, "curve": state.curve, "asked": asked}
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
    write_tensors(directory / FILE, arrays, {"progress": json.dumps(progress)})


def restore(directory: Path, model: Any, optimizer: torch.optim.Optimizer, asked: Mapping[str, Any]) -> State:
    """Put weights and optimiser where the last checkpoint left them; a new state if there is none.

    Raises:
        UsageError: the checkpoint is of another request.
        RunError: it is damaged.
    """
    path = directory / FILE
    if not path.is_file():
        return State()
    try:
        with safe_open(path, framework="pt") as file:
            progress = json.loads(file.metadata()["progress"])
            if progress["asked"] != json.loads(json.dumps(asked)):
                raise UsageError(
                    f"{directory} holds the beginnings of a training with other settings "
                    f"({', '.join(_differing(progress['asked'], asked))}); ask for the same, or remove it"
                )
            state = State(progress["step"], Place(*progress["place"]), [Row(*row) for row in progress["curve"]])
            with torch.no_grad():
                for name, weight in model.named_parameters():
                    weight.copy_(file.get_tensor(f"weights/{name}"))
                    state.best[name] = file.get_tensor(f"best/{name}")
                    if state.step:
                        moments = {m: file.get_tensor(f"{m}/{name}").to(weight.device) for m in MOMENTS}
                        optimizer.state[weight] = {
                            "step": torch.tensor(float(state.step), device=weight.device),
                            **moments,
                        }
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise RunError(f"{path} is damaged; remove {directory} and train again") from error
    return state


def _differing(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Names of settings that differ, at any depth."""
    names: list[str] = []
    for name in sorted({*ours, *theirs}):
        mine, other = ours.get(name), theirs.get(name)
        if isinstance(mine, dict) and isinstance(other, Mapping):
            names += _differing(mine, other)
        elif mine != other:
            names.append(name)
    return names
