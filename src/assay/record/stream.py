"""A subject run over a table of windows: one forward pass a batch, whatever is wanted from it."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64
from numpy.typing import NDArray

from assay.core.ids import SiteId, UnitId
from assay.errors import ActivationError
from assay.record.sketch import Activations, Halves
from assay.text import Batch, TokenTable, batches

if TYPE_CHECKING:
    from torch import Tensor


@runtime_checkable
class UnitReader(Protocol):
    """What a pass needs of :class:`assay.model.units.Units`."""

    def count(self, site: SiteId, /) -> int: ...

    def check(self, unit: UnitId, /) -> None: ...

    def values(self, site: SiteId, tensor: Tensor, indices: Sequence[int | str] | None = None, /) -> Tensor: ...


@runtime_checkable
class Recordable(Protocol):
    """What a pass needs of a Subject."""

    @property
    def device(self) -> Any: ...

    @property
    def special_ids(self) -> Collection[int]: ...

    @property
    def units(self) -> UnitReader: ...

    def activations(self, ids: Tensor, mask: Tensor, sites: Sequence[SiteId], /) -> Mapping[SiteId, Tensor]: ...


class Block(NamedTuple):
    """One batch's activations, padding left out.

    ``flat``: (n,) where each token stands in the flat order of the table. ``activations``: by site, (n, units)
    float32, or the bits of bf16 where they were asked for. ``seconds``: spent in the forward pass.
    """

    batch: Batch
    flat: Int64[NDArray[np.int64], " n"]
    activations: dict[SiteId, Any]
    seconds: float


def stream(
    subject: Recordable,
    table: TokenTable,
    sites: Sequence[SiteId],
    *,
    columns: Mapping[SiteId, Sequence[int | str]] | None = None,
    batch_tokens: int = 1536,
    document_ids: Sequence[str] | None = None,
    halves: bool = False,
) -> Iterator[Block]:
    """Run the subject over a table, one forward pass a batch, and give the values of the units of ``sites``.

    ``columns`` names, by site, the units that are wanted; all that have a number where it is left out.
    ``document_ids`` are the names of the documents that ``table.documents`` numbers, for messages. With ``halves``
    bf16 comes as its bits, which sketches take as they are.

    Raises:
        UnknownName: the subject has no such site.
        UsageError: there is no such unit.
        ActivationError: NaN or infinite activations, with site and document.
    """
    import torch

    chosen = {site: (columns or {}).get(site) for site in sites}
    for site, wanted in chosen.items():
        check_indices(subject, site, wanted)
        if wanted is not None and list(wanted) == list(range(subject.units.count(site))):
            chosen[site] = None  # all of them, in order: nothing to pick out
    for batch in batches(table, batch_tokens):
        flat = flat_places(table, batch)
        ids = torch.as_tensor(batch.ids, device=subject.device)
        mask = torch.as_tensor(batch.mask, device=subject.device)
        start = time.perf_counter()
        with torch.inference_mode():
            captured = dict(subject.activations(ids, mask, list(chosen)))
            if ids.is_cuda:
                torch.cuda.synchronize(ids.device)
        seconds = time.perf_counter() - start
        activations: dict[SiteId, Any] = {}
        for site, wanted in chosen.items():
            values = real_rows(captured.pop(site), mask, site, table, flat, document_ids)
            kept = subject.units.values(site, values, wanted)
            activations[site] = for_sketches(kept) if halves else kept.float().cpu().numpy()
        yield Block(batch, flat, activations, seconds)


def real_rows(
    captured: Tensor,
    mask: Tensor,
    site: SiteId,
    table: TokenTable,
    flat: NDArray[np.int64],
    document_ids: Sequence[str] | None,
) -> Tensor:
    """(n, width) what passed at the real tokens of a batch, of which (batch, seq, width) was ``captured``.

    Raises:
        ActivationError: NaN or infinite activations, with site and document.
    """
    import torch

    values = captured.flatten(0, 1) if bool(mask.all()) else captured[mask == 1]
    # NaN and infinity survive a sum, so the rows are looked at only where that is not finite; fp16 would overflow
    wide = torch.float32 if values.dtype == torch.float16 else None
    if not bool(torch.isfinite(values.sum(dtype=wide))):
        broken = torch.isfinite(values).all(1).logical_not().nonzero()
        if len(broken):
            raise _not_finite(site, table, int(flat[int(broken[0, 0])]), document_ids)
    return values


def for_sketches(values: Tensor) -> Activations | Halves:
    """(n, width) as float32, or the bits of bf16, which say the same."""
    import torch

    if values.dtype == torch.bfloat16:
        return values.contiguous().cpu().view(torch.uint16).numpy()
    return values.float().cpu().numpy()


def flat_places(table: TokenTable, batch: Batch) -> Int64[NDArray[np.int64], " n"]:
    """(n,) where each real token of a batch stands in the flat order of the table."""
    width: int = batch.ids.shape[1]
    places = np.add.outer(table.offsets[batch.rows], np.arange(width))
    return places[batch.mask == 1]


def check_indices(subject: Recordable, site: SiteId, indices: Sequence[int | str] | None) -> None:
    """Check that the subject has the site, and these units there.

    Raises:
        UnknownName: the subject has no such site.
        UsageError: there is no such unit.
    """
    subject.units.count(site)
    for index in indices or ():
        subject.units.check(UnitId(site, index))


def _not_finite(site: SiteId, table: TokenTable, token: int, document_ids: Sequence[str] | None) -> ActivationError:
    document = int(table.flat_documents[token])
    name = repr(document_ids[document]) if document_ids else f"number {document}"
    place = int(table.starts[table.flat_windows[token]] + table.flat_positions[token])
    return ActivationError(
        f"{site}: NaN or infinite activation in document {name} at its token {place}; "
        "try another dtype, such as float32, or leave the document out"
    )
