"""Compiled sums over a tile of activations: moments, firing, and what holds where. Part of :mod:`assay.record.kernels`.

``values`` are (tokens, TILE) float32, ``places`` rows of them; ``low`` is the first unit of the tile, ``wide`` how many
it has.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from assay.core.jit import jit
from assay.record.layout import TILE

PIECE = 128  # tokens added up in float32 before they join a sum in float64


@jit(inner=True)
def _mean(values: Any, places: Any) -> Any:
    """(TILE,) means. Four rows are added up before they join the sum, so that it is gone through less often."""
    n = len(places)
    whole = n - n % 4
    mean = np.zeros(TILE)
    for at in range(0, whole, 4):
        i, k, m, p = places[at], places[at + 1], places[at + 2], places[at + 3]
        for j in range(TILE):
            a, b = np.float64(values[i, j]), np.float64(values[k, j])
            c, d = np.float64(values[m, j]), np.float64(values[p, j])
            mean[j] += (a + b) + (c + d)
    for at in range(whole, n):
        i = places[at]
        for j in range(TILE):
            mean[j] += values[i, j]
    return mean / n


@jit(inner=True)
def _powers(values: Any, places: Any, mean: Any) -> tuple[Any, Any, Any]:
    """(TILE,) sums of the second, third and fourth power of the deviation from ``mean``."""
    n = len(places)
    whole = n - n % 4
    m2, m3, m4 = np.zeros(TILE), np.zeros(TILE), np.zeros(TILE)
    for at in range(0, whole, 4):
        i, k, m, p = places[at], places[at + 1], places[at + 2], places[at + 3]
        for j in range(TILE):
            a, b = values[i, j] - mean[j], values[k, j] - mean[j]
            c, d = values[m, j] - mean[j], values[p, j] - mean[j]
            aa, bb, cc, dd = a * a, b * b, c * c, d * d
            m2[j] += (aa + bb) + (cc + dd)
            m3[j] += (aa * a + bb * b) + (cc * c + dd * d)
            m4[j] += (aa * aa + bb * bb) + (cc * cc + dd * dd)
    for at in range(whole, n):
        i = places[at]
        for j in range(TILE):
            a = values[i, j] - mean[j]
            aa = a * a
            m2[j] += aa
            m3[j] += aa * a
            m4[j] += aa * aa
    return m2, m3, m4


@jit(inner=True)
def extent(values: Any, places: Any) -> tuple[Any, Any]:
    """(TILE,) lowest and highest at ``places``, at least one."""
    least, most = values[places[0]].copy(), values[places[0]].copy()
    for at in range(1, len(places)):
        i = places[at]
        for j in range(TILE):
            x = values[i, j]
            least[j] = x if x < least[j] else least[j]
            most[j] = x if x > most[j] else most[j]
    return least, most


@jit(inner=True)
def moments(values: Any, places: Any, low: int, wide: int, out: Any) -> None:
    """Mean, sums of powers of the deviation, and range of each unit into ``out`` (6, units)."""
    if not len(places):
        return
    mean = _mean(values, places)
    m2, m3, m4 = _powers(values, places, mean)
    least, most = extent(values, places)
    for j in range(wide):
        unit = low + j
        out[0, unit], out[1, unit], out[2, unit], out[3, unit] = mean[j], m2[j], m3[j], m4[j]
        out[4, unit], out[5, unit] = least[j], most[j]


@jit(inner=True)
def firing(values: Any, places: Any, low: int, wide: int, thresholds: Any, fired: Any) -> None:
    """Add the number of tokens above each unit's threshold to ``fired``."""
    level, above = np.zeros(TILE, np.float32), np.zeros(TILE, np.int32)
    level[:wide] = thresholds[low : low + wide]
    for i in places:
        for j in range(TILE):
            above[j] += np.int32(values[i, j] > level[j])
    for j in range(wide):
        fired[low + j] += above[j]


@jit(inner=True)
def _piece(values: Any, places: Any, total: Any) -> None:
    """Sums of the activations, in float32, into ``total`` (TILE,)."""
    n = len(places)
    whole = n - n % 8
    total[:] = 0
    for at in range(0, whole, 8):
        i, k, m, p = places[at], places[at + 1], places[at + 2], places[at + 3]
        q, r, s, t = places[at + 4], places[at + 5], places[at + 6], places[at + 7]
        for j in range(TILE):
            a, b, c, d = values[i, j], values[k, j], values[m, j], values[p, j]
            e, f, g, h = values[q, j], values[r, j], values[s, j], values[t, j]
            total[j] += ((a + b) + (c + d)) + ((e + f) + (g + h))
    for at in range(whole, n):
        i = places[at]
        for j in range(TILE):
            total[j] += values[i, j]


@jit(inner=True)
def _total(values: Any, places: Any, piece: Any, total: Any) -> None:
    """Sums of the activations into ``total``, (TILE,) float64."""
    total[:] = 0
    for start in range(0, len(places), PIECE):
        _piece(values, places[start : min(start + PIECE, len(places))], piece)
        for j in range(TILE):
            total[j] += piece[j]


@jit(inner=True)
def _teams(values: Any, tile: int, postings: Any, sums: Any) -> None:
    """Add activations to the sums of the predicates that are in a team."""
    piece, total = np.zeros(TILE, np.float32), np.zeros(TILE)
    members = postings.teams.shape[1]
    for t in range(len(postings.teams)):
        totals = np.zeros((members, TILE))
        for code in range(1, 1 << members):
            begin, end = postings.team_starts[t, code], postings.team_starts[t, code + 1]
            if begin == end:
                continue
            _total(values, postings.team_places[begin:end], piece, total)
            for bit in range(members):
                if code >> bit & 1:
                    for j in range(TILE):
                        totals[bit, j] += total[j]
        for bit in range(members):
            p = postings.teams[t, bit]
            if p >= 0:
                for j in range(TILE):
                    sums[tile, p, j] += totals[bit, j]


@jit(inner=True)
def predicates(values: Any, tile: int, postings: Any, sums: Any) -> None:
    """Add activations to the sums of every predicate that holds somewhere, (tiles, predicates, TILE)."""
    _teams(values, tile, postings, sums)
    in_team = np.zeros(len(postings.starts), np.bool_)
    for t in range(len(postings.teams)):
        for p in postings.teams[t]:
            if p >= 0:
                in_team[p] = True
    piece, total = np.zeros(TILE, np.float32), np.zeros(TILE)
    for p in range(len(postings.starts) - 1):
        begin, end = postings.starts[p], postings.starts[p + 1]
        if begin == end or in_team[p]:
            continue
        if end - begin <= PIECE:
            _piece(values, postings.places[begin:end], piece)
            for j in range(TILE):
                sums[tile, p, j] += piece[j]
        else:
            _total(values, postings.places[begin:end], piece, total)
            for j in range(TILE):
                sums[tile, p, j] += total[j]
