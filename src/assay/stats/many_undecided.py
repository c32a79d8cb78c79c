"""What keeps the activations of many units from carrying a verdict. Importing this module imports numba."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from assay.core.jit import spread
from assay.stats.many_activation_kernels import look_at_activations
from assay.stats.many_layout import check_finite, layout, one_a_unit, rows_together
from assay.stats.undecided import reasons_from_counts


class Grounds(NamedTuple):
    """What :func:`~assay.stats.undecided.reasons_undecided` looks at, of each of u units.

    ``half``: documents that hold half the variance; ``firings`` in ``firing_documents`` of all ``documents``.
    """

    constant: Bool[np.ndarray, " u"]
    half: Int[np.ndarray, " u"]
    firings: Int[np.ndarray, " u"]
    firing_documents: Int[np.ndarray, " u"]
    documents: int

    def reasons(self, unit: int) -> tuple[str, ...]:
        """Everything that keeps this unit's activations from carrying a verdict; empty when nothing does."""
        return reasons_from_counts(
            bool(self.constant[unit]),
            self.documents,
            int(self.half[unit]),
            int(self.firings[unit]),
            int(self.firing_documents[unit]),
        )


def many_grounds(
    activations: Float32[np.ndarray, "u n"],
    of_token: Int[np.ndarray, " n"],
    n_documents: int,
    fire_above: Float[np.ndarray, " u"],
    *,
    threads: int | None = None,
) -> Grounds:
    """Look at the activations of many units; claims don't come into it.

    Raises:
        UsageError: documents numbered wrongly, activations that are NaN or infinite.
    """
    units = len(activations)
    activations = rows_together(activations)
    where = layout(of_token, np.empty((0, n_documents)), activations.shape[1])
    levels = one_a_unit("fire_above", fire_above, units)
    constant, finite = np.empty(units, bool), np.empty(units, bool)
    held, firings = np.empty((units, n_documents)), np.empty((units, n_documents), np.int64)

    def look(first: int, last: int) -> None:
        look_at_activations(
            activations, levels, where.starts, where.documents, first, last, constant, finite, held, firings
        )

    spread(look, units, threads)
    check_finite("activations", finite)
    held.sort(axis=1)
    held = held[:, ::-1]
    half = (held.cumsum(axis=1) < held.sum(axis=1, keepdims=True) / 2).sum(axis=1) + 1
    return Grounds(constant, np.where(constant, 0, half), firings.sum(axis=1), (firings > 0).sum(axis=1), n_documents)
