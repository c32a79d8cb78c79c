"""What a run keeps of a recording: the units table and the exemplars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.core.ids import UnitId
from assay.record import Recording


def unit_rows(
    recording: Recording, units: Sequence[UnitId], n_targets: int, fire_above: NDArray[np.float64]
) -> list[dict[str, Any]]:
    """The units table: the first ``n_targets`` units are the ones asked for, the others their companions."""

    def column(read: Any) -> list[float]:
        return [float(value) for value in np.nan_to_num(recording.gather(read))]

    columns = {
        "mean": column(lambda s: s.moments.mean),
        "sd": column(lambda s: s.moments.sd),
        "skew": column(lambda s: s.moments.skew),
        "kurtosis": column(lambda s: s.moments.kurtosis),
        "min": column(lambda s: s.moments.minimum),
        "max": column(lambda s: s.moments.maximum),
        "q01": column(lambda s: s.rows.quantile(0.01)),
        "q50": column(lambda s: s.rows.quantile(0.5)),
        "firing_rate": column(lambda s: s.firing.rate),
    }
    count = next(iter(recording.sites.values())).moments.count
    return [
        {
            "unit": str(unit),
            "layer": unit.site.layer,
            "kind": unit.site.kind,
            "index": unit.number,
            "count": int(count),
            "q99": float(fire_above[i]),
            "role": "target" if i < n_targets else "companion",
        }
        | {name: values[i] for name, values in columns.items()}
        for i, unit in enumerate(units)
    ]


def exemplar_arrays(recording: Recording, targets: Sequence[UnitId]) -> dict[str, NDArray[Any]]:
    """Top and bottom exemplars of the targets."""
    out: dict[str, NDArray[Any]] = {}
    for side in ("top", "bottom"):
        for name in ("ids", "activations", "documents"):
            values = recording.gather(lambda s, side=side, name=name: getattr(getattr(s.exemplars, side), name))
            out[f"{side}_{name}"] = values[: len(targets)]
    return out
