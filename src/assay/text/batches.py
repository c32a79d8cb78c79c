"""Windows in batches of similar length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64
from numpy.typing import NDArray

from assay.text.windows import TokenTable


class Batch(NamedTuple):
    """Windows for one forward pass, padded at the right to the longest of them.

    ``rows``: (b,) rows of the table. ``ids``: (b, s), 0 in the padding. ``mask``: (b, s), 1 = real token.
    """

    rows: Int64[NDArray[np.int64], " b"]
    ids: Int64[NDArray[np.int64], "b s"]
    mask: Int64[NDArray[np.int64], "b s"]


def batches(table: TokenTable, size_tokens: int = 1536) -> Iterator[Batch]:
    """Every window once, the longest first, as many to a batch as fit into ``size_tokens`` with their padding.

    Windows of one length keep the table's order. A window longer than ``size_tokens`` is a batch of its own.

    Raises:
        ValueError: ``size_tokens`` is below 1.
    """
    if size_tokens < 1:
        raise ValueError(f"size_tokens must be 1 or more. Got {size_tokens} instead.")
    order = np.argsort(-table.lengths, kind="stable")
    start = 0
    while start < len(order):
        width = int(table.lengths[order[start]])
        rows = order[start : start + max(1, size_tokens // width)]
        ids = table.ids[rows, :width].astype(np.int64)
        mask = (np.arange(width) < table.lengths[rows, None]).astype(np.int64)
        yield Batch(rows, ids * mask, mask)
        start += len(rows)
