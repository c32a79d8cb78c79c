"""A split that tears pairs apart: what a probe has seen of one half of a pair makes it wrong about the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import UsageError
from assay.findings.found import LINES, Found, Panel, Table, few_groups, number, scored, scored_below
from assay.fit.probes import make_probe
from assay.probe.bench import Bench
from assay.probe.request import ProbeRequest
from assay.stats.auroc import auroc_estimate
from assay.stats.bootstrap import Estimate
from assay.stats.nulls import shuffled_labels
from assay.text.concepts import ConceptData

METHODS = ("mean_diff", "logistic")
_FOLDS = 5
_REPEATS = 4
_SHUFFLES = 2  # of the labels, a repeat
WAYS = {"row": "by row, pairs torn", "group": "by group"}
PUBLISHED = {"row": ".445 at layer 4", "group": ".561 at layer 4"}


def run(bench: Bench, request: ProbeRequest) -> Found:
    """The same probes by folds of rows and of groups, at several layers; the null are labels that mean nothing."""
    train = request.data or "cities"
    layers = bench.layers(request.layers, (4, 12, 20))
    data = bench.data(train)
    groups, both = _grouped(data)
    bench.read([train], layers)
    found = Found(
        "A random split is no split where items come in pairs",
        f"{train}: {both:,} of {groups:,} groups have both labels. Folds by row put most of these on both sides, folds "
        "by group none.",
        notes=[
            f"Every item is scored by probes that did not see it: {_FOLDS} folds, {_REPEATS} times. Resamples draw "
            "groups, the same for both ways. With labels that are shuffled within groups an honest split gives .5; a "
            "torn one gives less, since what a probe remembers of a group is the other label."
        ],
    )
    methods = request.methods or METHODS
    for at, (layer, method) in enumerate([(layer, method) for layer in layers for method in methods]):
        bench.progress(f"{method} at layer {layer}", at / len(layers) / len(methods))
        scores = {(way, null): _mean(bench, train, layer, method, way, null) for way in WAYS for null in (False, True)}
        for way in WAYS:
            own = scores[way, False]
            value, lo, hi = own.interval()
            null = scores[way, True].interval()
            found.results.append(
                {
                    "method": method,
                    "layer": layer,
                    "split": way,
                    "auroc": number(value),
                    "lo": number(lo),
                    "hi": number(hi),
                    "shuffled": number(null.value),
                    "shuffled_lo": number(null.lo),
                    "shuffled_hi": number(null.hi),
                }
            )
        told: dict[str, Any] = {"n": len(data), "unit": f"L{layer}.resid_post:@{train}.{method}"}
        _judge(found, train, layer, method, scores, told | {"reasons": few_groups(groups)})
    found.panels = [_panel(found.results)]
    found.tables = [_table(found.results)]
    return found


def _judge(
    found: Found, train: str, layer: int, method: str, scores: Mapping[tuple[str, bool], Estimate], told: dict[str, Any]
) -> None:
    """Torn below whole; meaningless labels below chance where torn; and whether there is anything to tell, by group."""
    known = (train, layer, method) == ("cities", 4, "logistic")
    shown = f"{PUBLISHED['row']}, {PUBLISHED['group']} by group" if known else ""
    found.findings += [
        scored_below(
            f"{method}, layer {layer}: tested on torn pairs it scores less than by group",
            "AUROC",
            scores["row", False],
            scores["group", False],
            null_name="by group",
            published=shown,
            **told,
        ),
        scored_below(
            f"{method}, layer {layer}: torn pairs push even meaningless labels below chance",
            "AUROC of shuffled labels",
            scores["row", True],
            0.5,
            null_name="chance",
            **told,
        ),
        scored(
            f"{method}, layer {layer}: split by group, it tells {train}",
            "AUROC",
            scores["group", False],
            scores["group", True],
            null_name="shuffled",
            **told,
        ),
    ]


def _table(results: list[dict[str, Any]]) -> Table:
    keys = ("auroc", "lo", "hi", "shuffled", "shuffled_lo", "shuffled_hi")
    titles = ("layer, method, split", "AUROC", "lo", "hi", "shuffled labels", "lo", "hi")
    rows = [[f"{row['layer']} {row['method']}, {WAYS[row['split']]}", *(row[key] for key in keys)] for row in results]
    return Table("Both splits", titles, rows)


def _grouped(data: ConceptData) -> tuple[int, int]:
    """How many groups there are, and how many with both labels. Raises UsageError."""
    labels: dict[str, set[int]] = {}
    for item in data.items:
        labels.setdefault(item.group, set()).add(item.label)
    both = sum(len(own) == 2 for own in labels.values())
    if len(labels) < 2 * _FOLDS:
        raise UsageError(f"{data.name} has {len(labels)} groups, and folds need {2 * _FOLDS}; give more groups")
    if not both:
        raise UsageError(f"{data.name} has no group of both labels, so that no pair can be torn; name another set")
    return len(labels), both


def _mean(bench: Bench, name: str, layer: int, method: str, way: str, null: bool) -> Estimate:
    """AUROC of held-out scores, the mean over repeats; every item is scored once a repeat.

    A resample draws groups, and repeats, too: what folds and shuffles come to by lot is part of the interval.
    """
    data, x = bench.data(name), bench.acts(name, layer).astype(np.float64)
    columns: list[NDArray[np.float64]] = []
    labellings: list[NDArray[np.int64]] = []
    for repeat in range(_REPEATS):
        rng = np.random.default_rng([bench.seed, repeat])
        folds = _folds(data.groups if way == "group" else np.arange(len(data)), rng)
        for labels in (
            [shuffled_labels(data.labels, data.groups, rng) for _ in range(_SHUFFLES)] if null else [data.labels]
        ):
            columns.append(_held_out(x, labels, folds, method, bench.seed))
            labellings.append(labels)
    size = (bench.size.replicates, bench.seed)
    found = [auroc_estimate(one, labels, data.groups, *size) for one, labels in zip(columns, labellings, strict=True)]
    each = np.stack([one.replicates for one in found], 1)
    drawn = np.random.default_rng([bench.seed, len(found)]).integers(0, len(found), each.shape)
    return Estimate(float(np.mean([one.value for one in found])), np.take_along_axis(each, drawn, 1).mean(1))


def _folds(what: NDArray[Any], rng: np.random.Generator) -> NDArray[np.int64]:
    """(n,) the fold of each item; items of one name are in one fold."""
    names, where = np.unique(what, return_inverse=True)
    return rng.permutation(np.arange(len(names)) % _FOLDS)[where]


def _held_out(
    x: NDArray[np.float64], labels: NDArray[np.int64], folds: NDArray[np.int64], method: str, seed: int
) -> NDArray[np.float64]:
    scores = np.zeros(len(x))
    for fold in range(_FOLDS):
        held = folds == fold
        probe = make_probe(method, seed)
        if method == "logistic":
            probe.set_params(C=1.0)
        probe.fit(x[~held], labels[~held])
        scores[held] = probe.decision_function(x[held])
    return scores


def _panel(results: list[dict[str, Any]]) -> Panel:
    rows = [
        {
            "x": f"layer {row['layer']}",
            "y": row[key],
            "lo": row[f"{key}_lo" if key == "shuffled" else "lo"],
            "hi": row[f"{key}_hi" if key == "shuffled" else "hi"],
            "series": f"{WAYS[row['split']]}{', shuffled labels' if key == 'shuffled' else ''}",
        }
        for row in results
        if row["method"] == "logistic" or all(one["method"] != "logistic" for one in results)
        for key in ("auroc", "shuffled")
    ]
    chance = [{"x": x, "y": 0.5, "series": "chance"} for x in dict.fromkeys(row["x"] for row in rows)]
    return Panel(LINES, "AUROC by how items were split (logistic)", "", "AUROC", [*rows, *chance], ("chance",))
