"""One direction, four jobs: does it detect, steer, erase and silence? Each in distribution and out of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.findings.found import MATRIX, Finding, Found, Panel, Table, absent, few_groups, from_interval, number, scored
from assay.probe.acting import DOSE, Tools
from assay.probe.bench import Bench
from assay.probe.detecting import Cell, Detector, without_activations
from assay.probe.grounds import grounds
from assay.probe.request import ProbeRequest
from assay.stats.bootstrap import Estimate

METHODS = ("mean_diff", "logistic", "lda", "lat", "ccs")
PUBLISHED = {
    "mean_diff": "AxBench: detects .942, steers .239",
    "logistic": "AxBench: detects .940, steers .098",
}
TRAIN, ELSEWHERE = "sentiment", "sentiment_letters"
WHERE = {"iid": "same templates", "ood": "letters"}


def run(bench: Bench, request: ProbeRequest) -> Found:
    """Every method at one layer or several; random directions of the same length are the null of each job."""
    layers = bench.layers(request.layers, (12, 20))
    set_apart = grounds(bench, TRAIN, (ELSEWHERE,))
    bench.read([TRAIN, ELSEWHERE], [0, *layers])
    words = without_activations(bench, set_apart)
    places = dict(zip(("iid", "ood"), set_apart.tests, strict=True))
    found = Found(
        "One direction, four jobs",
        f"Directions for {TRAIN}: each detects, steers, erases and silences, on held-out words in the same templates "
        f"and on {ELSEWHERE}.",
        notes=[
            f"Detect: AUROC. Steer: rise of the log odds of good over bad words when {DOSE:g} of the "
            "median length of the residual is added at every token, in nats. Erase: AUC of the best attack on what "
            "is left when the direction is projected off; .5 is gone. Silence: share of the gap in those log odds "
            "between praise and complaint that goes when the direction is held at its mean at every token. None of "
            "the words scored stands in the data that directions are fitted on.",
        ],
    )
    for at, layer in enumerate(layers):
        tools = Tools(bench, layer, set_apart.fit, {where: set_apart.tests[name] for where, name in places.items()})
        detector = Detector(bench, set_apart, layer)
        for step, method in enumerate(request.methods or METHODS):
            bench.progress(f"{method} at layer {layer}", (at + step / len(METHODS)) / len(layers))
            cells = {cell.test: cell for cell in detector.cells(method, words)}
            for where, name in places.items():
                row = _row(found, tools, detector.last.coef_[0], cells[name], where)
                found.results.append({"method": method, "layer": layer, "where": where, **row})
    found.panels = [_panel(found.results, layer) for layer in layers]
    found.tables = [_table(found.results)]
    return found


def _row(found: Found, tools: Tools, weights: NDArray[np.float64], cell: Cell, where: str) -> dict[str, Any]:
    """All four jobs of one direction, as findings and as a row."""
    unit = weights / np.linalg.norm(weights)
    about = f"{cell.method}, layer {cell.layer}, {WHERE[where]}"
    common: dict[str, Any] = {"unit": f"L{cell.layer}.resid_post:@{cell.train}.{cell.method}"}
    published = PUBLISHED.get(cell.method, "") if where == "iid" else ""
    found.findings.append(
        Finding(
            f"{about}: it detects",
            "AUROC",
            *cell.score.interval(),
            n=cell.n,
            nulls={name: one.value for name, one in cell.nulls.items()},
            check=cell.check,
            published=published,
            **common,
        )
    )
    found.controls += cell.as_controls
    row: dict[str, Any] = {"detect": _told(cell.score, max(one.value for one in cell.nulls.values()))}
    steer, silence = tools.steer(unit, where), tools.silence(unit, where)
    for name, job, measure in (("steer", steer, "nats / 10"), ("silence", silence, "share of the gap")):
        found.findings.append(
            scored(
                f"{about}: it {name}s",
                measure,
                job.score,
                job.null,
                null_name="random",
                n=job.n,
                reasons=few_groups(job.groups),
                **common,
            )
        )
        row[name] = _told(job.score, job.null.value) | {"groups": job.groups} | job.more
    attack, value, lo, hi, null = tools.left(unit, where)
    estimate = from_interval(value, lo, hi)
    found.findings.append(
        Finding(
            f"{about}: projected off, nothing is left that {attack} finds",
            "AUC",
            value,
            lo,
            hi,
            n=cell.n,
            nulls={"shuffled": null},
            check=absent(estimate, {"shuffled": null}, few_groups(cell.groups)),
            **common,
        )
    )
    row["erase"] = {"value": value, "lo": lo, "hi": hi, "null": null, "attack": attack}
    return row


def _told(score: Estimate, null: float) -> dict[str, Any]:
    value, lo, hi = score.interval()
    return {"value": number(value), "lo": number(lo), "hi": number(hi), "null": number(null)}


_JOBS = ("detect", "steer", "erase", "silence")


def _panel(results: list[dict[str, Any]], layer: int) -> Panel:
    rows: list[dict[str, Any]] = []
    for row in results:
        if row["layer"] != layer:
            continue
        for job in _JOBS:
            one = row[job]
            value = {
                "detect": one["value"],
                "steer": None if one["value"] is None else float(np.clip(0.5 + one["value"] - one["null"], 0, 1)),
                "erase": 1 - 2 * max(0.0, one["value"] - 0.5),
                "silence": None if one["value"] is None else float(np.clip(one["value"], 0, 1)),
            }[job]
            times, signs = (10, "+.1f") if job == "steer" else (1, ".2f")
            lo, hi = (format(times * (one[end] or 0.0), signs) for end in ("lo", "hi"))
            shown = f"{times * (one['value'] or 0.0):{signs}} [{lo} {hi}]"
            rows.append({"x": f"{job}, {row['where']}", "y": row["method"], "value": value, "text": shown})
    rows.sort(key=lambda row: [f"{job}, {where}" for job in _JOBS for where in WHERE].index(row["x"]))
    return Panel(MATRIX, f"Layer {layer}: blue does the job, vermilion does not", "", "", rows)


def _table(results: list[dict[str, Any]]) -> Table:
    def told(one: dict[str, Any], times: float = 1.0) -> str:
        value, lo, hi, null = (times * (one[name] or 0.0) for name in ("value", "lo", "hi", "null"))
        return f"{value:.2f} [{lo:.2f} {hi:.2f}], null {null:.2f}"

    rows = [
        [
            f"{row['layer']} {row['method']}, {row['where']}",
            told(row["detect"]),
            told(row["steer"], 10.0),
            f"{row['steer']['kl']:.2f}",
            f"{told(row['erase'])} ({row['erase']['attack']})",
            told(row["silence"]),
        ]
        for row in results
    ]
    titles = ("detect, AUROC", "steer, nats", "KL", "erase, AUC left", "silence, share of the gap")
    return Table("Every direction at every job", ("layer, method", *titles), rows)
