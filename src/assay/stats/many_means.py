"""Mean activations and predictions of many units at each token. Importing this module imports numba."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int, Integer

from assay.core.jit import spread
from assay.errors import UsageError
from assay.stats.context import PSEUDO_COUNT
from assay.stats.many_activation_kernels import mean_by_token
from assay.stats.many_layout import rows_together


class Kept(NamedTuple):
    """The token ids whose means are wanted, of n tokens.

    ``columns`` (n,): the place of each token's id among those that are kept, the last of all for others. ``counts``
    (k + 1,): how often each occurs.
    """

    columns: Int[np.ndarray, " n"]
    counts: Float[np.ndarray, " k"]


def kept_tokens(ids: Integer[np.ndarray, " n"], kept: Integer[np.ndarray, " k"]) -> Kept:
    """Number the tokens by their places in ``kept``: (k,) ids in ascending order.

    Raises:
        UsageError: no tokens, or ids that are not in ascending order.
    """
    if ids.size == 0:
        raise UsageError("token means need at least one token; got no ids")
    if kept.size and np.any(np.diff(kept) <= 0):
        raise UsageError("the token ids to keep must be in ascending order, each once")
    place = np.searchsorted(kept, ids)
    inside = place < kept.size
    inside[inside] = kept[place[inside]] == ids[inside]
    columns = np.where(inside, place, kept.size).astype(np.int64)
    return Kept(columns, np.bincount(columns, minlength=kept.size + 1).astype(np.float64))


def many_token_means(
    values: Float32[np.ndarray, "u n"], at: Kept, pseudo_count: float = PSEUDO_COUNT, *, threads: int | None = None
) -> Float[np.ndarray, "u k"]:
    """:func:`~assay.stats.context.token_means` of each unit, at the token ids that are asked for.

    Args:
        values: (u, n) on the fit split.
        at: which tokens they are, and which ids are wanted: those of the test split.
        pseudo_count: 4 for activations, 0 for predictions.
        threads: as many as the machine has if None.

    Raises:
        UsageError: another number of values than of tokens.
    """
    if at.columns.size != values.shape[1]:
        raise UsageError(f"every value needs a token; got {values.shape} values and {at.columns.size} tokens")
    means, values = np.empty((len(values), at.counts.size - 1)), rows_together(values)
    spread(
        lambda first, last: mean_by_token(values, at.columns, at.counts, pseudo_count, first, last, means),
        len(values),
        threads,
    )
    return means
