"""Erasers at several layers, attacked: what is left, what it costs, and whether the output follows a swap."""

from __future__ import annotations

from typing import Any

import numpy as np

from assay.findings.found import LINES, Finding, Found, Panel, Table, absent, few_groups, from_interval, number
from assay.probe.bench import Bench
from assay.probe.erasing import NEUTRAL, Workplace, workplace
from assay.probe.request import ERASED, EraseRequest

PLAIN = "none"  # the activations as they are


def run(bench: Bench, request: EraseRequest) -> Found:
    """Every method at every layer, fitted once a seed on other groups than those it is attacked on."""
    name = request.data or "gender"
    layers = bench.layers(request.layers)
    methods = request.methods or ERASED
    place = workplace(bench, name, layers, request.rank)
    found = Found(
        f"Is it gone? {bench.data(name).about.rstrip('.')}",
        f"Erasers of rank {request.rank} at most, fitted on {place.told_fit}; attacked on {place.told_test}.",
        notes=list(place.notes),
    )
    work = [(layer, method, seed) for layer in layers for method in (PLAIN, *methods) for seed in _seeds(bench, method)]
    for at, (layer, method, seed) in enumerate(work):
        bench.progress(f"{method} at layer {layer}, seed {seed}", at / len(work))
        row = bench.part(f"L{layer}-{method}-{seed}", lambda w=(layer, method, seed): _one(place, request, *w))
        found.results.append(row)
    _judge(found, layers, methods, len(place.test))
    found.tables = [_table(found.results)]
    found.panels = _panels(found.results)
    return found


def _seeds(bench: Bench, method: str) -> range:
    return range(1 if method == PLAIN else bench.size.seeds)


def _one(place: Workplace, request: EraseRequest, layer: int, method: str, seed: int) -> dict[str, Any]:
    eraser = None if method == PLAIN else place.fitted(method, layer, seed)
    swap = None if eraser is None else place.swapped(layer, eraser)
    return {
        "method": method,
        "layer": layer,
        "seed": seed,
        "rank": 0 if eraser is None else eraser.rank,
        "attacks": {
            name: {
                "auc": number(one.auc),
                "lo": number(one.lo),
                "hi": number(one.hi),
                "null": number(one.null),
                "leaks": one.leaks,
            }
            for name, one in place.attacked(layer, eraser, request.attacks, seed).items()
        },
        "kl": 0.0 if eraser is None else place.kl(layer, eraser),
        "swap_success": None if swap is None else number(swap.value),
        "swap_lo": None if swap is None else number(swap.interval().lo),
        "swap_hi": None if swap is None else number(swap.interval().hi),
    }


def _judge(found: Found, layers: tuple[int, ...], methods: tuple[str, ...], groups: int) -> None:
    """A claim a layer and method: the best attack on what is left gets no more than on shuffled labels."""
    for layer in layers:
        for method in methods:
            own = [row for row in found.results if row["layer"] == layer and row["method"] == method]
            found.findings.append(_gone(own, layer, method, groups))


def _gone(own: list[dict[str, Any]], layer: int, method: str, groups: int) -> Finding:
    """The attack that finds most, over the seeds: less than the margin above what it gets on shuffled labels?"""
    names = list(own[0]["attacks"])
    over = {name: _mean(own, name) - _mean(own, name, "null") for name in names}
    worst = max(names, key=lambda name: over[name])
    bounds = [_mean(own, worst, key) for key in ("auc", "lo", "hi")]
    estimate = from_interval(*bounds)
    null = _mean(own, worst, "null")
    return Finding(
        f"{method} at layer {layer} leaves nothing that {worst}, the best of {len(names)} attacks, finds",
        f"AUC of {worst}",
        *bounds,
        n=len(own),
        nulls={"shuffled": null},
        check=absent(estimate, {"shuffled": null}, few_groups(groups)),
        unit=f"L{layer}.resid_post:@{method}.rank{max(row['rank'] for row in own)}",
    )


def _table(results: list[dict[str, Any]]) -> Table:
    names = list(results[0]["attacks"])
    rows: list[list[Any]] = []
    for layer in dict.fromkeys(row["layer"] for row in results):
        for method in dict.fromkeys(row["method"] for row in results):
            own = [row for row in results if row["layer"] == layer and row["method"] == method]
            aucs = [f"{_mean(own, name):.2f} ({_mean(own, name, 'null'):.2f})" for name in names]
            swaps = [row["swap_success"] for row in own if row["swap_success"] is not None]
            told = f"{np.mean(swaps):.2f} ({min(swaps):.2f} to {max(swaps):.2f})" if swaps else None
            kl = f"{np.mean([row['kl'] for row in own]):.3f}"
            rows.append([f"{layer} {method}", own[0]["rank"], *aucs, kl, told])
    title = (
        f"AUC of each attack on held-out groups (its null), KL on {NEUTRAL} in nats, and swap success (least to "
        "greatest): means over seeds"
    )
    return Table(title, ("layer, method", "rank", *names, "KL", "swap"), rows)


def _mean(own: list[dict[str, Any]], attack: str, key: str = "auc") -> float:
    """NaN where one of them is not known."""
    return float(np.mean([np.nan if (one := row["attacks"][attack][key]) is None else one for row in own]))


def _panels(results: list[dict[str, Any]]) -> list[Panel]:
    found: list[Panel] = []
    for layer in dict.fromkeys(row["layer"] for row in results):
        rows: list[dict[str, Any]] = []
        here = [row for row in results if row["layer"] == layer]
        for method in dict.fromkeys(row["method"] for row in here):
            own = [row for row in here if row["method"] == method]
            for attack in own[0]["attacks"]:
                values = [row["attacks"][attack]["auc"] for row in own]
                rows.append(
                    {"x": method, "y": float(np.mean(values)), "lo": min(values), "hi": max(values), "series": attack}
                )
            nulls = [one["null"] for row in own for one in row["attacks"].values()]
            rows.append({"x": method, "y": float(np.mean(nulls)), "series": "shuffled labels"})
        title = f"Layer {layer}: what attacks find (bars: seeds)"
        found.append(Panel(LINES, title, "", "AUC, held out", rows, ("shuffled labels",)))
    return found
