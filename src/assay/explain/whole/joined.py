"""The parts of a corpus, and other text, as one table, so that one pass serves them all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from assay.core.jit import spread
from assay.explain.material import Material
from assay.text import TokenTable

Columns = NDArray[np.int64]


@dataclass(frozen=True)
class Joined:
    """Fit, choose and test documents after one another, then those of other text.

    ``fit`` and ``choose`` are the places of the tokens that count, in the flat order of the table, and so is ``other``;
    ``test`` those of all tokens of the test split.
    """

    table: TokenTable
    names: tuple[str, ...]
    fit: Columns
    choose: Columns
    test: Columns
    other: Columns


def join(material: Material) -> Joined:
    """Put the parts of a corpus into one table; documents are numbered on from part to part."""
    other = [material.other] if material.other else []
    parts = (material.fit, material.choose, material.test, *other)
    first = np.cumsum([0, *(len(part.documents) for part in parts)])
    table = TokenTable(
        ids=np.concatenate([part.table.ids for part in parts]),
        lengths=np.concatenate([part.table.lengths for part in parts]),
        documents=np.concatenate([part.table.documents + shift for part, shift in zip(parts, first, strict=False)]),
        starts=np.concatenate([part.table.starts for part in parts]),
    )
    tokens = np.cumsum([0, *(part.table.n_tokens for part in parts)])
    return Joined(
        table=table,
        names=tuple(document.id for part in parts for document in part.documents),
        fit=np.flatnonzero(material.fit.scored) + tokens[0],
        choose=np.flatnonzero(material.choose.scored) + tokens[1],
        test=np.arange(tokens[2], tokens[3]),
        other=np.concatenate([np.empty(0, np.int64), *(np.flatnonzero(part.scored) + tokens[3] for part in other)]),
    )


def taken(values: Float32[np.ndarray, "u n"], columns: Columns) -> NDArray[np.float32]:
    """(u, columns) those of a unit-major array, in all threads."""
    out = np.empty((len(values), len(columns)), np.float32)

    def take(first: int, last: int) -> None:
        np.take(values[first:last], columns, axis=1, out=out[first:last], mode="clip")

    spread(take, len(values))
    return out
