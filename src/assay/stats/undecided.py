"""Reasons why the data can't carry a verdict, whatever the claim says. They look at the activation only."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from assay.stats.concentration import documents_with_half_the_variance

MIN_DOCUMENTS = 20
CONCENTRATED = 10
MIN_FIRINGS = 20
MIN_FIRING_DOCUMENTS = 10


def too_few_documents(count: int, what: str = "documents") -> tuple[str, ...]:
    """A reason when there are fewer documents, or whatever is drawn again, than an interval needs (20)."""
    return (f"{count} {what}; {MIN_DOCUMENTS} are needed",) if count < MIN_DOCUMENTS else ()


def reasons_undecided(
    activations: Float[np.ndarray, " n"], index: Int[np.ndarray, " n"], count: int, fire_above: float
) -> tuple[str, ...]:
    """Everything that keeps these activations from carrying a verdict; empty when nothing does.

    A constant activation, fewer than 20 documents, ten or fewer documents with half the variance, fewer than 20
    tokens above ``fire_above`` or fewer than 10 documents with one.
    """
    if np.ptp(activations) == 0:
        return reasons_from_counts(True, count, 0, 0, 0)
    half = documents_with_half_the_variance(activations, index, count)
    fires = activations > fire_above
    return reasons_from_counts(False, count, half, int(fires.sum()), int(np.unique(index[fires]).size))


def reasons_from_counts(constant: bool, documents: int, half: int, firings: int, where: int) -> tuple[str, ...]:
    """The reasons of :func:`reasons_undecided`, where what they look at has been counted.

    ``half`` of the ``documents`` hold half the variance; there are ``firings`` in ``where`` of them.
    """
    if constant:
        return ("the activation is constant",)
    reasons = list(too_few_documents(documents))
    if half <= CONCENTRATED:
        reasons.append(f"{half} of {documents} documents hold half the variance; more than {CONCENTRATED} must")
    if firings < MIN_FIRINGS or where < MIN_FIRING_DOCUMENTS:
        needed = f"{MIN_FIRINGS} in {MIN_FIRING_DOCUMENTS} are needed"
        reasons.append(f"too few firings: {firings} in {where} documents; {needed}")
    return tuple(reasons)
