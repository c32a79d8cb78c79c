"""Held-out items hide the wrong concept: what tells true from false of the same template can turn over with a "not"."""

from __future__ import annotations

from typing import Any

from assay.errors import UsageError
from assay.findings.found import Finding, Found, number
from assay.probe.bench import Bench
from assay.probe.detecting import Cell, Detector, without_activations
from assay.probe.grounds import grounds
from assay.probe.request import ProbeRequest
from assay.probe.studies.detection import panels, row_of
from assay.referee import CheckInput

METHODS = ("mean_diff", "lda", "logistic", "lat", "ccs")
PUBLISHED = {
    ("logistic", "cities", 20): ".92",
    ("logistic", "neg_cities", 20): ".07",
    ("logistic", "translations", 20): ".48",
    ("mean_diff", "translations", 20): ".70",
    ("lat", "cities", 20): ".84",
    ("lat", "cities", 24): ".44",
}


def run(bench: Bench, request: ProbeRequest) -> Found:
    """The probes of one set at several layers, on its held-out groups, on its negation and on other facts."""
    train = request.data or "cities"
    if train != "cities" and not request.transfer:
        raise UsageError(f"--experiment ood with --data {train} needs --transfer, such as a set of negations, neg_NAME")
    transfer = request.transfer or ("neg_cities", "translations")
    layers = bench.layers(request.layers, (4, 12, 20, 24, 28))
    set_apart = grounds(bench, train, transfer)
    bench.read([train, *transfer], [0, *layers])
    words = without_activations(bench, set_apart)
    negated = [name for name in transfer if name.startswith("neg_")]
    found = Found(
        "Held-out items hide the wrong concept",
        f"Probes fitted on {train}; held-out groups of it share its template, {', '.join(transfer)} do not.",
        notes=[f"Fitted on {len(set_apart.fit.rows):,} items; tests have no group of them."],
    )
    for at, layer in enumerate(layers):
        bench.progress(f"probing layer {layer}", at / len(layers))
        detector = Detector(bench, set_apart, layer)
        for method in request.methods or METHODS:
            for cell in detector.cells(method, words):
                _add(found, cell, train, cell.test in negated)
    found.panels = panels(found.results, train)
    return found


def _add(found: Found, cell: Cell, train: str, negated: bool) -> None:
    """In distribution the claim is that it tells; on a negation, that it tells the contrary."""
    about = f"{cell.method}, layer {cell.layer}, fitted on {train}"
    told = {
        "n": cell.n,
        "unit": f"L{cell.layer}.resid_post:@{train}.{cell.method}",
        "published": PUBLISHED.get((cell.method, cell.test, cell.layer), "") if train == "cities" else "",
        "result": len(found.results),
    }
    if negated:
        claim = f"{about}: turned over on {cell.test} (AUROC below .5)"
        found.findings.append(_turned_over(claim, cell, told))
    else:
        claim = f"{about}: tells {cell.test}"
        nulls = {name: number(one.value) for name, one in cell.nulls.items()}
        beside = {name: None if one is None else one.value for name, one in cell.references.items()}
        found.findings.append(
            Finding(claim, "AUROC", *cell.score.interval(), nulls=nulls, references=beside, check=cell.check, **told)
        )
        found.controls += cell.as_controls
    found.results.append(row_of(cell))


def _turned_over(claim: str, cell: Cell, told: dict[str, Any]) -> Finding:
    """Below constant .5, and below what probes of shuffled labels get as often as above: their null, mirrored."""
    mirrored = {name: cell.nulls[name] for name in ("constant", "shuffled")}
    nulls = {name: number(1 - one.value) for name, one in mirrored.items()}
    check = CheckInput(
        1 - cell.score.value,
        {name: one.value for name, one in mirrored.items()},
        1 - cell.score.replicates,
        {name: one.replicates for name, one in mirrored.items()},
        cell.check.reasons,
    )
    return Finding(claim, "AUROC", *cell.score.interval(), nulls=nulls, check=check, **told)
