"""Equal means, and yet a threshold finds the concept: what projections off a mean difference leave behind."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.findings.found import LINES, Finding, Found, Panel, Table, absent, few_groups, from_interval, scored
from assay.probe.attacks import run_attacks
from assay.probe.bench import Bench
from assay.probe.erasers import make_fitter
from assay.probe.erasing import Rows, Workplace
from assay.probe.request import EraseRequest

METHODS = ("mean", "tukey", "leace")
SHARE, FAR = 0.1, 9.0  # of A the share that stands at +9 where the rest stand at -1; B is its mirror image
_N, _D = 1200, 3
PUBLISHED = {
    "none": "logistic .50, threshold at 0 .90 (accuracy)",
    "mean": "threshold .90, as before",
    "leace": "threshold .90, as before",
    "tukey": "",
}


def planted(n: int, d: int, seed: int) -> Rows:
    """Two classes with one mean along the first of d coordinates, and a threshold at 0 that tells 90 % of them.

    The means are equal in the rows, not only on average: a difference by chance would be projected off, and the concept
    with it. The other coordinates are noise. Each row is a group.
    """
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], n // 2)
    first = np.concatenate([rng.permutation(np.where(np.arange(n // 2) < SHARE * n // 2, FAR, -1.0)) for _ in range(2)])
    noise = rng.standard_normal((n, d - 1))
    for label in (0, 1):
        noise[labels == label] -= noise[labels == label].mean(0)
    x = np.column_stack([first * np.where(labels == 1, 1.0, -1.0), noise])
    return Rows(x, labels.astype(np.int64), np.arange(n))


def run(bench: Bench, request: EraseRequest) -> Found:
    """Erasers on the planted rows, and on the activations of a data set of which a tenth was moved far out."""
    methods = request.methods or METHODS
    found = Found(
        "Mean ablation guards means, not thresholds",
        "A stands at -1 nine times of ten and at +9 else, B is its mirror image: both have the mean 0. Then: real "
        "activations, and the same with a tenth of each class moved along the mean difference until the means are "
        "equal.",
        notes=[
            "An eraser that equalises means has nothing to do where outliers have done so already; the concept stays "
            "where nine tenths of the rows are. The Tukey median is not moved by a tenth of the rows."
        ],
    )
    name = request.data or "sentiment"
    layers = bench.layers(request.layers, (20,))
    place = Workplace(bench, bench.data(name), layers, 1)
    cases: dict[str, tuple[Rows, Rows]] = {"planted": (planted(_N, _D, bench.seed), planted(_N, _D, bench.seed + 1))}
    for layer in layers:
        fit, test = place.rows(layer).of(place.fit), place.rows(layer).of(place.test)
        cases[f"{name}, layer {layer}"] = fit, test
        cases[f"{name}, layer {layer}, outliers"] = fit._replace(x=moved(fit, bench.seed)), test
    for at, (case, (fit, test)) in enumerate(cases.items()):
        bench.progress(f"erasing {case}", at / len(cases))
        for method in ("none", *methods):
            _one(found, bench, case, fit, test, method)
    found.panels = _panels(found.results)
    found.tables = [_table(found.results)]
    return found


def moved(rows: Rows, seed: int) -> NDArray[np.float64]:
    """The rows with a tenth of each class moved along the mean difference, so that both classes have one mean."""
    rng = np.random.default_rng(seed)
    x = rows.x.copy()
    gap = x[rows.labels == 1].mean(0) - x[rows.labels == 0].mean(0)
    for label, sign in ((1, -0.5), (0, 0.5)):
        own = np.flatnonzero(rows.labels == label)
        chosen = rng.permutation(own)[: max(1, round(SHARE * len(own)))]
        x[chosen] += sign * gap * len(own) / len(chosen)
    return x


def _one(found: Found, bench: Bench, case: str, fit: Rows, test: Rows, method: str) -> None:
    rank, x = 0, test.x
    if method != "none":
        eraser = make_fitter(method, fit.x.shape[1], 1, seed=bench.seed).update(fit.x, fit.labels).eraser
        rank, x = eraser.rank, eraser(test.x)
    attacked = run_attacks(x, test.labels, test.groups, seed=bench.seed)
    row: dict[str, Any] = {"case": case, "method": method, "rank": rank, "attacks": {}}
    for name, one in attacked.items():
        row["attacks"][name] = {"auc": one.auc, "lo": one.lo, "hi": one.hi, "null": one.null, "accuracy": one.accuracy}
    found.results.append(row)
    worst = max(attacked, key=lambda name: attacked[name].auc - attacked[name].null)
    told = attacked[worst]
    estimate = from_interval(told.auc, told.lo, told.hi)
    common: dict[str, Any] = {
        "n": len(test.labels),
        "published": PUBLISHED[method] if case == "planted" and method in PUBLISHED else "",
    }
    reasons = few_groups(len(set(test.groups)))
    if method == "none":
        found.findings.append(
            scored(
                f"{case}: before erasing, {worst} finds the concept",
                "AUC",
                estimate,
                told.null,
                reasons=reasons,
                **common,
            )
        )
        return
    found.findings.append(
        Finding(
            f"{case}: after {method} nothing is left that {worst}, the best attack, finds",
            "AUC",
            told.auc,
            told.lo,
            told.hi,
            nulls={"shuffled": told.null},
            check=absent(estimate, {"shuffled": told.null}, reasons),
            **common,
        )
    )


def _table(results: list[dict[str, Any]]) -> Table:
    names = list(results[0]["attacks"])
    rows = [
        [
            f"{row['case']}: {row['method']}",
            row["rank"],
            *(f"{row['attacks'][name]['auc']:.2f} ({row['attacks'][name]['null']:.2f})" for name in names),
            row["attacks"]["threshold"]["accuracy"] if "threshold" in names else None,
        ]
        for row in results
    ]
    titles = (*(f"{name} (null)" for name in names), "accuracy of the threshold")
    return Table("AUC of each attack, held out, beside shuffled labels", ("rows: eraser", "rank", *titles), rows)


def _panels(results: list[dict[str, Any]]) -> list[Panel]:
    found: list[Panel] = []
    for case in dict.fromkeys(row["case"] for row in results):
        own = [row for row in results if row["case"] == case]
        rows: list[dict[str, Any]] = []
        for row in own:
            rows += [
                {"x": row["method"], "y": one["auc"], "lo": one["lo"], "hi": one["hi"], "series": name}
                for name, one in row["attacks"].items()
            ]
            null = max(one["null"] for one in row["attacks"].values())
            rows.append({"x": row["method"], "y": null, "series": "shuffled labels, the highest"})
        found.append(Panel(LINES, case, "erased by", "AUC, held out", rows, ("shuffled labels, the highest",)))
    return found
