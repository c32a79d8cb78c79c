"""Do weights predict effects? Rank correlations over all neurons of a side, by the number of layers between.

Their bounds come from the jackknife: the documents in 20 groups, each left out in turn (Efron and Tibshirani 1993,
chapter 11). A bootstrap would add its own noise to that of the effects, and every correlation would fall.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata, t

from assay.core.ids import SiteId
from assay.explain.related.ablation import Change
from assay.explain.related.relations import in_sds
from assay.explain.related.weights import Site, Weights
from assay.stats import Interval

GROUPS = 20
APART = 3  # distances shown one by one


class _Neurons(NamedTuple):
    """Neurons of some sites side by side: what weights say of them, and what was measured, (1 + groups, neurons): on
    all documents, then without each group."""

    strength: NDArray[np.float32]
    net: NDArray[np.float32]
    null_strength: NDArray[np.float32]
    null_net: NDArray[np.float32]
    effect: NDArray[np.float64]
    signed: NDArray[np.float64]


def agreement(
    weights: Weights | None,
    changes: Mapping[SiteId, Change],
    tokens: NDArray[np.float64],
    sds: Mapping[SiteId, NDArray[np.float64]],
    sources: Mapping[SiteId, NDArray[np.float64]],
    nearest_first: bool,
    seed: int,
) -> list[dict[str, Any]]:
    """A row for the nearest layer, the next two, the others, and all.

    ``strength`` is the rank correlation of the strength by weights with the effect, ``net`` that of net with signed,
    ``slope`` the least-squares slope of signed on net through zero: 1 where the direct path is all there is. Bounds are
    over documents, at 95 %; the null of the first two is the same with random vectors, on average over the draws.

    Args:
        sds, sources: by site, standard deviations of the watched and of the ablated units, broadcast.
        nearest_first: whether the first site is the nearest, as downstream.
    """
    if weights is None:
        return []
    sites = list(weights.sites) if nearest_first else list(weights.sites)[::-1]
    rows = _without_groups(len(tokens), seed)
    found = {at: _measured(weights.sites[at], changes[at], tokens, sds[at], sources[at], rows) for at in sites}
    groups = {str(i + 1): [site] for i, site in enumerate(sites[:APART])}
    groups |= {f"{APART + 1}+": sites[APART:], "all": sites}
    return [_row(name, [found[site] for site in own]) for name, own in groups.items() if own]


def _measured(
    site: Site,
    change: Change,
    tokens: NDArray[np.float64],
    sd: NDArray[np.float64],
    source: NDArray[np.float64],
    rows: NDArray[np.float64],
) -> _Neurons:
    effect = in_sds(np.sqrt((rows @ change.square) / (rows @ tokens)[:, None]), sd)
    signed = in_sds(in_sds(rows @ change.product, rows @ change.deviation) * source, sd)
    alive = (np.broadcast_to(sd, effect.shape[1:]) > 0) & (np.broadcast_to(source, effect.shape[1:]) > 0)
    return _Neurons(
        site.strength[alive],
        site.net[alive],
        site.null_strength[:, alive],
        site.null_net[:, alive],
        effect[:, alive],
        signed[:, alive],
    )


def _row(name: str, sites: list[_Neurons]) -> dict[str, Any]:
    own = _Neurons(*(np.concatenate(parts, axis=-1) for parts in zip(*sites, strict=True)))
    row: dict[str, Any] = {"layers": name, "neurons": len(own.strength)}
    for what, by_weights, null, measured in (
        ("strength", own.strength, own.null_strength, own.effect),
        ("net", own.net, own.null_net, own.signed),
    ):
        ranks = rankdata(measured, axis=1)
        row |= _bounds(what, _correlation(by_weights, ranks))
        row[f"{what}_null"] = _plain(float(np.mean([_correlation(one, ranks[:1])[0] for one in null])))
    square = np.square(own.net, dtype=np.float64).sum()
    slopes = own.signed @ own.net / square if square else np.full(len(own.signed), np.nan)
    return row | _bounds("slope", slopes)


def _correlation(values: NDArray[Any], ranks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spearman's rank correlation of one row with each row of ranks; NaN where one of them is constant."""
    a, b = rankdata(values), ranks
    a, b = a - a.mean(), b - b.mean(1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return b @ a / np.sqrt((a @ a) * (b * b).sum(1))


def _without_groups(documents: int, seed: int) -> NDArray[np.float64]:
    """(1 + groups, documents) all of them, then all but each group of some at random."""
    groups = min(GROUPS, documents)
    group = np.random.default_rng([seed, 16]).permutation(documents) % groups
    return np.vstack([np.ones(documents), group != np.arange(groups)[:, None]]).astype(np.float64)


def _jackknife(values: NDArray[np.float64]) -> Interval:
    """From a value on all documents, and those without each group."""
    value, without = float(values[0]), values[1:]
    groups = len(without)
    error = np.sqrt((groups - 1) / groups * np.square(without - without.mean()).sum()) if groups > 1 else np.nan
    reach = float(t.ppf(0.975, groups - 1) * error) if groups > 1 else float("nan")
    return Interval(value, value - reach, value + reach)


def _bounds(name: str, values: NDArray[np.float64]) -> dict[str, float | None]:
    found = _jackknife(values)
    return {f"{name}{end}": _plain(value) for end, value in zip(("", "_lo", "_hi"), found, strict=True)}


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else value
