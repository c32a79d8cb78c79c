"""Compiled walks over a block of activations. Importing this imports numba, so import it late.

A block is (tokens, units) of unsigned integers: the bits of float32, or the upper halves of them, which is bfloat16.
They are copied a few tiles of ``TILE`` units at a time, so that all that is done with a tile finds it in the
processor's cache. A unit's numbers are added in an order that the rows alone decide, never the tiles or the threads:
the bits of the result depend on the block only. No fast-math.

``values`` are (tokens, TILE), in the order of the block's :class:`assay.record.layout.Layout`; ``places`` are rows of
them. ``low`` is the first unit of a tile, ``wide`` how many it has.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from assay.core.jit import jit
from assay.record.kernels_sums import TILE, extent, firing, moments, predicates
from assay.record.tails import DOCUMENT, PEAK, POSITION, SLOT, START

STRIP = 4  # tiles copied at a time: longer stretches of memory read faster


@jit(inner=True)
def _gather(block: Any, shift: Any, order: Any, low: int, high: int, bits: Any) -> None:
    """The units from ``low`` to ``high`` into ``bits`` (STRIP, tokens, TILE); the last tile is filled up with zeros."""
    for i in range(len(order)):
        row = order[i]
        for start in range(low, high, TILE):
            tile = (start - low) // TILE
            if high - start >= TILE:
                for j in range(TILE):
                    bits[tile, i, j] = np.uint32(block[row, start + j]) << shift
            else:
                for j in range(high - start):
                    bits[tile, i, j] = np.uint32(block[row, start + j]) << shift
                for j in range(high - start, TILE):
                    bits[tile, i, j] = 0


@jit(inner=True)
def _comes_first(sign: Any, peak: Any, document: int, other_peak: Any, other: int) -> bool:
    """Whether a document ranks above another one, or above a free slot."""
    return other < 0 or sign * other_peak < sign * peak or (other_peak == peak and document < other)


@jit(inner=True)
def _rank(ranks: Any, peaks: Any, sign: Any, peak: Any, document: int, start: int, position: int) -> int:
    """Put a document's peak among a unit's ranks (5, k); gives the slot for its activations, or -1 if it is too low.

    ``peaks`` are the ranks as float32.
    """
    k = ranks.shape[1]
    at = k - 1
    held = False
    for r in range(k):
        if ranks[DOCUMENT, r] == document:
            at, held = r, True
    if held:
        place = ranks[START, at] + ranks[POSITION, at]
        earlier = peaks[PEAK, at] == peak and start + position < place
        if not (earlier or sign * peaks[PEAK, at] < sign * peak):
            return -1
    elif not _comes_first(sign, peak, document, peaks[PEAK, at], ranks[DOCUMENT, at]):
        return -1
    slot = ranks[SLOT, at]
    while at > 0 and _comes_first(sign, peak, document, peaks[PEAK, at - 1], ranks[DOCUMENT, at - 1]):
        for row in range(5):
            ranks[row, at] = ranks[row, at - 1]
        at -= 1
    peaks[PEAK, at], ranks[SLOT, at] = peak, slot
    ranks[DOCUMENT, at], ranks[START, at], ranks[POSITION, at] = document, start, position
    return slot


@jit(inner=True)
def _offer(
    values: Any, places: Any, where: Any, grid: Any, column: int, sign: Any, peak: Any, ranks: Any, activations: Any
) -> int:
    """Offer a document, at ``places`` of which ``values`` peak; gives its window, or -1 if the unit has better ones.

    ``ranks`` (5, k) and ``activations`` (k, length) are the unit's.
    """
    at = 0
    while values[places[at], column] != peak:
        at += 1
    i = places[at]
    document, start, position, window = where[i]
    slot = _rank(ranks, ranks.view(np.float32), sign, values[i, column], document, start, position)
    if slot < 0:
        return -1
    activations[slot] = 0
    for position in range(grid.shape[1]):
        i = grid[window, position]
        if i >= 0:
            activations[slot, position] = values[i, column]
    return window


@jit(inner=True)
def _extremes(values: Any, layout: Any) -> tuple[Any, Any]:
    """(documents, TILE) lowest and highest activation of each document."""
    documents = len(layout.segments) - 1
    least, most = np.zeros((documents, TILE), np.float32), np.zeros((documents, TILE), np.float32)
    for d in range(documents):
        least[d], most[d] = extent(values, layout.counted[layout.segments[d] : layout.segments[d + 1]])
    return least, most


@jit(inner=True)
def _exemplars(values: Any, rows: Any, low: int, wide: int, sign: Any, extremes: Any, slots: Any, entered: Any) -> None:
    """Offer every document that may be among the best of a unit; unit by unit, so that its ranks stay at hand.

    ``entered`` marks the windows that were taken.
    """
    counted, segments, grid, where = rows.layout.counted, rows.layout.segments, rows.layout.grid, rows.where
    peaks, last = slots.ranks.view(np.float32), slots.ranks.shape[2] - 1
    for j in range(wide):
        unit = low + j
        for d in range(len(extremes)):
            if sign * extremes[d, j] >= sign * peaks[unit, PEAK, last]:
                places, ranks = counted[segments[d] : segments[d + 1]], slots.ranks[unit]
                window = _offer(values, places, where, grid, j, sign, extremes[d, j], ranks, slots.activations[unit])
                if window >= 0:
                    entered[window] = True


@jit()
def sweep(block: Any, shift: Any, rows: Any, low: int, high: int, sinks: Any, bits: Any) -> None:
    """Feed every sketch with the units from ``low`` to ``high``; ``rows`` and ``sinks`` are those of ``fused``.

    ``bits``: (STRIP, tokens, TILE) to work in.
    """
    layout = rows.layout
    for strip in range(low, high, STRIP * TILE):
        end = min(strip + STRIP * TILE, high)
        _gather(block, shift, layout.order, strip, end, bits)
        for start in range(strip, end, TILE):
            wide = min(TILE, high - start)
            values = bits[(start - strip) // TILE].view(np.float32)
            moments(values, layout.counted, start, wide, sinks.moments)
            moments(values, rows.first, start, wide, sinks.first)
            moments(values, rows.special, start, wide, sinks.special)
            firing(values, layout.counted, start, wide, sinks.thresholds, sinks.fired)
            least, most = _extremes(values, layout)
            _exemplars(values, rows, start, wide, np.float32(1), most, sinks.top, sinks.entered)
            _exemplars(values, rows, start, wide, np.float32(-1), least, sinks.bottom, sinks.entered)
            predicates(values, start // TILE, rows.postings, sinks.sums)
