"""What every unit of a layer did on the fit documents, by the recorder's own sketches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from assay.core.ids import SiteId, UnitId
from assay.explain.material import Part
from assay.record import SiteSketches
from assay.record.hashing import document_keys
from assay.record.recorder import SketchSizes, counted_rows, empty_sketches

if TYPE_CHECKING:
    from assay.model import Subject

EXEMPLARS = 8  # a unit and side: fewer than where a few units are looked at, for there are very many
_AT_ONCE = 24  # windows


def sketch_layer(
    subject: Subject,
    part: Part,
    site: SiteId,
    values: Float32[np.ndarray, "u n"],
    fire_above: NDArray[np.float64],
    seed: int,
) -> SiteSketches:
    """Feed all sketches of a site from activations that are at hand; those of ``part`` come first in ``values``."""
    units, table = len(values), part.table
    thresholds = {UnitId(site, i): float(level) for i, level in enumerate(fire_above)}
    sketches = empty_sketches(site, range(units), table.length, SketchSizes(EXEMPLARS, 2048, seed), thresholds)
    keys, special = document_keys([document.id for document in part.documents]), sorted(subject.special_ids)
    for first in range(0, len(table), _AT_ONCE):
        low, high = table.offsets[first], table.offsets[min(first + _AT_ONCE, len(table))]
        rows = counted_rows(table, np.arange(low, high), keys, special)
        sketches.update(np.ascontiguousarray(values[:, low:high].T), *rows)
    return sketches
