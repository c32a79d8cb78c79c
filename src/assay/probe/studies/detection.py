"""Probes of one data set at several layers, tested on held-out groups of it and on others."""

from __future__ import annotations

from typing import Any

from assay.core.ids import SiteId
from assay.findings.found import LINES, Finding, Found, Panel, number
from assay.probe.bench import Bench
from assay.probe.detecting import BASELINES, Cell, Detector, without_activations
from assay.probe.grounds import Grounds, grounds
from assay.probe.request import PROBED, ProbeRequest


def run(bench: Bench, request: ProbeRequest) -> Found:
    """Every method at every layer on every test."""
    train = request.data or "cities"
    set_apart = grounds(bench, train, request.transfer, request.split, request.tear)
    layers = bench.layers(request.layers)
    bench.read([train, *request.transfer], [0, *layers])
    words = without_activations(bench, set_apart)
    methods = request.methods or PROBED
    title = f"Is it represented? {bench.data(train).about.rstrip('.')}"
    asked = f"Probes fitted on {train}, tested on {_told(set_apart)}."
    found = Found(title, asked, notes=_notes(bench, set_apart))
    directions: dict[str, Any] = {}
    for at, layer in enumerate(layers):
        bench.progress(f"probing layer {layer}", at / len(layers))
        detector = Detector(bench, set_apart, layer)
        for method in methods:
            for cell in detector.cells(method, words):
                add(found, cell)
            site = SiteId(layer, "resid_post")
            directions[f"L{layer}.{train}.{method}"] = detector.last.direction(site, {"data": train, "method": method})
    bench.keep_directions(directions)
    found.panels = panels(found.results, train)
    return found


def add(found: Found, cell: Cell) -> None:
    """A cell as a row of the results, and as a finding that its probe tells the concept there."""
    found.findings.append(
        Finding(
            f"{cell.method} at layer {cell.layer}, fitted on {cell.train}, tells {cell.test}",
            "AUROC",
            *cell.score.interval(),
            n=cell.n,
            nulls={name: one.value for name, one in cell.nulls.items()},
            references={name: None if one is None else one.value for name, one in cell.references.items()},
            check=cell.check,
            unit=f"L{cell.layer}.resid_post:@{cell.train}.{cell.method}",
            result=len(found.results),
        )
    )
    found.controls += cell.as_controls
    found.results.append(row_of(cell))


def row_of(cell: Cell) -> dict[str, Any]:
    """A cell as the command prints it; the verdict comes when all are judged."""
    value, lo, hi = cell.score.interval()
    null = max(cell.nulls, key=lambda name: cell.nulls[name].value)
    beside = {name: None if (one := cell.references.get(name)) is None else number(one.value) for name in BASELINES}
    beside |= {name: number(one.value) for name, one in cell.nulls.items() if name != "constant"}
    return {
        "method": cell.method,
        "layer": cell.layer,
        "train": cell.train,
        "test": cell.test,
        "auroc": number(value),
        "lo": number(lo),
        "hi": number(hi),
        "null_hi": number(cell.nulls[null].value),
        "null": null,
        "baselines": beside,
        "beyond_words": cell.beyond_words,
        "accuracy": cell.accuracy,
        "n": cell.n,
        "groups": cell.groups,
    }


def panels(results: list[dict[str, Any]], train: str) -> list[Panel]:
    """A panel a test: AUROC by layer, a line a method, beside the strongest null."""
    found: list[Panel] = []
    for test in dict.fromkeys(row["test"] for row in results):
        own = [row for row in results if row["test"] == test]
        rows = [
            {"x": row["layer"], "y": row["auroc"], "lo": row["lo"], "hi": row["hi"], "series": row["method"]}
            for row in own
        ]
        for layer in dict.fromkeys(row["layer"] for row in own):
            here = [row for row in own if row["layer"] == layer]
            rows.append({"x": layer, "y": max(row["null_hi"] for row in here), "series": "strongest null"})
            words = here[0]["baselines"]["bag_of_words"]
            rows.append({"x": layer, "y": words, "series": "bag of words"})
        where = "what is held out of it" if test == train else test
        nulls = ("strongest null", "bag of words")
        found.append(Panel(LINES, f"Fitted on {train}, tested on {where}", "layer", "AUROC", rows, nulls))
    return found


def _told(grounds: Grounds) -> str:
    return ", ".join(
        f"{name} ({len(one.rows):,} items, {len(set(one.groups)):,} groups)" for name, one in grounds.tests.items()
    )


def _notes(bench: Bench, grounds: Grounds) -> list[str]:
    rows, width = len(grounds.fit.rows), bench.subject.d_model
    own = grounds.tests[grounds.fit.data.name]
    torn = len(set(grounds.fit.groups) & set(own.groups))
    apart = f"split by row: {torn:,} of their groups are in the test too" if torn else "no group of them is in any test"
    notes = [f"Fitted on {rows:,} items; {apart}."]
    if rows <= width:
        notes.append(
            f"{rows:,} rows and {width:,} dimensions: any labelling of the rows fitted on can be told apart "
            "perfectly, so only scores on held-out groups say anything, and unregularised methods will do badly "
            "there."
        )
    if not bench.data(grounds.fit.data.name).ask:
        notes.append("The data ask the model nothing, so that there is no answer of its own to compare with.")
    return notes
