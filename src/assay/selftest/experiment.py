"""The selftest as one function: plant, score, judge, lie, and store what came of it as a run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import numpy as np

from assay.core.memory import peak_rss_mb
from assay.explain.claims import plain_r
from assay.explain.material import Progress
from assay.explain.speaking import make_simulator
from assay.judge import Judge, RemoteJudge
from assay.judge.choose import find_judge
from assay.model.changes import arithmetic
from assay.model.fingerprint import describe
from assay.rules import RuleList
from assay.selftest.bench import SHARES, Bench
from assay.selftest.candidates import TRUTH
from assay.selftest.dishonest import learn, swap_results
from assay.selftest.figure import figure_json, figure_svg
from assay.selftest.hiding import hide_results
from assay.selftest.judges import judge_results
from assay.selftest.request import Effort
from assay.selftest.request import SelftestOutcome as SelftestOutcome
from assay.selftest.request import SelftestRequest as SelftestRequest
from assay.selftest.sanity import LEAST_FALL, LEAST_SHARE, Examined, examine_all, score_results
from assay.selftest.scores import SCORES, Examiner, applies
from assay.selftest.tables import claim_tables, firing_rate, unit_rows
from assay.selftest.verdicts import judge_all, verdict_results
from assay.store import RunWriter, runs_root
from assay.testing import Exhibit, gallery

RATES = (0.0, 0.005, 0.02, 1.0)  # borders between units that fire seldom, about as often as F1 assumes, and often


def _quiet(message: str, share: float | None = None) -> None:
    """Progress that goes nowhere."""


def selftest(request: SelftestRequest, progress: Progress = _quiet, *, judge: Judge | None = None) -> SelftestOutcome:
    """Set every score, the verdict rule and dishonest explainers against a model whose truth was planted.

    Equal requests give equal results: the model runs in one thread, whose sums don't depend on the machine's.
    ``judge`` may be handed in instead of being found by name.

    Raises:
        UnknownName: an effort or a simulator of no known name.
        UsageError: a judge that can't be had, or that can't do what is asked of it.
        MachineError: the run can't be written.
    """
    request.check()
    started, size = time.monotonic(), request.size
    if judge is None and request.judge is not None:
        judge = find_judge(request.judge, None, None, request.max_judge_calls, progress)
    simulator = None if judge is None else make_simulator(request.simulator, judge)
    progress("planting the gallery")
    with _one_thread():
        bench = Bench(gallery(request.seed, size.documents), request.seed, size.replicates, progress)
    with _writer(request, bench) as writer:
        with _one_thread():
            examined, found = _measure(bench, size, progress)
        result: dict[str, Any] = {"run": writer.id, "subject": bench.gallery.subject.name, "effort": request.effort}
        result |= found | {"judge": None}
        if judge is not None and simulator is not None:
            chosen = bench.gallery.exhibits[:: -(-len(bench.gallery.exhibits) // size.judged)]
            result["judge"] = judge_results(bench, judge, simulator, chosen, progress)
        if isinstance(judge, RemoteJudge):
            result["judge"]["account"] = judge.account.to_json()
            writer.file("judge.jsonl", judge.recording())
        result["summary"] = _summary(bench, result["scores"], result["units"], time.monotonic() - started)
        _write(writer, bench, examined, result)
    return SelftestOutcome(writer.path, result)


def _measure(bench: Bench, size: Effort, progress: Progress) -> tuple[Examined, dict[str, Any]]:
    """Scores, verdict and liars: the parts of the result that no judge is needed for."""
    examiner = Examiner.of(bench, size.size, progress)
    examined = examine_all(bench, examiner, bench.gallery.exhibits, progress)
    beyond = [exhibit for exhibit in bench.gallery.exhibits if exhibit.told.rules is None]
    learnt = learn(bench, beyond, progress)
    judged, controls = judge_all(bench, size.runs, size.whole, size.every, learnt, progress)
    dishonest = swap_results(bench, _explanations(bench.gallery.exhibits, learnt), size.swaps)
    dishonest |= hide_results(bench, examiner.behaviour, size.draws, progress)
    return examined, {
        "scores": score_results(examined.scores, bench.seed),
        "verdict": verdict_results(judged, controls),
        "dishonest": dishonest,
        "units": _units(bench, examined, learnt),
    }


@contextmanager
def _one_thread() -> Iterator[None]:
    """Torch in one thread for the length of the block: small products gain nothing from more."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _explanations(exhibits: Sequence[Exhibit], learnt: Mapping[Exhibit, RuleList]) -> dict[Exhibit, RuleList]:
    """What an honest explainer says: the truth where rules can say it, else the best rules that were found."""
    return {exhibit: exhibit.told.rules or learnt[exhibit] for exhibit in exhibits}


def _writer(request: SelftestRequest, bench: Bench) -> RunWriter:
    asked = asdict(request)
    size = request.size._asdict() | {"size": request.size.size._asdict()}
    resolved = asked | size | {"shares": list(SHARES), "effects": arithmetic(bench.gallery.subject), "threads": 1}
    corpus = {
        "name": "gallery",
        "documents": sum(map(len, bench.splits)),
        "tokens": {name: len(values) for name, values in bench.activations.items()},
        "splits_sha256": bench.splits.sha256,
    }
    return RunWriter(
        runs_root(request.out),
        "selftest",
        asked=asked,
        resolved=resolved,
        subject=describe(bench.gallery.subject),
        corpus=corpus,
    )


def _units(bench: Bench, examined: Examined, learnt: Mapping[Exhibit, RuleList]) -> list[dict[str, Any]]:
    """The part ``units`` of the result: what each exhibit is, and what its truth scores."""
    rows: list[dict[str, Any]] = []
    test = bench.parts["test"]
    for exhibit, scored in examined.scores.items():
        row: dict[str, Any] = {
            "unit": str(exhibit.unit),
            "name": exhibit.name,
            "family": exhibit.family,
            "sentence": exhibit.told.sentence,
            "firing_rate": None if exhibit.dense else round(firing_rate(bench, exhibit), 5),
            "contextual": exhibit.contextual,
            "writes": dict(exhibit.writes),
            "decoys": list(exhibit.decoys),
        }
        row |= {
            name: round(float(value), 4)
            for name, kind in SCORES.items()
            if kind.primary and applies(kind, exhibit) and np.isfinite(value := scored[TRUTH][name].value)
        }
        if exhibit in learnt:
            rules = learnt[exhibit]
            said = rules.predict(test.view)
            row["best_rules"] = rules.lines()
            row["best_rules_r"] = round(plain_r(said, bench.of(exhibit, "test")), 4)
        rows.append(row)
    return rows


def _summary(
    bench: Bench, scores: Mapping[str, Any], units: Sequence[Mapping[str, Any]], seconds: float
) -> dict[str, Any]:
    return {
        "units": len(units),
        "families": {family: sum(u["family"] == family for u in units) for family in {u["family"]: 0 for u in units}},
        "mean_r": scores["r"]["truth"],
        "needs": {"share": LEAST_SHARE, "fall": LEAST_FALL},
        "decoys": sum(len(u["decoys"]) for u in units),
        "by_rate": [_at_rate(units, low, high) for low, high in pairwise(RATES)],
        "tokens": bench.n_tokens,
        "documents": sum(map(len, bench.splits)),
        "seconds": round(seconds, 1),
        "peak_rss_mb": round(peak_rss_mb(), 1),
    }


def _at_rate(units: Sequence[Mapping[str, Any]], low: float, high: float) -> dict[str, Any]:
    """What F1 and AUPRC give the truth of units of the family "rules" that fire at such a rate."""
    own = [u for u in units if u["family"] == "rules" and low <= u["firing_rate"] < high]
    means = {name: round(float(np.mean([u[name] for u in own])), 4) if own else None for name in ("r", "f1", "auprc")}
    return {"from": low, "to": high, "units": len(own), **means}


def _write(writer: RunWriter, bench: Bench, examined: Examined, result: dict[str, Any]) -> None:
    claims, evidence = claim_tables(bench, examined)
    for name, rows in {"units": unit_rows(bench), "claims": claims, "evidence": evidence}.items():
        writer.table(name, rows)
    writer.result(result)
    writer.file("figure.json", figure_json(result))
    writer.file("figure.svg", figure_svg(result))
