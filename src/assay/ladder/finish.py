"""From the end of a training to a directory that loads, with what it is worth."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from assay.ladder.checkpoint import Row, State
from assay.ladder.loss import Losses, measure
from assay.ladder.model import configuration
from assay.ladder.recipe import Recipe
from assay.ladder.shipped import CURVE
from assay.model import load
from assay.model.twins import twin
from assay.stats import document_weights, interval
from assay.store.atomic import make_directory, storage_error, write_bytes, write_json, write_text
from assay.store.provenance import package_versions
from assay.text import TokenTable

WEIGHTS = "model.safetensors"
DIGITS = 4  # of a nat, in what is stored


class How(NamedTuple):
    """What a training was asked for, as plain data, and the reason for its dtypes and device."""

    asked: Mapping[str, Any]
    reason: str


def finish(
    recipe: Recipe,
    state: State,
    tokenizer: Path,
    directory: Path,
    test: TokenTable,
    nulls: Mapping[str, Losses],
    how: How,
) -> Path:
    """Write the best weights in bf16, measure what was written on the test windows in fp32, and store the figures.

    Raises:
        StorageError: the directory can't be written.
    """
    shutil.rmtree(directory, ignore_errors=True)
    make_directory(directory)
    _write_model(recipe, state, tokenizer, directory)
    subject = load(directory, dtype="fp32", device="cpu")
    losses = measure(subject.model, test)
    reinit = measure(twin(subject, "reinit").model, test)
    record = {
        "name": recipe.name,
        "parameters": recipe.shape.parameters,
        **how.asked,
        "placement": how.reason,
        "threads": torch.get_num_threads(),
        "packages": package_versions(),
        "seconds": state.seconds,
        "kept": state.best_row.tokens,
        "curve": [_rounded(row) for row in state.curve],
        "test": _test(losses, {**nulls, "reinit": reinit}),
    }
    _write_record(directory / CURVE, record)
    return directory


def _write_model(recipe: Recipe, state: State, tokenizer: Path, directory: Path) -> None:
    from safetensors.torch import save

    config = configuration(recipe.shape)
    config.dtype = torch.bfloat16
    write_json(directory / "config.json", json.loads(config.to_json_string()))
    weights = {name: weight.to(torch.bfloat16) for name, weight in state.best.items()}
    write_bytes(directory / WEIGHTS, save(weights, metadata={"format": "pt"}))
    try:
        for file in tokenizer.glob("tokenizer*.json"):
            shutil.copy(file, directory)
    except OSError as error:
        raise storage_error(directory, error) from error


def _rounded(row: Row) -> dict[str, Any]:
    return {name: None if value is None else round(value, DIGITS) for name, value in row._asdict().items()}


def _test(losses: Losses, others: Mapping[str, Losses]) -> dict[str, Any]:
    """The model and its nulls with intervals, how far it is below each, and the sums of every document."""
    weights = document_weights(len(losses.tokens))
    tokens = weights @ losses.tokens

    def below(other: Losses) -> list[float]:
        gap = interval(other.mean - losses.mean, (weights @ (other.nats - losses.nats)) / tokens)
        return np.round(gap, DIGITS).tolist()

    named = {"model": losses, **others}
    return {
        "documents": len(losses.tokens),
        "tokens": int(losses.tokens.sum()),
        "loss": {name: np.round(own.interval(), DIGITS).tolist() for name, own in named.items()},
        "below": {name: below(other) for name, other in others.items()},
        "document_tokens": losses.tokens.astype(int).tolist(),
        "document_nats": {name: np.round(own.nats, DIGITS - 1).tolist() for name, own in named.items()},
    }


def _write_record(path: Path, record: Mapping[str, Any]) -> None:
    """JSON with a line a key, so that neither a curve nor the documents take a line a number."""
    lines = [f" {json.dumps(name)}: {json.dumps(value, allow_nan=False)}" for name, value in record.items()]
    write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")
