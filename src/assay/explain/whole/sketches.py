"""What every unit of a layer did on the fit documents, by the recorder's own sketches, and what is stored of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from assay.core.ids import SiteId
from assay.explain.material import Part
from assay.record import SiteSketches
from assay.record.hashing import document_keys
from assay.record.recorder import CountedRows, SketchSizes, counted_rows, empty_sketches
from assay.record.rows import RowSample

if TYPE_CHECKING:
    from assay.model import Subject

EXEMPLARS = 8  # a unit and side: fewer than where a few units are looked at, for there are very many
NATURAL = 256  # tokens of the row sample that are stored, the same for all units
LEVELS = (0.0, 0.001, 0.01, *(i / 28 for i in range(1, 28)), 0.99, 0.999, 1.0)  # of the quantiles that are stored
_SAMPLE = 2048
_AT_ONCE = 24  # windows


def sketch_layer(
    subject: Subject,
    part: Part,
    site: SiteId,
    values: Float32[np.ndarray, "u n"],
    seed: int,
) -> SiteSketches:
    """Feed all sketches of a site from activations that are at hand; those of ``part`` come first in ``values``."""
    units, table = len(values), part.table
    sketches = empty_sketches(site, range(units), table.length, SketchSizes(EXEMPLARS, _SAMPLE, seed))
    for first in range(0, len(table), _AT_ONCE):
        low, high = table.offsets[first], table.offsets[min(first + _AT_ONCE, len(table))]
        rows = _counted(subject, part, np.arange(low, high))
        sketches.update(np.ascontiguousarray(values[:, low:high].T), *rows)
    return sketches


def exemplar_arrays(sketches: SiteSketches) -> dict[str, NDArray[Any]]:
    """The excerpts on which each unit is highest and lowest; activations in half precision."""
    out: dict[str, NDArray[Any]] = {}
    for side in ("top", "bottom"):
        tail = getattr(sketches.exemplars, side)
        out[f"{side}_ids"] = tail.ids
        out[f"{side}_activations"] = tail.activations.astype(np.float16)
        out[f"{side}_documents"] = tail.documents
    return out


def natural_arrays(sketches: SiteSketches) -> dict[str, NDArray[Any]]:
    """What each unit does on tokens drawn at random, whose text is that of :func:`sample_arrays`.

    ``sample_values``: (units, m) in half precision. ``quantiles``: (units, levels) of eight times as many tokens,
    ``quantile_levels`` (levels,) closer together at both ends.
    """
    rows = sketches.rows
    return {
        "sample_values": rows.values[:NATURAL].T.astype(np.float16),
        "quantiles": rows.quantile(LEVELS).T.astype(np.float32),
        "quantile_levels": np.array(LEVELS, np.float32),
    }


def sample_arrays(subject: Subject, part: Part, seed: int) -> dict[str, NDArray[Any]]:
    """The text around the tokens that all sites' ``sample_values`` are of, in their order.

    ``ids``: (m, length) the token's window, padded with -1. ``positions``, ``documents``: (m,) its place in the window,
    and the number of its document in the part.
    """
    table, rows = part.table, RowSample(1, NATURAL, seed)
    rows.update(np.zeros((table.n_tokens, 1), np.float32), _counted(subject, part, np.arange(table.n_tokens)).context)
    places = zip(table.documents.tolist(), table.starts.tolist(), strict=True)
    windows = {place: window for window, place in enumerate(places)}
    drawn = [windows[place] for place in zip(rows.documents.tolist(), rows.starts.tolist(), strict=True)]
    return {
        "ids": table.ids[drawn],
        "positions": rows.positions.astype(np.int32),
        "documents": rows.documents.astype(np.int32),
    }


def _counted(subject: Subject, part: Part, flat: NDArray[np.int64]) -> CountedRows:
    keys = document_keys([document.id for document in part.documents])
    return counted_rows(part.table, flat, keys, sorted(subject.special_ids))
