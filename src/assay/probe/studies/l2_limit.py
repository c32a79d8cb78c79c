"""The mean difference is what a logistic probe becomes with enough L2: the same direction, from one end of a path."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import UsageError
from assay.findings.found import LINES, Found, Panel, Table, few_groups, from_interval, number, scored
from assay.fit.probes.logistic import Logistic
from assay.fit.probes.mean_diff import MeanDifference
from assay.probe.bench import Bench
from assay.probe.detecting import Detector
from assay.probe.grounds import Ground, grounds
from assay.probe.request import ProbeRequest
from assay.stats.auroc import auroc_estimates
from assay.stats.bootstrap import Estimate
from assay.stats.nulls import random_directions

STRENGTHS = tuple(10.0**power for power in range(2, -7, -1))
_Z = NormalDist().inv_cdf(0.975)
PUBLISHED = {2: "cosine .78", -6: "cosine 1.000"}
_CHANCE = "cosine of random pairs, 95th percentile"
_BLOCKS = 20  # of groups, left out one by one


def run(bench: Bench, request: ProbeRequest) -> Found:
    """Cosine of the two directions along a path of C, and what each scores on held-out groups."""
    name = request.data or "cities"
    layer, set_apart = bench.layer(request.layers, 20), grounds(bench, name, ())
    at = Detector(bench, set_apart, layer)
    labels, groups = set_apart.fit.labels, set_apart.fit.groups
    cosines = _cosines(at.x, labels)
    bounds = _Z * _errors(bench, at.x, labels, groups)
    test = set_apart.tests[name]
    paths = Logistic().path(at.x, labels, np.array(STRENGTHS))
    values, drawn = auroc_estimates(
        at.tests[name] @ paths.T, test.labels, test.groups, bench.size.replicates, bench.seed
    )
    chance = _chance(at.x.shape[1], bench.seed)
    found = Found(
        f"The mean difference is a logistic probe with enough L2 (layer {layer})",
        f"{name}: logistic probes with C from {STRENGTHS[0]:g} to {STRENGTHS[-1]:g}, on activations divided by one "
        "number.",
        notes=[
            f"Fitted on {len(labels):,} items of {len(set(groups)):,} groups; intervals of the cosine are from "
            f"{_BLOCKS} blocks of groups left out in turn (jackknife). Of 1,000 pairs of random directions the cosine "
            f"of 95 % is below {chance:.2f}."
        ],
    )
    rows = [
        (c, cosines[i], max(-1.0, cosines[i] - bounds[i]), min(1.0, cosines[i] + bounds[i]))
        for i, c in enumerate(STRENGTHS)
    ]
    for i, power in ((0, 2), (len(STRENGTHS) - 1, -6)):
        whole = from_interval(float(cosines[i]), float(cosines[i] - bounds[i]), float(cosines[i] + bounds[i]))
        _judge(found, power, Estimate(whole.value, np.clip(whole.replicates, -1, 1)), chance, name, set_apart.fit)
    found.results = [
        {"c": c, "cosine": float(value), "lo": number(lo), "hi": number(hi), "auroc": float(values[i])}
        | dict(zip(("auroc_lo", "auroc_hi"), map(number, Estimate(values[i], drawn[i]).interval()[1:]), strict=True))
        for i, (c, value, lo, hi) in enumerate(rows)
    ]
    found.tables = [_table(found.results)]
    found.panels = [_panel(found.results, chance)]
    return found


def _judge(found: Found, power: int, estimate: Estimate, chance: float, name: str, fit: Ground) -> None:
    """At one end of the path, C = 10^power: nearer to the mean difference than chance, or all of it but .02."""
    near = power < 0
    claim = "the mean difference, but for .02" if near else "nearer to the mean difference than chance"
    found.findings.append(
        scored(
            f"with C = {10.0**power:g} the logistic direction is {claim}",
            "cosine",
            estimate,
            0.96 if near else chance,
            null_name="all but .04" if near else "random pairs",
            n=len(fit.rows),
            published=PUBLISHED[power] if name == "cities" else "",
            reasons=few_groups(len(set(fit.groups))),
        )
    )


def _table(results: list[dict[str, Any]]) -> Table:
    keys = ("cosine", "lo", "hi", "auroc", "auroc_lo", "auroc_hi")
    return Table(
        "Along the path",
        ("C", "cosine", "lo", "hi", "AUROC held out", "lo", "hi"),
        [[f"{row['c']:g}", *(row[key] for key in keys)] for row in results],
    )


def _panel(results: list[dict[str, Any]], chance: float) -> Panel:
    """Both measures along the path, beside the cosine of random pairs."""
    told = {"cosine to the mean difference": ("cosine", "lo", "hi")}
    told["AUROC on held-out groups"] = ("auroc", "auroc_lo", "auroc_hi")
    rows: list[dict[str, Any]] = [
        {"x": row["c"], "y": row[value], "lo": row[lo], "hi": row[hi], "series": series}
        for series, (value, lo, hi) in told.items()
        for row in results
    ]
    rows += [{"x": c, "y": chance, "series": _CHANCE} for c in STRENGTHS]
    title = "From free weights to the mean difference"
    return Panel(LINES, title, "C (smaller: more L2)", "cosine, AUROC", rows, (_CHANCE,), log=True)


def _cosines(x: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    paths = Logistic().path(x, labels, np.array(STRENGTHS))
    mean = MeanDifference().fit(x, labels).coef_[0]
    return paths @ mean / (np.linalg.norm(paths, axis=1) * np.linalg.norm(mean))


def _errors(
    bench: Bench, x: NDArray[np.float64], labels: NDArray[np.int64], groups: NDArray[Any]
) -> NDArray[np.float64]:
    """Standard error of each cosine, (C,): twenty blocks of groups left out one by one (the jackknife).

    Groups drawn again would not do: rows that are there twice make a path end nearer to the mean difference.
    """
    names, where = np.unique(groups.astype(str), return_inverse=True)
    blocks = min(_BLOCKS, len(names))
    block = np.random.default_rng(bench.seed).permutation(np.arange(len(names)) % blocks)[where]
    found: list[NDArray[np.float64]] = []
    for left_out in range(blocks):
        bench.progress("fitting paths without a block of groups", left_out / blocks)
        kept = block != left_out
        if len(set(labels[kept])) < 2:
            raise UsageError(
                f"{len(names)} groups are fitted on, and without some of them one label is left; give more groups"
            )
        found.append(_cosines(x[kept], labels[kept]))
    spread = np.stack(found) - np.mean(found, axis=0)
    return np.sqrt((blocks - 1) / blocks * np.square(spread).sum(0))


def _chance(d: int, seed: int) -> float:
    pairs = random_directions(d, 2000, seed).reshape(1000, 2, d)
    return float(np.quantile(np.abs((pairs[:, 0] * pairs[:, 1]).sum(1)), 0.95))
