"""One pass of compiled code over a block that feeds the sketches of a site.

Equal to the sketches' own ``update``: exactly in counts, firing, ranges and exemplars, within rounding in sums.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int64
from numpy.typing import NDArray

from assay.core.jit import kernel_threads
from assay.record.layout import TEAM, TILE, Layout, Postings
from assay.record.sketch import Activations, Context, Halves, check_alike
from assay.record.tails import Slots

if TYPE_CHECKING:
    from assay.record.recording import SiteSketches

_LINE = 64  # bytes
_HUGE = 2**22  # bytes from which on numpy asks for large pages
_ROOMS: deque[NDArray[np.uint8]] = deque()
_NO_POSTINGS = Postings(
    starts=np.zeros(1, np.int64),
    places=np.zeros(0, np.int64),
    teams=np.zeros((0, TEAM), np.int64),
    team_starts=np.zeros((0, 2**TEAM + 1), np.int64),
    team_places=np.zeros(0, np.int64),
)


class Rows(NamedTuple):
    """What the kernels are told about the rows of a block.

    ``first``, ``special``: places in the layout's order. ``where``: (n, 4) document, start, position and window of
    each place.
    """

    layout: Layout
    first: Int64[NDArray[np.int64], " f"]
    special: Int64[NDArray[np.int64], " s"]
    postings: Postings
    where: Int64[NDArray[np.int64], "n 4"]


class Sinks(NamedTuple):
    """What the kernels write to: the block's own moments, (6, u) for each set of rows, and the sketches' arrays."""

    moments: Float64[NDArray[np.float64], "6 u"]
    first: Float64[NDArray[np.float64], "6 u"]
    special: Float64[NDArray[np.float64], "6 u"]
    thresholds: Float32[NDArray[np.float32], " u"]
    fired: Int64[NDArray[np.int64], " u"]
    top: Slots
    bottom: Slots
    entered: Bool[NDArray[np.bool_], " w"]
    sums: Float[NDArray[Any], "t p {TILE}"]


def take_in(
    sketches: SiteSketches,
    activations: Activations | Halves,
    context: Context,
    first: Bool[NDArray[np.bool_], " n"],
    special: Bool[NDArray[np.bool_], " n"],
    threads: int | None = None,
) -> None:
    """What :meth:`SiteSketches.update` does, but for the row sample. The bits don't depend on ``threads``.

    Raises:
        ImportError: there is no numba.
        ValueError: a block of another shape, a window longer than the exemplars', or no predicates for their sums.
    """
    from assay.record import kernels

    block, shift = _bits(activations)
    check_alike("tokens and units", (len(context.ids), len(sketches.units)), block.shape)
    rows, sinks = _rows(sketches, context, first, special), _sinks(sketches, context)
    room = (kernels.STRIP, len(context.ids), TILE)

    def sweep(low: int, high: int) -> None:
        with _room(room) as bits:
            kernels.sweep(block, shift, rows, low, high, sinks, bits)

    _share_out(sweep, block.shape[1], TILE, threads)
    count = len(rows.layout.counted)
    sketches.moments.absorb(count, sinks.moments)
    sketches.first.absorb(len(rows.first), sinks.first)
    sketches.special.absorb(len(rows.special), sinks.special)
    sketches.firing.count += count
    sketches.firing.fired = sinks.fired
    sketches.exemplars.remember(context, sinks.entered)
    if sketches.predicates is not None:
        sketches.predicates.counts = sketches.predicates.counts + np.diff(rows.postings.starts)


def _bits(activations: Activations | Halves) -> tuple[NDArray[Any], np.uint32]:
    """The block as unsigned integers, and by how much they are to be shifted to be the bits of float32."""
    if activations.dtype == np.uint16:
        return _plain(activations, np.uint16), np.uint32(16)
    return _plain(activations, np.float32).view(np.uint32), np.uint32(0)


def _rows(sketches: SiteSketches, context: Context, first: NDArray[np.bool_], special: NDArray[np.bool_]) -> Rows:
    layout = context.layout
    if layout.grid.shape[1] > sketches.exemplars.length:
        raise ValueError(f"windows must have at most {sketches.exemplars.length} tokens. Got {layout.grid.shape[1]}.")
    postings = _NO_POSTINGS
    if sketches.predicates is not None:
        postings = context.postings
        check_alike("predicates", len(sketches.predicates.counts), len(postings.starts) - 1)
    apart = (np.flatnonzero(chosen[layout.order]) for chosen in (first, special))
    columns = [values[layout.order] for values in (context.documents, context.starts, context.positions)]
    return Rows._make([layout, *apart, postings, np.stack([*columns, layout.window], axis=1)])


def _sinks(sketches: SiteSketches, context: Context) -> Sinks:
    units = len(sketches.units)
    sums = np.zeros((0, 0, TILE), np.float32)
    if sketches.predicates is not None:
        sums = sketches.predicates.tiles
    moments = np.zeros((3, 6, units))
    return Sinks(
        moments=moments[0],
        first=moments[1],
        special=moments[2],
        thresholds=_plain(sketches.firing.thresholds, np.float32),
        fired=sketches.firing.fired.copy(),
        top=sketches.exemplars.slots["top"],
        bottom=sketches.exemplars.slots["bottom"],
        entered=np.zeros(len(context.layout.grid), np.bool_),
        sums=sums,
    )


def _plain(values: NDArray[Any], dtype: type) -> NDArray[Any]:
    """As the kernels were compiled for: contiguous, aligned and writable. Copied only where it is not."""
    return np.require(values, dtype, ["C", "A", "W"])


@contextmanager
def _room(shape: tuple[int, ...]) -> Iterator[NDArray[np.uint32]]:
    """Room for a thread to work in, whatever stands there; its memory is kept for the next one.

    It begins at a line of the processor's cache: off it, each load of 64 bytes would touch two.
    """
    size = 4 * int(np.prod(shape))
    try:
        memory = _ROOMS.pop()
    except IndexError:
        memory = np.empty(0, np.uint8)
    if memory.size < size + _LINE:
        memory = np.empty(max(size + _LINE, _HUGE), np.uint8)
    start = -memory.ctypes.data % _LINE
    yield memory[start : start + size].view(np.uint32).reshape(shape)
    _ROOMS.append(memory)


def _share_out(work: Callable[[int, int], None], units: int, tile: int, threads: int | None) -> None:
    """Run ``work`` on ranges of units, whole tiles each, in threads of their own."""
    tiles = -(-units // tile)
    parts = max(min(threads or kernel_threads(), tiles), 1)
    cuts = [min(tile * (tiles * part // parts), units) for part in range(parts + 1)]
    ranges = list(pairwise(cuts))
    if parts == 1:
        work(*ranges[0])
        return
    with ThreadPoolExecutor(parts - 1) as pool:
        others = [pool.submit(work, *given) for given in ranges[1:]]
        work(*ranges[0])
        for other in others:
            other.result()
