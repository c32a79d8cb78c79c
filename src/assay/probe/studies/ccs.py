"""What CCS is worth: its accuracy beside random directions folded in the same way, twenty directions orthogonal to it,
and every sign vector of twelve one-hot facts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.findings.found import LINES, Finding, Found, Panel, Table, few_groups, number, scored
from assay.fit.probes.ccs import CCS
from assay.fit.probes.ccs_recursive import RecursiveCCS
from assay.fit.probes.mean_diff import MeanDifference
from assay.fit.probes.sign_vectors import sign_vectors
from assay.probe.bench import Bench
from assay.probe.contrast import ContrastPairs, folded_accuracy
from assay.probe.request import ProbeRequest
from assay.referee import exceeded_by_few
from assay.stats.bootstrap import Estimate
from assay.stats.nulls import random_directions

FACTS = 12
_RANDOM = 400  # directions
_ORTHOGONAL = 20
_NEAR = 0.02  # of accuracy
PUBLISHED = {"random": "random probes reach about 75 % on easy sets", "more": "more than 20 orthogonal probes match it"}


def run(bench: Bench, request: ProbeRequest) -> Found:
    """CCS on each data set and layer; then the directions that are left; then the sign vectors."""
    own = (request.data,) if request.data else ("cities", "comparisons", "sentiment")
    names = tuple(dict.fromkeys((*own, *request.transfer)))
    layers = bench.layers(request.layers, (12, 20, 28))
    bench.read(names, layers)
    found = Found(
        "CCS finds one of very many consistent directions",
        f"Contrast pairs of {', '.join(names)}, one true and one false, in random order: which of two is the true one? "
        "Accuracies are folded, max(a, 1 - a), for CCS and for random directions alike.",
        notes=[
            "CCS is fitted on pairs of some groups, without labels, and told on others. The null is the accuracy "
            f"that 95 of 100 random directions stay below; {_RANDOM} were drawn. The mean difference uses labels: it "
            "is what could be had."
        ],
    )
    drawn = {(name, layer): ContrastPairs(bench, name, layer) for name in names for layer in layers}
    for at, ((name, layer), pairs) in enumerate(drawn.items()):
        bench.progress(f"CCS on {name} at layer {layer}", at / len(drawn))
        row = bench.part(f"{name}-L{layer}", lambda p=pairs: _cell(bench, p))
        found.results.append({"data": name, "layer": layer, **row})
    for row in found.results:
        _judge(found, row)
    _signs(found, bench.seed)
    found.panels = _panels(found.results)
    found.tables = [_table(found.results)]
    return found


def _cell(bench: Bench, pairs: ContrastPairs) -> dict[str, Any]:
    fit, test, size = pairs.fit, pairs.test, bench.size
    seeds = [CCS(random_state=seed).fit(fit.x, None, pairs=fit.pairs) for seed in range(size.seeds)]
    more = RecursiveCCS(n_directions=1 + _ORTHOGONAL, n_init=3, random_state=0).fit(fit.x, None, pairs=fit.pairs)
    random = random_directions(fit.x.shape[1], _RANDOM, bench.seed)
    known = MeanDifference().fit(fit.x, fit.labels)
    best = min(seeds, key=lambda one: one.loss_)
    parts = {
        "ccs": np.stack([best.coef_[0], *(one.coef_[0] for one in seeds)]),
        "recursive": more.directions_[1:],  # the first is CCS itself
        "random": random,
        "mean_diff": known.coef_,
    }
    folded = {name: folded_accuracy(test, weights, size.replicates, bench.seed) for name, weights in parts.items()}
    null = exceeded_by_few(folded["random"][1]), float(exceeded_by_few(folded["random"][0][None])[0])
    first = Estimate(float(folded["ccs"][0][0]), folded["ccs"][1][:, 0])
    mean = Estimate(float(folded["mean_diff"][0][0]), folded["mean_diff"][1][:, 0])
    matched, by_chance = (_matching(first, *folded[name]) for name in ("recursive", "random"))
    return {
        "n": test.n,
        "groups": len(set(test.groups.tolist())),
        "loss": best.loss_,
        "losses": [one.loss_ for one in seeds],
        "accuracy": first.value,
        "interval": [number(bound) for bound in first.interval()[1:]],
        "replicates": first.replicates.round(4).tolist(),
        "null": null[1],
        "null_replicates": null[0].round(4).tolist(),
        "random_median": float(np.median(folded["random"][0])),
        "random_best": float(folded["random"][0].max()),
        "seeds": folded["ccs"][0][1:].tolist(),
        "mean_diff": mean.value,
        "mean_diff_interval": [number(bound) for bound in mean.interval()[1:]],
        "recursive": folded["recursive"][0].tolist(),
        "recursive_losses": more.losses_[1:].tolist(),
        "matched": round(matched.value * _ORTHOGONAL),
        "matched_interval": [number(bound) for bound in matched.interval()[1:]],
        "matched_by_random": by_chance.value,
    }


def _matching(first: Estimate, values: NDArray[np.float64], drawn: NDArray[np.float64]) -> Estimate:
    """The share of k directions that come within :data:`_NEAR` of the first or above it: (k,), and on resamples (b, k).

    Resamples are of the same groups for all.
    """
    return Estimate(
        float((values >= first.value - _NEAR).mean()), (drawn >= first.replicates[:, None] - _NEAR).mean(axis=1)
    )


def _judge(found: Found, row: dict[str, Any]) -> None:
    score = Estimate(row["accuracy"], np.array(row.pop("replicates")))
    null = Estimate(row["null"], np.array(row.pop("null_replicates")))
    found.findings.append(
        scored(
            f"CCS on {row['data']} at layer {row['layer']} tells more than random directions do",
            "folded accuracy on held-out pairs",
            score,
            null,
            null_name="random, folded",
            n=row["n"],
            reasons=few_groups(row["groups"]),
            references={
                "mean difference": row["mean_diff"],
                "best random": row["random_best"],
                "median random": row["random_median"],
            },
            published=PUBLISHED["random"],
            unit=f"L{row['layer']}.resid_post:@{row['data']}.ccs",
        )
    )
    found.findings.append(
        Finding(
            f"of {_ORTHOGONAL} directions that CCS finds in what is left on {row['data']} at layer {row['layer']}, so "
            "many come within .02 of the first or above it",
            "share of the directions",
            row["matched"] / _ORTHOGONAL,
            *row["matched_interval"],
            n=_ORTHOGONAL,
            nulls={"random directions": row["matched_by_random"]},
            published=PUBLISHED["more"],
        )
    )


def _signs(found: Found, seed: int) -> None:
    """All 2^12 sign vectors of one-hot facts."""
    truth = np.random.default_rng(seed).random(FACTS) < 0.5
    every = sign_vectors(truth)
    distance = float(np.ptp(every.losses))
    right = np.round(every.accuracies * FACTS).astype(int)
    counts = np.bincount(right, minlength=FACTS + 1)
    found.results.append(
        {
            "data": f"{FACTS} one-hot facts",
            "sign_vectors": len(every.losses),
            "loss_max": float(every.losses.max()),
            "loss_range": distance,
            "by_right": counts.tolist(),
        }
    )
    found.findings.append(
        Finding(
            f"every one of the {len(every.losses):,} sign vectors of {FACTS} one-hot facts has the same CCS loss, "
            "next to 0",
            "largest loss",
            float(every.losses.max()),
            n=len(every.losses),
            references={"range over all of them": distance},
            published="all 2^d have zero loss",
        )
    )
    found.tables.append(
        Table(
            f"All sign vectors of {FACTS} one-hot facts, by how many facts they have right",
            ("right", "sign vectors"),
            [[str(k), int(count)] for k, count in enumerate(counts)],
        )
    )


def _panels(results: list[dict[str, Any]]) -> list[Panel]:
    own = [row for row in results if "layer" in row]
    rows: list[dict[str, Any]] = []
    for row in own:
        x = f"{row['data']} {row['layer']}"
        lo, hi = row["interval"]
        rows.append({"x": x, "y": row["accuracy"], "lo": lo, "hi": hi, "series": "CCS"})
        lo, hi = row["mean_diff_interval"]
        rows.append({"x": x, "y": row["mean_diff"], "lo": lo, "hi": hi, "series": "mean difference (has labels)"})
        rows.append({"x": x, "y": row["null"], "series": "95th percentile of random"})
    found = [
        Panel(
            LINES, "Folded accuracy on held-out pairs", "data, layer", "accuracy", rows, ("95th percentile of random",)
        )
    ]
    for name in dict.fromkeys(row["data"] for row in own):
        curves = [
            {"x": place + 1, "y": value, "series": f"layer {row['layer']}"}
            for row in own
            if row["data"] == name
            for place, value in enumerate(row["recursive"])
        ]
        nulls = [
            {"x": place + 1, "y": row["null"], "series": f"95th percentile of random, layer {row['layer']}"}
            for row in own
            if row["data"] == name
            for place in (0, _ORTHOGONAL - 1)
        ]
        names = tuple(dict.fromkeys(row["series"] for row in nulls))
        title = f"{name}: one direction after the other, each orthogonal to those before"
        found.append(Panel(LINES, title, "direction", "folded accuracy", [*curves, *nulls], names))
    return found


def _table(results: list[dict[str, Any]]) -> Table:
    rows = [
        [
            f"{row['data']} {row['layer']}",
            row["accuracy"],
            f"{min(row['seeds']):.2f} to {max(row['seeds']):.2f}",
            row["null"],
            row["random_median"],
            row["random_best"],
            row["mean_diff"],
            row["matched"],
            f"{row['loss']:.3f}",
            f"{min(row['recursive_losses']):.3f} to {max(row['recursive_losses']):.3f}",
        ]
        for row in results
        if "layer" in row
    ]
    titles = (
        "CCS",
        "over seeds",
        "random, 95th",
        "random, median",
        "random, best",
        "mean difference",
        "of 20 match",
        "loss",
        "of the 20",
    )
    return Table("CCS and random directions", ("data, layer", *titles), rows)
