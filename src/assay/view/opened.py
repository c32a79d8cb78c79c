"""A run that is shown: the run itself, its index, and the few arrays that all of its units share."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.explain.excerpts import TestText
from assay.store.index import Index
from assay.store.run import Run

TEST, SAMPLE = "tensors/test.safetensors", "tensors/sample.safetensors"


class Opened:
    """A run and its index."""

    def __init__(self, run: Run, index: Index) -> None:
        self.run, self.index = run, index

    @cached_property
    def test(self) -> TestText:
        """The test split's tokens. Raises RunError where the run has none."""
        ids, documents, windows, scored = (
            self.run.tensor("test", name) for name in ("ids", "documents", "windows", "scored")
        )
        return TestText(ids, documents, windows, scored.astype(bool), self.index.tokens())

    @cached_property
    def sampled(self) -> NDArray[Any]:
        """(n,) which tokens of the test split a judge was asked about."""
        return self.run.tensor("test", "sampled")

    @cached_property
    def sample(self) -> dict[str, NDArray[Any]] | None:
        """The natural sample of the fit split: ``ids`` (m, length), ``positions`` (m,); None where none is stored."""
        return self.run.tensors("sample") if self.run.has(SAMPLE) else None

    def tails(self, unit: dict[str, Any]) -> dict[str, NDArray[Any]]:
        """The unit's exemplars: ``top_ids``, ``top_activations`` and the same of ``bottom``, (k, length) each."""
        own = f"exemplars-L{unit['layer']}.{unit['kind']}"
        name = own if self.run.has(f"tensors/{own}.safetensors") else "exemplars"
        if not self.run.has(f"tensors/{name}.safetensors"):
            return {}
        names = [f"{side}_{part}" for side in ("top", "bottom") for part in ("ids", "activations")]
        return {key: self.run.tensor_row(name, key, unit["row"]) for key in names}

    def natural(self, unit: dict[str, Any]) -> NDArray[np.float32] | None:
        """(m,) the unit's activations on the tokens of the natural sample; None where none are stored."""
        own = f"exemplars-L{unit['layer']}.{unit['kind']}"
        if self.sample is None or not self.run.has(f"tensors/{own}.safetensors"):
            return None
        return self.run.tensor_row(own, "sample_values", unit["row"]).astype(np.float32)

    def quantiles(self, unit: dict[str, Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Levels and quantiles of the unit's activation: as stored, else the few of the units table."""
        own = f"exemplars-L{unit['layer']}.{unit['kind']}"
        if self.run.has(f"tensors/{own}.safetensors") and self.run.has_tensor(own, "quantiles"):
            return self.run.tensor(own, "quantile_levels"), self.run.tensor_row(own, "quantiles", unit["row"])
        return np.array([0, 0.01, 0.5, 0.99, 1]), np.array([unit[name] for name in ("min", "q01", "q50", "q99", "max")])
