"""How steady LAT is: over layers, over the order in which pairs are shuffled, and over the items it is fitted on."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.findings.found import LINES, Found, Panel, Table, number, scored
from assay.fit.probes import make_probe
from assay.probe.bench import Bench
from assay.probe.detecting import Detector
from assay.probe.grounds import grounds
from assay.probe.request import ProbeRequest
from assay.referee import exceeded_by_few
from assay.stats.auroc import auroc_estimates
from assay.stats.bootstrap import Estimate

METHODS = ("mean_diff", "lat")
_DRAWS = 20  # halves of the groups that probes are fitted on
PUBLISHED = "LAT .84 at layer 20 and .44 at layer 24"


def run(bench: Bench, request: ProbeRequest) -> Found:
    """At every layer, probes fitted on twenty halves of the groups, each with an order of its own."""
    train = request.data or "cities"
    layers = bench.layers(request.layers, tuple(range(bench.subject.n_layers)))
    set_apart = grounds(bench, train, ())
    bench.read([train], layers)
    fit, test = set_apart.fit, set_apart.tests[train]
    names = np.array(sorted(set(fit.groups)))
    found = Found(
        "LAT is unsteady where the mean difference is not",
        f"{train}: at each layer {_DRAWS} probes, each fitted on another half of the groups in another order of "
        "its pairs.",
        notes=[
            "The sign of LAT’s component is settled by the labels of what it was fitted on. Bars are the 5th and 95th "
            "percentile over the probes, not an interval of their mean."
        ],
    )
    methods = request.methods or METHODS
    medians: dict[str, list[Estimate]] = {name: [] for name in methods}
    for at, layer in enumerate(layers):
        bench.progress(f"fitting at layer {layer}", at / len(layers))
        detector = Detector(bench, set_apart, layer)
        null = _null(detector, bench)
        for method in methods:
            weights = [_one(detector, fit, method, names, bench.seed, draw) for draw in range(_DRAWS)]
            values, replicates = auroc_estimates(
                detector.tests[train] @ np.stack(weights, 1),
                test.labels,
                test.groups,
                bench.size.replicates,
                bench.seed,
            )
            medians[method].append(Estimate(float(np.median(values)), np.median(replicates, axis=0)))
            found.results.append(_row(method, layer, values, np.stack(weights), medians[method][-1], null))
    _judge(found, medians, layers, test)
    found.panels = _panels(found.results, methods)
    found.tables = [_table(found.results)]
    return found


def _one(detector: Detector, fit: Any, method: str, names: NDArray[Any], seed: int, draw: int) -> NDArray[np.float64]:
    """Weights of one probe."""
    half = np.random.default_rng([seed, draw]).permutation(names)[: len(names) // 2]
    rows = np.isin(fit.groups, half)
    pairs = None if fit.pairs is None else fit.pairs[rows]
    return make_probe(method, seed * 1000 + draw).fit(detector.x[rows], fit.labels[rows], pairs=pairs).coef_[0]


def _null(detector: Detector, bench: Bench) -> float:
    """The highest AUROC of random directions that are signed on the fit rows."""
    (name, ground), *_ = detector.grounds.tests.items()
    values, _ = auroc_estimates(detector.tests[name] @ detector.random.T, ground.labels, ground.groups, 2, bench.seed)
    return float(exceeded_by_few(values[None])[0])


def _row(
    method: str, layer: int, values: NDArray[np.float64], weights: NDArray[np.float64], median: Estimate, null: float
) -> dict[str, Any]:
    unit = weights / np.linalg.norm(weights, axis=1, keepdims=True)
    alike = np.abs(unit @ unit.T)[np.triu_indices(len(unit), 1)]
    _, lo, hi = median.interval()
    low, high = np.quantile(values, [0.05, 0.95])
    return {
        "method": method,
        "layer": layer,
        "auroc": float(np.median(values)),
        "lo": number(lo),
        "hi": number(hi),
        "p05": float(low),
        "p95": float(high),
        "below_half": float((values < 0.5).mean()),
        "cosine": float(np.median(alike)),
        "null_hi": null,
    }


def _judge(found: Found, medians: dict[str, list[Estimate]], layers: tuple[int, ...], test: Any) -> None:
    """Spread over a layer's probes, and the greatest step between neighbouring layers, LAT beside mean difference."""
    if not {"lat", "mean_diff"} <= medians.keys() or len(layers) < 3:
        found.notes.append("Nothing is judged: that takes lat and mean_diff at three layers or more.")
        return
    drops = {name: _greatest_drop(own) for name, own in medians.items()}
    where = {name: int(np.argmax([a.value - b.value for a, b in pairwise(own)])) for name, own in medians.items()}
    at = where["lat"]
    found.findings.append(
        scored(
            f"from layer {layers[at]} to {layers[at + 1]} LAT falls by more than the mean difference ever does",
            "greatest fall of AUROC between neighbours",
            drops["lat"],
            drops["mean_diff"],
            null_name="mean difference",
            n=len(test.labels),
            published=PUBLISHED,
        )
    )
    spread = {
        name: np.array([row["p95"] - row["p05"] for row in found.results if row["method"] == name])
        for name in ("lat", "mean_diff")
    }
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(layers), (2000, len(layers)))
    found.findings.append(
        scored(
            "AUROC of LAT probes of one layer is spread wider than that of mean differences, over the layers",
            "mean of 95th minus 5th percentile",
            Estimate(float(spread["lat"].mean()), spread["lat"][drawn].mean(1)),
            Estimate(float(spread["mean_diff"].mean()), spread["mean_diff"][drawn].mean(1)),
            null_name="mean difference",
            n=len(layers),
        )
    )


def _greatest_drop(own: list[Estimate]) -> Estimate:
    falls = [(a.value - b.value, a.replicates - b.replicates) for a, b in pairwise(own)]
    best = int(np.argmax([fall[0] for fall in falls]))
    return Estimate(falls[best][0], falls[best][1])


def _panels(results: list[dict[str, Any]], methods: tuple[str, ...]) -> list[Panel]:
    rows = [
        {"x": row["layer"], "y": row["auroc"], "lo": row["p05"], "hi": row["p95"], "series": row["method"]}
        for row in results
    ]
    rows += [
        {"x": row["layer"], "y": row["null_hi"], "series": "random directions, the highest"}
        for row in results
        if row["method"] == methods[0]
    ]
    nulls = ("random directions, the highest",)
    alike = [{"x": row["layer"], "y": row["cosine"], "series": row["method"]} for row in results]
    return [
        Panel(
            LINES,
            "AUROC on held-out groups: median and 5th to 95th percentile of 20 probes",
            "layer",
            "AUROC",
            rows,
            nulls,
        ),
        Panel(LINES, "How alike the 20 directions of a layer are", "layer", "median |cosine|", alike),
    ]


def _table(results: list[dict[str, Any]]) -> Table:
    keys = ("auroc", "lo", "hi", "p05", "p95", "below_half", "cosine", "null_hi")
    titles = ("median AUROC", "lo", "hi", "5th", "95th", "share below .5", "|cosine|", "null")
    return Table(
        "Every layer",
        ("layer, method", *titles),
        [[f"{row['layer']} {row['method']}", *(row[key] for key in keys)] for row in results],
    )
