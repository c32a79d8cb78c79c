"""Does it get better with scale? The same trial over models of several sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scipy.stats import spearmanr

from assay.errors import UsageError
from assay.findings.found import LINES, Finding, Found, Panel, Table, number
from assay.model import load
from assay.steer.bench import Bench
from assay.steer.outcome import Outcome, outcome
from assay.steer.request import SteerRequest
from assay.steer.studies import EXPERIMENTS, LADDER
from assay.steer.studies.trial import trial

_FEWEST = 5  # models that a correlation is told of


def run(bench: Bench) -> Found:
    """Every method on every model, each with layers of its own; the first model is the one that was asked for."""
    behaviour, request = bench.behaviour, bench.request
    names, methods = request.models or LADDER, request.methods or EXPERIMENTS["scale"].methods
    if behaviour.style == "chat":
        raise UsageError(f"the concept {behaviour.name} needs models that chat; take one of style text for scale")
    found = Found(
        f"Steering to {behaviour.name}, by size",
        "Does it get better with scale?",
        notes=[
            "Every model has the trial that one model has: layer and dose are chosen on one half of the prompts, under "
            f"a KL of {request.kl_cap:g} nats, and reported on the other, beside placebos of that model. Models differ "
            "in how many of the scored words they have as one token, so compare effects with their own nulls.",
        ],
        posing="placebos",
    )
    for step, name in enumerate(names):
        bench.progress(f"{name}: loading", step / len(names))
        own = _bench(bench, name)
        for method in methods:
            bench.progress(f"{name}: {method}", (step + 0.5) / len(names))
            try:
                _, measured = trial(own, method)
            except UsageError as error:
                if len(names) == 1:
                    raise
                _unscored(found, name, method, str(error))
                continue
            _tell(found, own, name, method, outcome(measured, measured["dose"], own.setting))
    found.tables, found.panels = [_table(found.results)], _panels(found.results, methods)
    for method in methods:
        found.findings += _with_size(found.results, method)
    return found


def _bench(bench: Bench, name: str) -> Bench:
    """The same request for another model."""
    request: SteerRequest = bench.request
    known = bench.subject.name == name
    subject = bench.subject if known else load(name, request.dtype, request.device, bench.progress)
    return Bench(subject, bench.behaviour, request, bench.progress, bench.writer, f"{name.replace('/', '--')}-")


def _tell(found: Found, own: Bench, name: str, method: str, one: Outcome) -> None:
    value, lo, hi = one.effect.interval()
    found.findings.append(
        Finding(
            f"{name}, {method}: the next word leans to {own.behaviour.name}",
            "rise of log odds, nats",
            value,
            lo,
            hi,
            n=len(own.rows[1]),
            nulls={**{null: estimate.value for null, estimate in one.nulls.items()}, "untreated": 0.0},
            references={"KL": one.kl.value},
            check=one.check,
            result=len(found.results),
        )
    )
    found.controls += one.controls
    weights = sum(p.numel() for p in own.subject.model.parameters())
    found.results.append(
        {
            "model": name,
            "fingerprint": own.subject.fingerprint,
            "parameters": weights,
            "layers": own.subject.n_layers,
            "words": [len(side) for words in own.to_report.scored.words[:1] for side in words],
            "method": method,
            "effect": number(value),
            "lo": number(lo),
            "hi": number(hi),
            "null_hi": number(max(null.value for null in one.nulls.values())),
            "kl": number(one.kl.value),
            "kl_lo": number(one.kl.interval().lo),
            "kl_hi": number(one.kl.interval().hi),
            "kl_random": number(one.placebo_kl),
            "perplexity_ratio": number(one.ratio.value),
            "perplexity_ratio_random": number(one.placebo_ratio),
            **dict(zip(("wrong_way", "wrong_way_lo", "wrong_way_hi"), one.wrong_way, strict=True)),
            "wrong_way_random": one.placebo_wrong_way,
            "verdict": None,
            "reason": "",
        }
    )


def _unscored(found: Found, name: str, method: str, why: str) -> None:
    """A model that the trial can't be made with, and why; the others keep theirs."""
    claim = f"{name}, {method}: the next word leans there"
    found.findings.append(Finding(claim, "rise of log odds, nats", None, unscored=why, result=len(found.results)))
    keys = ("parameters", "layers", "effect", "lo", "hi", "null_hi", "kl", "perplexity_ratio", "wrong_way")
    found.results.append({"model": name, "method": method, **dict.fromkeys(keys), "verdict": None, "reason": why})


def _with_size(results: Sequence[dict[str, Any]], method: str) -> list[Finding]:
    """Rank correlation of size and effect above the null; described, as models are few."""
    own = [row for row in results if row["method"] == method and row["effect"] is not None]
    if len({row["parameters"] for row in own}) < 3 or len(own) < _FEWEST:
        return []
    surplus = [row["effect"] - row["null_hi"] for row in own]
    rank: Any = spearmanr([row["parameters"] for row in own], surplus)
    claim = f"{method}: the effect above its null grows with the number of weights"
    return [
        Finding(
            claim,
            "Spearman",
            number(float(rank.statistic)),
            n=len(own),
            references={"p, two-sided": number(float(rank.pvalue))},
        )
    ]


def _table(results: Sequence[dict[str, Any]]) -> Table:
    rows = [
        [
            f"{row['model']}, {row['method']}",
            row["parameters"],
            row["layers"],
            " + ".join(map(str, row["words"])),
            f"{row['effect']:.2f} [{row['lo']:.2f} {row['hi']:.2f}]",
            row["null_hi"],
            f"{row['kl']:.2f} [{row['kl_lo']:.2f} {row['kl_hi']:.2f}]",
            row["kl_random"],
            f"{row['wrong_way']:.2f} [{row['wrong_way_lo']:.2f} {row['wrong_way_hi']:.2f}]",
            row["wrong_way_random"],
        ]
        for row in results
        if row["effect"] is not None
    ]
    columns = ("model, method", "weights", "layers", "words scored", "effect, nats", "null")
    columns += ("KL", "random", "wrong way", "random")
    return Table("By size", columns, rows)


def _panels(results: Sequence[dict[str, Any]], methods: Sequence[str]) -> list[Panel]:
    found: list[Panel] = []
    for method in methods:
        own = [row for row in results if row["method"] == method and row["effect"] is not None]
        rows = [
            {"x": row["model"], "y": row["effect"], "lo": row["lo"], "hi": row["hi"], "series": method} for row in own
        ]
        rows += [{"x": row["model"], "y": row["null_hi"], "series": "null"} for row in own]
        if own:
            found.append(Panel(LINES, method, "", "rise of log odds, nats", rows, nulls=["null"]))
    return found
