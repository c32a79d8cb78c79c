"""Where the rows of a block stand, in the order in which sketches go through them. Made once a block for all sites."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Int64
from numpy.typing import NDArray
from scipy import sparse

if TYPE_CHECKING:
    from assay.record.sketch import Context

NOTHING = -1
TILE = 64  # units that compiled code goes through at a time
TEAM = 6
_OFTEN = 0.1  # share of the counted tokens at which a predicate of a team holds at least
_LIMIT = 2**31  # document and start go into one number of 64 bits


class Layout(NamedTuple):
    """A block's rows by document and by window.

    ``order``: (n,) the rows, by document and then by place. All else speaks of places in that order. ``counted``:
    (c,) those that count, ascending. ``segments``: (d + 1,) where in ``counted`` each document begins, and the end.
    ``window``: (n,) number of each one's window, from 0. ``grid``: (w, longest) what stands at each position of a
    window, -1 where there is nothing. ``keys``: (w,) what names a window in the whole corpus (:func:`window_keys`).
    """

    order: Int64[NDArray[np.int64], " n"]
    counted: Int64[NDArray[np.int64], " c"]
    segments: Int64[NDArray[np.int64], " d_plus_1"]
    window: Int64[NDArray[np.int64], " n"]
    grid: Int64[NDArray[np.int64], "w longest"]
    keys: Int64[NDArray[np.int64], " w"]


class Postings(NamedTuple):
    """Predicate p holds at the counted ``places[starts[p]:starts[p + 1]]`` of the layout's order.

    The predicates that hold most often are also taken ``TEAM`` at a time, by which of them hold at a place: a number
    whose bit i is that of ``teams[t, i]`` (-1 in a team with fewer). Those of team t where the number is c are
    ``team_places[team_starts[t, c]:team_starts[t, c + 1]]``. So each place is looked at once and not once for each of
    them (the method of the four Russians: Arlazarov, Dinic, Kronrod and Faradzhev, 1970).
    """

    starts: Int64[NDArray[np.int64], " p_plus_1"]
    places: Int64[NDArray[np.int64], " entries"]
    teams: Int64[NDArray[np.int64], "t team"]
    team_starts: Int64[NDArray[np.int64], "t codes"]
    team_places: Int64[NDArray[np.int64], " team_entries"]


def lay_out(context: Context) -> Layout:
    """The layout of a block."""
    order = np.lexsort((context.places, context.documents))
    counted = np.flatnonzero(context.counted[order])
    changes = np.flatnonzero(np.diff(context.documents[order][counted])) + 1
    segments = np.concatenate([[0], changes, [len(counted)]]) if len(counted) else np.zeros(1, np.int64)
    _, where, window = np.unique(context.windows[order], return_index=True, return_inverse=True)
    grid = np.full((len(where), int(context.positions.max(initial=-1)) + 1), NOTHING)
    grid[window, context.positions[order]] = np.arange(len(window))
    first = order[where]
    return Layout(order, counted, segments, window, grid, window_keys(context.documents[first], context.starts[first]))


def window_keys(documents: NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """One number for each window, from its document and the place of its first token there.

    Raises:
        ValueError: a document or a start of 2**31 or more.
    """
    if max(documents.max(initial=0), starts.max(initial=0)) >= _LIMIT:
        raise ValueError("documents and starts of windows must be below 2**31")
    return (documents << 32) | starts


def post(context: Context) -> Postings:
    """Where each predicate of the context holds, counted rows only.

    Raises:
        ValueError: the context has no predicates.
    """
    if context.predicates is None:
        raise ValueError("predicate sums need the context's predicates. Got None instead.")
    by_row: Any = sparse.csr_matrix(context.predicates)
    layout = context.layout
    by_predicate = by_row[layout.order[layout.counted]].tocsc()
    by_predicate.sum_duplicates()
    by_predicate.eliminate_zeros()
    starts = by_predicate.indptr.astype(np.int64)
    counts = np.diff(starts)
    often = np.argsort(-counts, kind="stable")[: int((counts > _OFTEN * len(layout.counted)).sum())]
    teams = np.full(TEAM * -(-len(often) // TEAM), NOTHING)
    teams[: len(often)] = often
    teams = teams.reshape(-1, TEAM)
    places, team_starts = [np.zeros(0, np.int64)], np.zeros((len(teams), 2**TEAM + 1), np.int64)
    for t, team in enumerate(teams):
        codes = np.zeros(len(layout.counted), np.int64)
        for bit, predicate in enumerate(team[team != NOTHING].tolist()):
            codes[by_predicate.indices[starts[predicate] : starts[predicate + 1]]] |= 1 << bit
        places.append(layout.counted[np.argsort(codes, kind="stable")])
        team_starts[t, 1:] = np.cumsum(np.bincount(codes, minlength=2**TEAM))
        team_starts[t] += t * len(codes)
    return Postings(starts, layout.counted[by_predicate.indices], teams, team_starts, np.concatenate(places))
