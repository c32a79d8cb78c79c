"""Layer after layer over a table, the residual spilled to disk in between.

Each layer runs over all batches before the next one starts, so that what passes in one layer can be looked at whole
while no more than that is in memory.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int64
from numpy.typing import NDArray

from assay.core.ids import SiteId
from assay.errors import UsageError
from assay.record.spill import BorderWriter, Bytes, Spill
from assay.record.stream import flat_places, real_rows
from assay.store.lock import locked
from assay.text import TokenTable, batches

if TYPE_CHECKING:
    from torch import Tensor

    from assay.model import Subject

UnitMajor = Float32[NDArray[np.float32], "_ n_tokens"]


class LayerActivations(NamedTuple):
    """What passed in one layer: ``values`` by site, (units, n_tokens) float32, a unit's tokens in the flat order.

    ``seconds_forward``: spent in the model for it.
    """

    layer: int
    values: Mapping[SiteId, UnitMajor]
    seconds_forward: float


class Passed(NamedTuple):
    """One batch gone through some layers, padding left out.

    ``values``: by site a tensor (n, units) on the subject's device, in its dtype or, for heads, float32.
    """

    flat: Int64[NDArray[np.int64], " n"]
    values: dict[SiteId, Any]
    seconds: float


def _quiet(done: int, total: int) -> None:
    """Progress that goes nowhere."""


def walk(
    subject: Subject,
    table: TokenTable,
    kinds: Sequence[str] = ("mlp_act",),
    *,
    scratch: Path,
    first: int = 0,
    last: int | None = None,
    document_ids: Sequence[str] | None = None,
    batch_tokens: int = 1536,
    progress: Callable[[int, int], None] = _quiet,
) -> Iterator[LayerActivations]:
    """Give the activations of layers ``first`` to ``last`` (both included; the subject's last where left out) in turn.

    The values are those of :func:`assay.record.stream`, bit for bit, for the same table and ``batch_tokens``. The
    arrays are used again for the next layer: they hold until it is asked for. ``document_ids`` are the names of the
    documents that ``table.documents`` numbers, for messages; ``progress`` is told the tokens done and in all, each
    token once a layer.

    The residual at a layer's border lies in ``scratch``, in the subject's dtype: two borders at a time. While layer k
    is out, the borders of k and k + 1 are there, so that a walk with ``first=k`` or ``first=k + 1`` and the same
    ``scratch`` goes on from it, also in another process. Where there is none it starts from the beginning. Nothing is
    left after the subject's last layer.

    Raises:
        UnknownName: the subject has no such site.
        UsageError: no such layers, no token, a scratch directory of another pass or in use by another process.
        ActivationError: NaN or infinite activations, with site and document.
        StorageError: the disk is full; the same walk goes on from the last whole border.
    """
    final = subject.n_layers - 1 if last is None else last
    if not 0 <= first <= final < subject.n_layers:
        raise UsageError(f"layers run from 0 to {subject.n_layers - 1}. Got {first} to {final} instead.")
    if not table.n_tokens:
        raise UsageError("there is no token to walk over; give a corpus with text")
    for layer in range(first, final + 1):
        for kind in kinds:
            subject.check_site(SiteId(layer, kind))
    spill = spill_of(subject, table, scratch, batch_tokens)
    with locked(scratch):
        start = max((layer for layer in spill.layers() if layer <= first), default=0)
        spill.drop_outside([start])
        buffers: dict[str, UnitMajor] = {}
        for layer in range(first, final + 1):
            values = {SiteId(layer, kind): _buffer(buffers, subject, SiteId(layer, kind), table) for kind in kinds}
            seconds, done = 0.0, (layer - first) * table.n_tokens
            with border(spill, layer + 1, subject.n_layers) as sink:
                for passed in advance(
                    subject, table, (start, layer + 1), list(values), spill, sink, batch_tokens, document_ids
                ):
                    for site, rows in passed.values.items():
                        _put(values[site], passed.flat, rows)
                    seconds += passed.seconds
                    done += len(passed.flat)
                    progress(done, (final + 1 - first) * table.n_tokens)
                if sink is not None:
                    sink.finish()
            yield LayerActivations(layer, values, seconds)
            start = layer + 1
            spill.drop_outside([start])


def spill_of(subject: Subject, table: TokenTable, directory: Path, batch_tokens: int) -> Spill:
    """Where the residual of this subject on this table is spilled, and what it belongs to."""
    import torch

    identity = {
        "fingerprint": subject.fingerprint,
        "table": table_sha256(table),
        "dtype": str(subject.dtype).removeprefix("torch."),
        "device": subject.device.type,
        "attention": subject.attention,
        "threads": torch.get_num_threads(),
        "batch_tokens": batch_tokens,
    }
    width = subject.d_model * subject.dtype.itemsize
    return Spill(directory, identity, [batch.ids.size * width for batch in batches(table, batch_tokens)])


def table_sha256(table: TokenTable) -> str:
    """Hash of the tokens and of where their windows stand."""
    digest = hashlib.sha256(f"{table.ids.shape}".encode())
    for array in (table.ids, table.lengths, table.documents, table.starts):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def border(spill: Spill, layer: int, n_layers: int, done: int = 0) -> BorderWriter | nullcontext[None]:
    """A writer for the border of a layer, or nothing where there is no such layer to go on with."""
    return spill.write(layer, done) if layer < n_layers else nullcontext()


def advance(
    subject: Subject,
    table: TokenTable,
    layers: tuple[int, int],
    sites: Sequence[SiteId],
    spill: Spill,
    sink: BorderWriter | None,
    batch_tokens: int,
    document_ids: Sequence[str] | None,
    skip: int = 0,
) -> Iterator[Passed]:
    """Take every batch from number ``skip`` on through the layers from ``layers[0]`` up to, without, ``layers[1]``.

    The residual comes from the border of the first layer, or from the embedding below layer 0, and goes to ``sink``.

    Raises:
        ActivationError: NaN or infinite activations at ``sites``.
        StorageError: no room for the residual.
    """
    import torch

    start, stop = layers
    source = spill.read(start, skip) if start else None
    for number, batch in enumerate(batches(table, batch_tokens)):
        if number < skip:
            continue
        flat = flat_places(table, batch)
        ids = torch.as_tensor(batch.ids, device=subject.device)
        mask = torch.as_tensor(batch.mask, device=subject.device)
        given = None if source is None else _residual(next(source), subject, batch.ids.shape)
        begun = time.perf_counter()
        with torch.inference_mode():
            if given is None:
                entry = SiteId(0, "resid_pre")
                given = subject.activations(ids, mask, [entry])[entry]
            with subject.capture(sites) as captured:
                left = subject.advance(start, stop, given, mask)
            if ids.is_cuda:
                torch.cuda.synchronize(ids.device)
        seconds = time.perf_counter() - begun
        rows = {site: real_rows(captured.pop(site), mask, site, table, flat, document_ids) for site in sites}
        values = {site: subject.units.values(site, rows.pop(site)) for site in sites}
        if sink is not None:
            sink.append(_raw(left))
        yield Passed(flat, values, seconds)


def _residual(raw: Bytes, subject: Subject, shape: tuple[int, ...]) -> Tensor:
    import torch

    return torch.from_numpy(raw).view(subject.dtype).view(*shape, subject.d_model).to(subject.device)


def _raw(residual: Tensor) -> Bytes:
    import torch

    return residual.contiguous().cpu().view(torch.uint8).numpy().reshape(-1)


def _buffer(buffers: dict[str, UnitMajor], subject: Subject, site: SiteId, table: TokenTable) -> UnitMajor:
    """The array of a kind of site, made anew only where a layer is of another width."""
    shape = (subject.units.count(site), table.n_tokens)
    if site.kind not in buffers or buffers[site.kind].shape != shape:
        buffers[site.kind] = np.empty(shape, np.float32)
    return buffers[site.kind]


def _put(columns: UnitMajor, flat: NDArray[np.int64], rows: Tensor) -> None:
    """Write (n, width) as columns at ``flat``, run by run of consecutive tokens."""
    import torch

    turned = rows.T.contiguous().cpu()
    target = torch.from_numpy(columns)
    cuts = [0, *(np.flatnonzero(np.diff(flat) != 1) + 1).tolist(), len(flat)]
    for begin, end in pairwise(cuts):
        place = int(flat[begin])
        target[:, place : place + end - begin].copy_(turned[:, begin:end])
