"""What a layer leaves on disk, whole or not at all, so that a run that was broken off goes on after its last layer."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from assay.core.ids import SiteId
from assay.explain.joint.stored import Stored, pack
from assay.explain.whole.layer import EXPLAINERS, LayerFound
from assay.explain.whole.tables import claim_rows, score_rows, settled, unit_rows
from assay.record import SiteSketches
from assay.store.atomic import write_bytes, write_json, write_parquet
from assay.store.schema import build_table

TABLES = ("units", "claims", "evidence")


class Shard(NamedTuple):
    """A layer as it was left: its site, arrays by name, and what its computation took."""

    site: SiteId
    arrays: Mapping[str, NDArray[Any]]
    seconds: float
    seconds_forward: float


class Shards:
    """The layers of a run that are done, in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def done(self, site: SiteId) -> bool:
        """Whether a layer is here, whole."""
        return self._path(site, "json").is_file()

    def write(
        self,
        found: LayerFound,
        sketches: SiteSketches,
        first: int,
        sampled: NDArray[np.int64],
        seconds: tuple[float, float],
    ) -> None:
        """Keep a layer; its claims count from ``first``. Activations of the ``sampled`` units are kept as they are."""
        rows = (unit_rows(found, sketches), claim_rows(found, first), score_rows(found, first))
        for name, own in zip(TABLES, rows, strict=True):
            write_parquet(self._path(found.site, f"{name}.parquet"), build_table(name, own))
        arrays = settled(found) | _sample_arrays(found, sampled)
        write_bytes(self._path(found.site, "npz"), _packed(arrays))
        write_json(self._path(found.site, "json"), {"seconds": seconds[0], "seconds_forward": seconds[1]})

    def keep_joint(self, site: SiteId, arrays: Mapping[str, NDArray[Any]], arms: Sequence[str]) -> None:
        """Keep what came of replacing a layer at once, before the layer itself is kept."""
        write_bytes(self._path(site, "joint.npz"), _packed({**arrays, "arms": np.array(arms)}))

    def joint(self, sites: Sequence[SiteId]) -> Stored:
        """What came of replacing these layers at once."""
        kept: dict[SiteId, dict[str, NDArray[Any]]] = {}
        for site in sites:
            with np.load(self._path(site, "joint.npz"), allow_pickle=False) as file:
                kept[site] = dict(file)
        arms = {site: own.pop("arms").tolist() for site, own in kept.items()}
        return pack(kept, arms)

    def read(self, site: SiteId) -> Shard:
        """A layer's arrays. Raises OSError where it is not here."""
        took = json.loads(self._path(site, "json").read_text())
        with np.load(self._path(site, "npz"), allow_pickle=False) as file:
            arrays = dict(file)
        return Shard(site, arrays, took["seconds"], took["seconds_forward"])

    def table(self, site: SiteId, name: str) -> Any:
        """One of a layer's tables."""
        return pq.read_table(self._path(site, f"{name}.parquet"))

    def _path(self, site: SiteId, suffix: str) -> Path:
        return self.directory / f"{site}.{suffix}"


def _packed(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    packed = io.BytesIO()
    np.savez(packed, allow_pickle=False, **arrays)
    return packed.getvalue()


def _sample_arrays(found: LayerFound, sampled: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {"sampled": sampled, "activations": found.activations[sampled]}
    for name in EXPLAINERS:
        lines = found.asserted[name].rival_lines
        arrays[f"{name}.rival_line"] = np.stack(lines, axis=1)[sampled]
    return arrays
