"""A subject run over a table of windows: one forward pass a batch, whatever is wanted from it."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int64
from numpy.typing import NDArray

from assay.core.ids import SiteId, UnitId
from assay.errors import ActivationError, UsageError
from assay.text import Batch, TokenTable, batches

if TYPE_CHECKING:
    from torch import Tensor


@runtime_checkable
class Recordable(Protocol):
    """What a pass needs of a Subject."""

    @property
    def device(self) -> Any: ...

    @property
    def special_ids(self) -> Collection[int]: ...

    def width(self, site: SiteId, /) -> int: ...

    def activations(self, ids: Tensor, mask: Tensor, sites: Sequence[SiteId], /) -> Mapping[SiteId, Tensor]: ...


class Block(NamedTuple):
    """One batch's activations, padding left out.

    ``flat``: (n,) where each token stands in the flat order of the table. ``activations``: by site, (n, width)
    float32. ``seconds``: spent in the forward pass.
    """

    batch: Batch
    flat: Int64[NDArray[np.int64], " n"]
    activations: dict[SiteId, Float32[NDArray[np.float32], "n _"]]
    seconds: float


def stream(
    subject: Recordable,
    table: TokenTable,
    sites: Sequence[SiteId],
    *,
    columns: Mapping[SiteId, Sequence[int]] | None = None,
    batch_tokens: int = 1536,
    document_ids: Sequence[str] | None = None,
) -> Iterator[Block]:
    """Run the subject over a table, one forward pass a batch, and give what passes at ``sites``.

    ``columns`` names, by site, the coordinates that are wanted; all of them where it is left out.
    ``document_ids`` are the names of the documents that ``table.documents`` numbers, for messages.

    Raises:
        UnknownName: the subject has no such site.
        UsageError: a coordinate outside its site.
        ActivationError: NaN or infinite activations, with site and document.
    """
    import torch

    chosen = {site: check_indices(subject, site, (columns or {}).get(site)) for site in sites}
    for batch in batches(table, batch_tokens):
        flat = _flat_places(table, batch)
        ids = torch.as_tensor(batch.ids, device=subject.device)
        mask = torch.as_tensor(batch.mask, device=subject.device)
        start = time.perf_counter()
        with torch.inference_mode():
            captured = dict(subject.activations(ids, mask, list(chosen)))
            if ids.is_cuda:
                torch.cuda.synchronize(ids.device)
        seconds = time.perf_counter() - start
        activations: dict[SiteId, NDArray[np.float32]] = {}
        for site, wanted in chosen.items():
            values = captured.pop(site)[mask == 1]
            finite = torch.isfinite(values).all(1)
            if not finite.all():
                row = int(finite.logical_not().nonzero()[0, 0])
                raise _not_finite(site, table, int(flat[row]), document_ids)
            kept = values if wanted is None else values[:, torch.as_tensor(wanted, device=values.device)]
            activations[site] = kept.float().cpu().numpy()
        yield Block(batch, flat, activations, seconds)


def _flat_places(table: TokenTable, batch: Batch) -> NDArray[np.int64]:
    width: int = batch.ids.shape[1]
    places = np.add.outer(table.offsets[batch.rows], np.arange(width))
    return places[batch.mask == 1]


def check_indices(
    subject: Recordable, site: SiteId, indices: Sequence[int] | None
) -> Int64[NDArray[np.int64], " u"] | None:
    """The indices as an array.

    Raises:
        UnknownName: the subject has no such site.
        UsageError: an index outside the site.
    """
    width = subject.width(site)
    for index in indices or ():
        if not 0 <= index < width:
            raise UsageError(f"{UnitId(site, index)} is out of range; {site} has units 0 to {width - 1}")
    return None if indices is None else np.array(indices, np.int64)


def _not_finite(site: SiteId, table: TokenTable, token: int, document_ids: Sequence[str] | None) -> ActivationError:
    document = int(table.flat_documents[token])
    name = repr(document_ids[document]) if document_ids else f"number {document}"
    place = int(table.starts[table.flat_windows[token]] + table.flat_positions[token])
    return ActivationError(
        f"{site}: NaN or infinite activation in document {name} at its token {place}; "
        "try another dtype, such as float32, or leave the document out"
    )
