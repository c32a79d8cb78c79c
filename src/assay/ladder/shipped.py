"""What is known of trained models without loading one: their sizes, losses and curves. No torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from assay.core.bundled import bundled_models
from assay.errors import RunError

CURVE = "training.json"
NULLS = ("unigram", "bigram", "reinit")


class Trained(NamedTuple):
    """A model's directory and the record of its training (docs/ladder.md says what stands in it)."""

    directory: Path
    record: Mapping[str, Any]

    def summary(self) -> dict[str, Any]:
        """One row of a table: sizes, test loss and nulls in nats a token, each ``[value, low, high]``."""
        test = self.record["test"]
        return {
            "name": self.record["name"],
            "directory": str(self.directory),
            "layers": self.record["recipe"]["shape"]["layers"],
            "seed": self.record["recipe"]["seed"],
            "parameters": self.record["parameters"],
            "tokens": self.record["recipe"]["tokens"],
            "kept": self.record["kept"],
            "seconds": self.record["seconds"],
            "documents": test["documents"],
            "loss": test["loss"]["model"],
            "nulls": {name: test["loss"][name] for name in NULLS},
            "below": test["below"],
        }


def read_trained(directory: Path) -> Trained:
    """The record of a model that was trained here.

    Raises:
        RunError: there is none, or it is damaged.
    """
    path = directory / CURVE
    try:
        return Trained(directory, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise RunError(f"{path} can't be read; remove {directory} and train again") from error


def shipped() -> list[Trained]:
    """The models of the package, by depth and then by seed."""
    return [read_trained(directory) for directory in bundled_models().values()]
