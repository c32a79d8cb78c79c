"""A bench whose activations are made up, so that what ought to be found of them is known."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from assay.core.ids import SiteId
from assay.probe.bench import Bench
from assay.probe.request import Effort
from assay.text.concepts import ConceptData, Item

WIDTH, LAYERS = 64, 4
SMALL = Effort(10_000, 400, 20, 2, 0.1, 2)
FACTS = 100


def quiet(message, share=None):
    pass


def facts(name="facts", groups=FACTS, first=0, ask=""):
    """A contrast pair a group; the words are the same on both sides."""
    items = tuple(
        Item(f"Thing {group} is number {place}.", (group + place) % 2, f"g{group}", f"p{group}", "thing")
        for group in range(first, first + groups)
        for place in range(2)
    )
    return ConceptData(name, items, "it is so", "made up for tests", ask, (" no", " yes") if ask else ("", ""))


def truth(seed=0) -> NDArray[np.float64]:
    """The direction that everything is planted along, a unit vector."""
    drawn = np.random.default_rng([seed, 7]).normal(size=WIDTH)
    return drawn / np.linalg.norm(drawn)


def signs(data: ConceptData) -> NDArray[np.float64]:
    return 2.0 * data.labels - 1.0


def planted(data: ConceptData, strength: float, seed: int = 0, noise: float = 1.0) -> NDArray[np.float32]:
    """Rows ``3 + strength * sign * truth + noise``; a negative strength turns the concept over."""
    rng = np.random.default_rng([seed, len(data), 8])
    rows = 3 + strength * np.outer(signs(data), truth()) + noise * rng.normal(size=(len(data), WIDTH))
    return rows.astype(np.float32)


def planted_bench(
    sets: Mapping[str, ConceptData] | list[ConceptData],
    acts: Mapping[tuple[str, int], NDArray[np.float32]],
    size: Effort = SMALL,
    seed: int = 0,
) -> Bench:
    """``acts``: by data set and layer. A model of :data:`LAYERS` layers is asked for its sizes and nothing else."""
    data = list(sets.values()) if isinstance(sets, Mapping) else sets
    width = next(iter(acts.values())).shape[1]
    subject = SimpleNamespace(name="planted", n_layers=LAYERS, d_model=width)
    bench = Bench(lambda: subject, size, seed, "last", quiet, data)
    for (name, layer), rows in acts.items():
        bench._acts.setdefault(name, {})[SiteId(layer, "resid_post")] = rows
    return bench
