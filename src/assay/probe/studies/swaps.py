"""CDE beside RLACE and others at equal rank: does the output follow when only what an eraser takes out is swapped?

Over layers and seeds, on held-out names, held-out templates and harder prompts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import UsageError
from assay.findings.found import LINES, Finding, Found, Panel, Table, few_groups, number, scored
from assay.probe.bench import Bench
from assay.probe.erasers.eraser import Eraser
from assay.probe.erasing import Workplace
from assay.probe.prompts import prompt_pairs
from assay.probe.request import EraseRequest
from assay.probe.swap import read_pairs, swap_success
from assay.referee import exceeded_by_few
from assay.stats.bootstrap import Estimate
from assay.stats.nulls import random_directions

METHODS = ("mean", "leace", "rlace", "cde")
RANDOM = "random"
_DEPTHS = (0.0, 0.25, 0.47, 0.73, 0.97)  # of the published layers 0, 7, 13, 20, 27 of 28
_RANDOM = 20
_HIGHEST = f"random subspaces, the highest of {_RANDOM}"
_PAIRS, _PAIRS_RANDOM = 64, 16  # of each test; random subspaces do next to nothing, which few pairs show
TESTS = ("held-out names", "held-out templates")
PUBLISHED = {
    "cde": (0.97, 0.95, 0.88, 0.79, 0.75),
    "rlace": (0.95, 0.69, 0.86, 0.70, 0.67),
    "mean": (0.02, 0.02, 0.13, 0.16, 0.38),
}


def run(bench: Bench, request: EraseRequest) -> Found:
    """Every method at every layer with every seed; random directions of the same rank are the null."""
    name = request.data or "gender"
    hard = "gender_hard" if name == "gender" else None
    layers = bench.layers(request.layers, _usual(bench.subject.n_layers))
    methods = request.methods or METHODS
    place = Workplace(bench, bench.data(name), layers, request.rank)
    if place.pairs is None:
        raise UsageError(
            f"{name} has no pairs of prompts with an answer each, so that nothing can be swapped; use gender"
        )
    arena = _Arena(bench, place, hard, layers)
    found = Found(
        "Whose output follows the swap?",
        f"{name}: the run of one prompt gets, at one layer, what an eraser of rank {request.rank} takes out of the "
        "other prompt’s residual. Success: share of the way that the answers’ log-probabilities go to the other "
        "prompt’s.",
        notes=[
            *place.notes,
            f"Fitted on {len(arena.templates) - len(arena.held)} of {len(arena.templates)} templates; "
            f"{', '.join(sorted(arena.held))} are never fitted on. Bars in the figure are the least and the greatest "
            f"of the seeds: the spread is part of the claim. Null: the highest of {_RANDOM} random subspaces of the "
            "same rank, which one more exceeds once in 21 times.",
        ],
    )
    seeds = range(bench.size.seeds)
    work = [
        (layer, method, seed)
        for layer in layers
        for method in (RANDOM, *methods)
        for seed in seeds
        if method != RANDOM or seed == 0
    ]
    for at, (layer, method, seed) in enumerate(work):
        bench.progress(f"{method} at layer {layer}, seed {seed}", at / len(work))
        row = bench.part(f"L{layer}-{method}-{seed}", lambda w=(layer, method, seed): arena.one(*w))
        found.results.append(row)
    _judge(found, layers, methods)
    found.panels = [_panel(found.results, test) for test in arena.tests]
    found.tables = [_table(found.results, test, methods) for test in arena.tests]
    for row in found.results:
        for told in row["tests"].values():
            told.pop("replicates")
    return found


def _usual(n_layers: int) -> tuple[int, ...]:
    return tuple(dict.fromkeys(min(n_layers - 2, round(depth * (n_layers - 1))) for depth in _DEPTHS))


class _Arena:
    """Pairs to fit on, and pairs of each test, read at all layers."""

    def __init__(self, bench: Bench, place: Workplace, hard: str | None, layers: tuple[int, ...]) -> None:
        assert place.pairs is not None
        self.bench, self.place = bench, place
        self.templates = sorted({str(name) for name in place.pairs.templates})
        held = np.random.default_rng([bench.seed, 3]).permutation(self.templates)[: max(1, len(self.templates) // 4)]
        self.held = set(held.tolist())
        self.tests: list[str] = [*TESTS]
        self.hard: dict[int, Any] = {}
        if hard is not None:
            pairs, dropped = prompt_pairs(bench.data(hard), bench.exact)
            known = set(place.fit)
            apart = np.array([group not in known for group in pairs.groups])
            if apart.any():
                self.hard = read_pairs(bench.exact, layers, pairs.select(self._some(np.flatnonzero(apart))))
                self.tests.append(hard)
            place.notes.append(f"{hard}: {dropped}.")

    def reading(self, layer: int, test: str | None, seed: int = 0) -> Any:
        """What is fitted on (no test), or the pairs of a test."""
        if test is not None and test not in TESTS:
            return self.hard[layer]
        groups = self.place.drawn(seed) if test is None else self.place.test
        whole = self.place.readings[layer]
        own = np.isin(whole.pairs.groups.astype(str), groups)
        outside = np.isin(whole.pairs.templates.astype(str), sorted(self.held))
        rows = np.flatnonzero(own & (outside if test == TESTS[1] else ~outside))
        return whole.select(rows if test is None else self._some(rows))

    def _some(self, rows: NDArray[np.int64], most: int = _PAIRS) -> NDArray[np.int64]:
        """At most so many pairs to test on, always the same."""
        return np.sort(np.random.default_rng([self.bench.seed, 4]).permutation(rows)[:most])

    def one(self, layer: int, method: str, seed: int) -> dict[str, Any]:
        """One eraser, or the random ones, on every test."""
        bench = self.bench
        if method == RANDOM:
            erasers = self._random(layer)
        else:
            erasers = [self.place.fit_on(method, layer, self.reading(layer, None, seed), seed)]
        tests: dict[str, Any] = {}
        for test in self.tests:
            own = self.reading(layer, test)
            own = own.select(self._some(np.arange(len(own.pairs)), _PAIRS_RANDOM)) if method == RANDOM else own
            results = [swap_success(bench.exact, own, one, replicates=bench.size.replicates) for one in erasers]
            values = [one.success.value for one in results]
            tests[test] = {
                "success": float(np.mean(values)),
                "null": float(exceeded_by_few(np.array([values]))[0]) if method == RANDOM else None,
                "shift": float(np.mean([one.shift.value for one in results])),
                "lo": number(results[0].success.interval().lo),
                "hi": number(results[0].success.interval().hi),
                "n": len(own.pairs),
                "groups": len(set(own.pairs.groups.tolist())),
                "replicates": results[0].success.replicates.round(4).tolist() if method != RANDOM else [],
            }
        return {"layer": layer, "method": method, "seed": seed, "rank": erasers[0].rank, "tests": tests}

    def _random(self, layer: int) -> list[Eraser]:
        d, rank = self.bench.exact.d_model, self.place.rank
        found: list[Eraser] = []
        for number_ in range(_RANDOM):
            basis = np.linalg.qr(random_directions(d, rank, self.bench.seed * 1000 + number_).T)[0]
            found.append(Eraser(basis, basis.T, np.zeros(d), RANDOM))
        return found


def _rows(results: list[dict[str, Any]], layer: int, method: str) -> list[dict[str, Any]]:
    return [row for row in results if row["layer"] == layer and row["method"] == method]


def _judge(found: Found, layers: tuple[int, ...], methods: tuple[str, ...]) -> None:
    """Each method against random subspaces, on every test; then the spread of RLACE beside that of CDE."""
    first = found.results[0]["tests"]
    for place, layer in enumerate(layers):
        null = _rows(found.results, layer, RANDOM)[0]["tests"]
        for method in methods:
            own = _rows(found.results, layer, method)
            for test in first:
                told = [row["tests"][test] for row in own]
                drawn = np.mean([one["replicates"] for one in told], axis=0)
                given = PUBLISHED.get(method, ())
                shown = (
                    f"GPT-J {given[place]:.2f}" if test == TESTS[0] and place < len(given) and len(layers) == 5 else ""
                )
                found.findings.append(
                    scored(
                        f"{method} at layer {layer}: the output follows the swap, {test}",
                        "swap success, mean over seeds",
                        Estimate(float(np.mean([one["success"] for one in told])), drawn),
                        null[test]["null"],
                        null_name="random subspaces",
                        n=told[0]["n"],
                        reasons=few_groups(told[0]["groups"]),
                        references={"least of the seeds": min(one["success"] for one in told)}
                        | {"greatest": max(one["success"] for one in told)},
                        published=shown,
                        unit=f"L{layer}.resid_post:@{method}",
                    )
                )
    _spread(found, layers, methods)


def _spread(found: Found, layers: tuple[int, ...], methods: tuple[str, ...]) -> None:
    for method in methods:
        ranges = [
            max(values) - min(values)
            for layer in layers
            if (values := [row["tests"][TESTS[0]]["success"] for row in _rows(found.results, layer, method)])
        ]
        found.findings.append(
            Finding(
                f"{method}: greatest minus least success over the seeds, the mean over layers",
                "range of swap success",
                float(np.mean(ranges)),
                n=len(_rows(found.results, layers[0], method)),
                references={"largest": max(ranges)},
                published="RLACE is inconsistent from run to run" if method == "rlace" else "",
            )
        )


def _panel(results: list[dict[str, Any]], test: str) -> Panel:
    rows: list[dict[str, Any]] = []
    for layer in dict.fromkeys(row["layer"] for row in results):
        for method in dict.fromkeys(row["method"] for row in results):
            values = [row["tests"][test]["success"] for row in _rows(results, layer, method)]
            null = _rows(results, layer, method)[0]["tests"][test]["null"]
            name = _HIGHEST if method == RANDOM else method
            value = null if method == RANDOM else float(np.mean(values))
            spread = {} if method == RANDOM else {"lo": min(values), "hi": max(values)}
            rows.append({"x": layer, "y": value, "series": name, **spread})
    return Panel(
        LINES,
        f"Swap success on {test} (bars: seeds)",
        "layer",
        "success",
        rows,
        (_HIGHEST,),
    )


def _table(results: list[dict[str, Any]], test: str, methods: tuple[str, ...]) -> Table:
    rows: list[list[Any]] = []
    for layer in dict.fromkeys(row["layer"] for row in results):
        cells: list[Any] = []
        for method in methods:
            values = [row["tests"][test]["success"] for row in _rows(results, layer, method)]
            cells.append(f"{np.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})")
        cells.append(_rows(results, layer, RANDOM)[0]["tests"][test]["null"])
        rows.append([str(layer), *cells])
    return Table(
        f"Swap success on {test}: mean (least to greatest) over seeds", ("layer", *methods, "random, highest"), rows
    )
