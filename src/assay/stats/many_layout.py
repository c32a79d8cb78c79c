"""What all statistics of many units at once share: where documents lie, and the resamples' weights."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int, Shaped
from numpy.typing import DTypeLike

from assay.errors import UsageError
from assay.stats.many_kernels import LANES

LINE = 64  # bytes in a line of the cache; vectors that lie across two cost a third of the speed
_COLUMNS = 16  # numbers in it, of the narrowest that are used
_EXACT = 2**24  # whole numbers up to here are exact in float32


class Layout(NamedTuple):
    """The documents of n tokens, and B resamples of them, as the kernels read them.

    Runs are stretches of tokens of one document: ``starts`` (runs + 1,) and ``documents`` (runs,). Tokens need not be
    sorted by document, but it is faster when they lie together. ``weights`` (d', 1 + b) float64 are those of
    :func:`~assay.stats.bootstrap.document_weights`, turned, after a column of ones for the data as they are; padded
    with documents that are never drawn, and with columns of zeros to whole lines of the cache. ``count_weights`` are
    the same in float32 where every weighted count is exact in it. ``tokens`` (1 + b,): how many tokens each column has.
    """

    starts: Int[np.ndarray, " s"]
    documents: Int[np.ndarray, " k"]
    weights: Float[np.ndarray, "d c"]
    count_weights: Float[np.ndarray, "d c"]
    tokens: Float[np.ndarray, " c"]
    n_documents: int


def layout(of_token: Int[np.ndarray, " t"], weights: Float[np.ndarray, "b d"], tokens: int) -> Layout:
    """Prepare the documents of each token and the weights of each resample; no rows of weights, no resamples.

    Raises:
        UsageError: other than ``tokens`` tokens, none, or a document without a weight.
    """
    count = weights.shape[1]
    if of_token.shape != (tokens,):
        raise UsageError(f"every token needs a document; got {of_token.size} for {tokens} tokens")
    if of_token.size == 0 or of_token.min() < 0 or of_token.max() >= count:
        found = f"{of_token.min()} to {of_token.max()}" if of_token.size else "no tokens"
        raise UsageError(f"documents must be numbered 0 to {count - 1}, one a token; got {found}")
    starts = np.flatnonzero(np.diff(of_token, prepend=-1))
    sizes = np.bincount(of_token, minlength=count).astype(np.float64)
    turned = aligned((-(-count // LANES) * LANES, -(-(1 + len(weights)) // _COLUMNS) * _COLUMNS))
    turned[:count, 0], turned[:count, 1 : 1 + len(weights)] = 1.0, weights.T
    drawn = sizes @ turned[:count]
    counts = turned
    if drawn.max() < _EXACT:
        counts = aligned(turned.shape, np.float32)
        counts[:] = turned
    return Layout(
        np.append(starts, of_token.size).astype(np.int64),
        of_token[starts].astype(np.int64),
        turned,
        counts,
        drawn,
        count,
    )


def aligned(shape: tuple[int, int], dtype: DTypeLike = np.float64) -> Float[np.ndarray, "k c"]:
    """Zeros, the first at the start of a line of the cache."""
    size = np.dtype(dtype).itemsize * shape[0] * shape[1]
    room = np.zeros(size + LINE, np.uint8)
    start = -room.ctypes.data % LINE
    made = np.frombuffer(room, dtype, shape[0] * shape[1], start)
    return made.reshape(shape)


def check_rows(
    predicted: Shaped[np.ndarray, "m t"], activations: Shaped[np.ndarray, "u n"], rows: Int[np.ndarray, " r"] | None
) -> Int[np.ndarray, " u"]:
    """For each unit, the row of its prediction: the one of the same number if nothing else is said.

    Raises:
        UsageError: shapes that don't fit, or a row that is not there.
    """
    if predicted.shape[1] != activations.shape[1]:
        raise UsageError(
            f"predictions and activations must have the same tokens; got {predicted.shape} and {activations.shape}"
        )
    if rows is None and len(predicted) != len(activations):
        raise UsageError(f"{len(predicted)} predictions for {len(activations)} units: say in rows which is whose")
    rows = np.arange(len(activations)) if rows is None else rows
    if rows.shape != (len(activations),) or (rows.size and (rows.min() < 0 or rows.max() >= len(predicted))):
        raise UsageError(f"rows must be {len(activations)} numbers from 0 to {len(predicted) - 1}")
    return rows.astype(np.int64)


def rows_together(values: Shaped[np.ndarray, "u n"]) -> Float32[np.ndarray, "u n"]:
    """The same values, each unit's side by side in memory: copied only where they are not.

    Raises:
        UsageError: other numbers than float32, which is what runs store: nothing is rounded here.
    """
    if values.dtype != np.float32:
        raise UsageError(f"predictions and activations of many units must be float32; got {values.dtype}")
    return np.ascontiguousarray(values)


def one_a_unit(name: str, values: Shaped[np.ndarray, ...], units: int) -> Float[np.ndarray, " u"]:
    """A number for each unit, in float64.

    Raises:
        UsageError: another shape.
    """
    if values.shape != (units,):
        raise UsageError(f"{name} must be {units} numbers, one a unit; got shape {values.shape}")
    return values.astype(np.float64)


def check_finite(name: str, finite: Shaped[np.ndarray, " u"]) -> None:
    """Refuse what :func:`~assay.stats.score.score` refuses.

    Raises:
        UsageError: a unit with a value that is NaN or infinite.
    """
    if bad := int((~finite).sum()):
        raise UsageError(f"{name} must be finite; {bad} of {finite.size} units have values that are NaN or infinite")
