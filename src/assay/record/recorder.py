"""The pass over a corpus that feeds every sketch of every unit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, UInt64
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from assay.core.ids import SiteId, UnitId
from assay.errors import UsageError
from assay.record.columns import create_columns, open_columns
from assay.record.exemplars import Exemplars
from assay.record.firing import FiringRate
from assay.record.hashing import document_keys
from assay.record.moments import Moments
from assay.record.predicates import PredicateSums
from assay.record.recording import Recording, SiteSketches
from assay.record.rows import RowSample
from assay.record.sketch import Context, widened
from assay.record.stream import Recordable, check_indices, stream
from assay.text import TokenTable

Progress = Callable[[int, int], None]


class SketchSizes(NamedTuple):
    """How much the sketches keep: excerpts a unit and side, and tokens in the row sample, drawn with ``seed``."""

    exemplars: int = 20
    sample: int = 4096
    seed: int = 0


STANDARD = SketchSizes()


def _quiet(done: int, total: int) -> None:
    """Progress that goes nowhere."""


def record(
    subject: Recordable,
    table: TokenTable,
    units: Sequence[UnitId],
    *,
    document_ids: Sequence[str],
    first_position: Literal["apart", "included"] = "apart",
    columns: Path | None = None,
    predicates: Bool[NDArray[np.bool_], "n_tokens p"] | csr_matrix | None = None,
    thresholds: Mapping[UnitId, float] | None = None,
    sizes: SketchSizes = STANDARD,
    progress: Progress = _quiet,
    batch_tokens: int = 1536,
) -> Recording:
    """Feed every sketch of every unit from one pass over a table.

    The first position of each window and special tokens elsewhere have moments of their own and are in no other
    sketch (``first_position="included"`` keeps the first position in). All tokens are in ``columns``, a new .npy
    file of float32, (n_tokens, units) in the flat order of the table.

    ``document_ids``: names of the documents that ``table.documents`` numbers; the row sample is drawn by them.
    ``predicates``: (n_tokens, p) in the flat order. ``thresholds``: the level above which a unit fires, 0 where
    not given. ``progress`` is told the tokens done and the tokens in all.

    Memory is that of the sketches, a batch and the table: it does not grow with the tokens otherwise.

    Raises:
        UnknownName: the subject has no such site.
        UsageError: no unit, a unit twice or one that does not exist, or no token.
        ActivationError: NaN or infinite activations, with site and document. ``columns`` is removed again.
        StorageError: no room or permission for ``columns``.
    """
    if not units or len(set(units)) < len(units):
        raise UsageError(f"a recording needs units, each once. Got {len(units)}, {len(set(units))} of them different")
    if not table.n_tokens:
        raise UsageError("there is no token to record; give a corpus with text")
    by_site: dict[SiteId, list[int | str]] = {}
    for unit in units:
        by_site.setdefault(unit.site, []).append(unit.index)
    for site, indices in by_site.items():
        check_indices(subject, site, indices)
    n_predicates = None if predicates is None else predicates.shape[1]
    sketches = {
        site: empty_sketches(site, indices, table.length, sizes, thresholds or {}, n_predicates)
        for site, indices in by_site.items()
    }
    keys = document_keys(document_ids)
    special_ids = sorted(subject.special_ids)
    done, seconds = 0, 0.0
    with ExitStack() as undo:
        sink = None
        if columns is not None:
            sink = create_columns(columns, table.n_tokens, len(units))
            undo.callback(columns.unlink)
        places = {site: np.flatnonzero([unit.site == site for unit in units]) for site in by_site}
        for block in stream(
            subject, table, list(by_site), columns=by_site, batch_tokens=batch_tokens, document_ids=document_ids,
            halves=True,
        ):  # fmt: skip
            rows = counted_rows(table, block.flat, keys, special_ids, first_position, predicates)
            for site, values in block.activations.items():
                sketches[site].update(values, *rows)
                if sink is not None:
                    sink[block.flat[:, None], places[site]] = widened(values)
            done += len(block.flat)
            seconds += block.seconds
            progress(done, table.n_tokens)
        undo.pop_all()
    kept = None
    if sink is not None and columns is not None:
        sink.flush()
        kept = open_columns(columns)
    return Recording(tuple(units), sketches, table.n_tokens, seconds, kept)


def empty_sketches(
    site: SiteId,
    indices: Sequence[int | str],
    length: int,
    sizes: SketchSizes = STANDARD,
    thresholds: Mapping[UnitId, float] = MappingProxyType({}),
    n_predicates: int | None = None,
) -> SiteSketches:
    """The sketches of some units of a site before the first token; ``length`` is that of the table's windows."""
    count = len(indices)
    levels = [thresholds.get(UnitId(site, index), 0.0) for index in indices]
    return SiteSketches(
        site=site,
        units=tuple(indices),
        moments=Moments(count),
        first=Moments(count),
        special=Moments(count),
        firing=FiringRate(np.array(levels, np.float32)),
        exemplars=Exemplars(count, length, sizes.exemplars),
        rows=RowSample(count, sizes.sample, sizes.seed),
        predicates=None if n_predicates is None else PredicateSums(n_predicates, count, np.float32),
    )


class CountedRows(NamedTuple):
    """What :meth:`SiteSketches.update` is told about a block: which rows count, and the two sets kept apart."""

    context: Context
    first: Bool[NDArray[np.bool_], " n"]
    special: Bool[NDArray[np.bool_], " n"]


def counted_rows(
    table: TokenTable,
    flat: NDArray[np.int64],
    keys: UInt64[NDArray[np.uint64], " d"],
    special_ids: Sequence[int],
    first_position: Literal["apart", "included"] = "apart",
    predicates: Bool[NDArray[np.bool_], "n_tokens p"] | csr_matrix | None = None,
) -> CountedRows:
    """The tokens at ``flat`` as sketches are told of them; ``keys`` are those of the documents' names."""
    windows = table.flat_windows[flat]
    documents = table.documents[windows]
    ids, positions = table.flat_ids[flat], table.flat_positions[flat]
    first, special = positions == 0, np.isin(ids, special_ids)
    context = Context(
        ids=ids,
        documents=documents,
        windows=windows,
        starts=table.starts[windows],
        positions=positions,
        keys=keys[documents],
        counted=~(special | first) if first_position == "apart" else ~special,
        predicates=None if predicates is None else predicates[flat],
    )
    return CountedRows(context, first, special & ~first)
