"""Which units are listed, and what is said of each: chosen on the fit split, reported from the choose split.

An effect is the root mean square of the change of the watched unit over the tokens that count, in standard deviations
of that unit. ``signed`` is the slope of that change on the ablated unit's deviation, in standard deviations of both:
by how much one rises when the other does; its size is at most the effect, about, and equal to it where the relation is
linear and at the same token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from assay.core.ids import SiteId, UnitId
from assay.explain.related.ablation import Change
from assay.explain.related.weights import Weights
from assay.stats import Interval, document_weights, interval
from assay.stats.undecided import CONCENTRATED, too_few_documents

REPLICATES = 1000


def effects(
    changes: Mapping[SiteId, Change], tokens: int, sds: Mapping[SiteId, NDArray[np.float64]]
) -> dict[SiteId, NDArray[np.float64]]:
    """By site, (units,) the effect on each; ``sds`` are those of the watched units, broadcast; 0 where one is 0."""
    return {site: in_sds(np.sqrt(change.square.sum(0) / tokens), sds[site]) for site, change in changes.items()}


def in_sds(values: NDArray[np.float64], sds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values over standard deviations; 0 for what never varies."""
    return np.divide(values, sds, out=np.zeros(np.broadcast_shapes(values.shape, sds.shape)), where=sds > 0)


def choose(weights: Weights | None, found: Mapping[SiteId, NDArray[np.float64]], k: int) -> dict[UnitId, list[str]]:
    """Up to ``k`` units of each kind, with the reasons why each is listed, in the order of their effects.

    "weight+" and "weight-": the strongest by weights among those with a positive and a negative net; "effect": the
    neurons with the greatest effect; "head": the heads with the greatest effect.
    """
    lists: dict[str, list[UnitId]] = {}
    if weights is not None:
        for name, sign in (("weight+", 1), ("weight-", -1)):
            signed = {at: np.where(sign * site.net > 0, site.strength, 0) for at, site in weights.sites.items()}
            lists[name] = best(signed, k)
    for name, kind in (("effect", "mlp_act"), ("head", "head")):
        lists[name] = best({site: values for site, values in found.items() if site.kind == kind}, k)
    reasons: dict[UnitId, list[str]] = {}
    for name, units in lists.items():
        for unit in units:
            reasons.setdefault(unit, []).append(name)
    return dict(sorted(reasons.items(), key=lambda item: -found[item[0].site][item[0].number]))


def best(values: Mapping[SiteId, NDArray[Any]], k: int) -> list[UnitId]:
    """The ``k`` units with the greatest values, those of 0 left out."""
    if not values:
        return []
    sites = list(values)
    sizes = np.cumsum([0, *(len(values[site]) for site in sites)])
    flat = np.concatenate([values[site] for site in sites])
    chosen = [i for i in np.argsort(-flat, kind="stable")[:k] if flat[i] > 0]
    where = np.searchsorted(sizes, chosen, side="right") - 1
    return [UnitId(sites[at], int(i - sizes[at])) for i, at in zip(chosen, where, strict=True)]


class Measured(NamedTuple):
    """What an ablation did to one unit. ``reason`` says why nothing can be concluded from the interval, if so."""

    effect: Interval
    signed: Interval
    reason: str


def measure(
    change: Change, tokens: Float[np.ndarray, " documents"], source_sd: float, reader_sd: float, seed: int
) -> Measured:
    """The effect and its sign with intervals over documents; ``change`` is of one watched unit."""
    if reader_sd == 0:
        nothing = Interval(0.0, float("nan"), float("nan"))
        return Measured(nothing, nothing, "it never varies")
    square, product, deviation = (sums[:, 0] for sums in change)
    weights = document_weights(len(tokens), REPLICATES, seed)

    def effect(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.sqrt((rows @ square) / (rows @ tokens)) / reader_sd

    def signed(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return in_sds(rows @ product, rows @ deviation) * source_sd / reader_sd

    whole = np.ones((1, len(tokens)))
    return Measured(
        interval(float(effect(whole)[0]), effect(weights)),
        interval(float(signed(whole)[0]), signed(weights)),
        _reason(square),
    )


def _reason(square: NDArray[np.float64]) -> str:
    held = np.sort(square)[::-1].cumsum()
    reasons = list(too_few_documents(len(square)))
    if held[-1] > 0 and held[min(CONCENTRATED, len(held)) - 1] >= held[-1] / 2:
        reasons.append(f"{CONCENTRATED} of {len(square)} documents hold half of the effect or more")
    return "; ".join(reasons)


def relation(
    unit: UnitId,
    chosen_by: Sequence[str],
    measured: Measured,
    nulls: Mapping[str, float],
    weights: Weights | None,
    first_order: float | None = None,
) -> dict[str, Any]:
    """One relation as plain data. ``beyond`` says whether the effect's lower bound is above every null."""
    by_weights: dict[str, Any] = {"weights": None, "cosines": None, "strength": None, "net": None}
    site = weights.sites.get(unit.site) if weights is not None else None
    if weights is not None and site is not None:
        at = unit.number
        by_weights = {
            "weights": {name: float(x) for name, x in zip(weights.names, site.inputs[:, at], strict=True)},
            "cosines": {name: float(x) for name, x in zip(weights.names, site.cosines[:, at], strict=True)},
            "strength": float(site.strength[at]),
            "net": float(site.net[at]),
        }
    effect, signed = measured.effect, measured.signed
    known = not np.isnan(effect.lo) and not measured.reason
    return {
        "unit": str(unit),
        "chosen_by": list(chosen_by),
        **by_weights,
        **_bounds("effect", effect),
        **_bounds("signed", signed),
        "nulls": dict(nulls),
        "first_order": first_order,
        "beyond": bool(effect.lo > max(nulls.values(), default=0.0)) if known else None,
        "reason": measured.reason,
    }


def _bounds(name: str, found: Interval) -> dict[str, float | None]:
    names = (name, f"{name}_lo", f"{name}_hi")
    return {key: None if np.isnan(value) else float(value) for key, value in zip(names, found, strict=True)}
