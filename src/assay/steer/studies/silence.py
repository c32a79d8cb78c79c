"""Silencing: when a direction is held still, does the behaviour go? And what else goes?"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.core.ids import SiteId
from assay.errors import UsageError
from assay.findings.found import LINES, Found, Panel, Table, few_groups, number, scored
from assay.fit.probes import METHODS as PROBES
from assay.referee import exceeded_by_few
from assay.stats.bootstrap import Estimate, document_weights
from assay.steer.bench import Bench
from assay.steer.harm import Neutral
from assay.steer.holding import ALL, ONE, Held, held
from assay.steer.methods import make
from assay.steer.outcome import harm_of, off_target
from assay.steer.scoring import Scored
from assay.steer.script import Read
from assay.steer.studies import EXPERIMENTS
from assay.steer.studies.telling import aside, bounded
from assay.steer.treatment import Pushes
from assay.steer.trial import WHOLE


class Prompts(NamedTuple):
    """Prompts that call for the behaviour, and neutral ones."""

    loaded: Scored
    neutral: Scored


def run(bench: Bench) -> Found:
    """Every direction at every layer, held there and at all layers. Nothing is chosen, so all prompts are reported."""
    behaviour = bench.behaviour
    if not behaviour.loaded or (behaviour.choices and len(behaviour.loaded) != len(behaviour.choices)):
        raise UsageError(
            f"the concept {behaviour.name} has no prompts that call for it; silencing needs some in 'loaded'"
        )
    names = bench.request.methods or EXPERIMENTS["silence"].methods
    for name in names:
        if name not in PROBES:
            raise UsageError(f"{name} gives no direction of the residual that could be held; take {', '.join(PROBES)}")
    found = Found(
        f"Silencing {behaviour.name}",
        "When a direction is held still, does the model stop doing it where it is called for? And what else stops?",
        notes=[
            "The gap is the log odds of the behaviour at prompts that call for it less those at neutral prompts. Held: "
            "what lies along the direction is its mean over neutral text, at every token but the first of all, where "
            "models park attention, at the layer it was found at or at all; what costs more than a KL of "
            f"{bench.request.kl_cap:g} nats on neutral text is not judged. The null is what one in twenty random "
            "directions, held in the same way, exceeds. Directions are fitted on the pairs; nothing is chosen on what "
            "is reported. Off target stands what happens to words of other concepts at the prompts that call for this "
            "one, beside nine in ten random directions.",
        ],
    )
    prompts = Prompts(bench.scored(behaviour.loaded, list(bench.off_target.values())), bench.scored(behaviour.prompts))
    gap = float(prompts.loaded.base.mean() - prompts.neutral.base.mean())
    means = _means(bench)
    arms = [(name, layer, where) for name in names for layer in bench.layers for where in (ONE, ALL)]
    for step, (name, layer, where) in enumerate(arms):
        bench.progress(f"{name} of layer {layer}, held at {where}", step / len(arms))
        made = make(name, bench.kit, layer)
        assert isinstance(made, Pushes)
        hold = held(made.pushes[0].vector, layer, means, range(bench.subject.n_layers), where)
        measured = bench.part(f"{name}-{layer}-{where.replace(' ', '-')}", lambda h=hold: _measure(bench, h, prompts))
        _tell(found, bench, (name, layer, where), measured, prompts)
    found.summary |= {"gap": gap, "loaded": len(prompts.loaded), "neutral": len(prompts.neutral)}
    found.tables = [_table(found.results, gap), *_aside(found.results)]
    found.panels = [_panel(found.results, where) for where in (ONE, ALL)]
    return found


def _means(bench: Bench) -> dict[SiteId, NDArray[np.float64]]:
    sites = [SiteId(layer, "resid_post") for layer in range(bench.subject.n_layers)]
    rows = [Read(ids, 0) for ids in bench.neutral.measure]
    return {site: x.astype(np.float64).mean(0) for site, x in bench.kit.means(rows, sites, "mean").items()}


def _measure(bench: Bench, hold: Held, prompts: Prompts) -> dict[str, Any]:
    """Log odds at all prompts, nats, with the direction held and with placebos; ``aside``: mean rise of the words of
    other concepts at the prompts that call for this one; harm to neutral text."""
    neutral: Neutral = bench.to_report.neutral
    fakes = bench.placebos.of(hold)

    def tried(one: Held) -> tuple[list[list[float]], list[float]]:
        rises = [scored.rises(one, WHOLE) for scored in prompts]
        odds = [(scored.base + rise[0]).tolist() for scored, rise in zip(prompts, rises, strict=True)]
        return odds, rises[0][1:].mean(1).tolist()

    own = tried(hold)
    drawn = bench.placebos.once("held", hold, WHOLE, lambda: [tried(fake) for fake in fakes])  # pyright: ignore[reportArgumentType]
    harm = neutral.harm(hold, WHOLE)
    return {
        "odds": own[0],
        "placebos": [odds for odds, _ in drawn],
        "aside": own[1],
        "placebo_aside": [aside for _, aside in drawn],
        "kl": harm.kl.tolist(),
        "loss": harm.loss.tolist(),
        "placebo_kl": bench.placebos.kl(hold, WHOLE),
        "placebo_loss": bench.placebos.loss(hold, WHOLE),
    }


def _tell(found: Found, bench: Bench, arm: tuple[str, int, str], measured: dict[str, Any], prompts: Prompts) -> None:
    name, layer, where = arm
    shares = _shares(bench, measured, prompts)
    kl, ratio, by_corpus = harm_of(measured, bench.setting)
    score = Estimate(float(shares[0, 0]), shares[0, 1:])
    null = Estimate(float(exceeded_by_few(shares[1:, 0][None])[0]), exceeded_by_few(shares[1:, 1:].T))
    found.findings.append(
        scored(
            f"{name} of layer {layer}, held at {where}: {bench.behaviour.name} goes",
            "share of the gap that goes",
            score,
            null,
            null_name="random",
            n=len(prompts.loaded),
            reasons=(*few_groups(len(prompts.loaded)), *_no_gap(bench, prompts), *_over(bench, kl.value)),
            references={"KL": kl.value, "KL of random": float(np.mean(measured["placebo_kl"]))},
            unit=f"L{layer}.resid_post:@{bench.behaviour.name}.{name}",
            result=len(found.results),
        )
    )
    value, lo, hi = score.interval()
    loaded, neutral = measured["odds"]
    found.results.append(
        {
            "method": name,
            "layer": layer,
            "where": where,
            "silenced": number(value),
            "lo": number(lo),
            "hi": number(hi),
            "null_hi": number(null.value),
            "loaded": float(np.mean(loaded)),
            "neutral": float(np.mean(neutral)),
            **dict(zip(("kl", "kl_lo", "kl_hi"), kl.interval(), strict=True)),
            "kl_random": float(np.mean(measured["placebo_kl"])),
            **dict(
                zip(("perplexity_ratio", "perplexity_ratio_lo", "perplexity_ratio_hi"), ratio.interval(), strict=True)
            ),
            "perplexity_ratio_random": float(np.exp(np.mean(measured["placebo_loss"]))),
            "by_corpus": by_corpus,
            "off_target": off_target(
                np.array(measured["aside"]), np.array(measured["placebo_aside"]), list(bench.off_target)
            ),
            "verdict": None,
            "reason": "",
        }
    )


def _over(bench: Bench, kl: float) -> tuple[str, ...]:
    """What tears the model apart silences nothing."""
    cap = bench.request.kl_cap
    return () if kl <= cap else (f"the KL on neutral text is {kl:.2f}, above the cap of {cap:g}",)


def _no_gap(bench: Bench, prompts: Prompts) -> tuple[str, ...]:
    loaded, neutral = _drawn(bench, prompts)
    gaps = loaded @ prompts.loaded.base - neutral @ prompts.neutral.base
    lo = float(np.quantile(gaps[1:], 0.025))
    return () if lo > 0 else (f"prompts that call for it are not surely above neutral ones ({gaps[0]:.2f} nats)",)


def _drawn(bench: Bench, prompts: Prompts) -> list[NDArray[np.float64]]:
    """(1 + b, n) weights of the loaded prompts and of the neutral ones: all of them, then resamples."""
    found: list[NDArray[np.float64]] = []
    for i, one in enumerate(prompts):
        weights = document_weights(len(one), bench.size.replicates, bench.seed + i)
        every = np.vstack([np.ones(len(one)), weights])
        found.append(every / every.sum(1, keepdims=True))
    return found


def _shares(bench: Bench, measured: dict[str, Any], prompts: Prompts) -> NDArray[np.float64]:
    """(1 + p, 1 + b) share of the gap that goes: of the direction, then of placebos; of all prompts, then resampled.

    NaN where there is no gap.
    """
    on_loaded, on_neutral = _drawn(bench, prompts)
    base = on_loaded @ prompts.loaded.base - on_neutral @ prompts.neutral.base
    every = [measured["odds"], *measured["placebos"]]
    gaps = np.stack([on_loaded @ np.array(loaded) - on_neutral @ np.array(neutral) for loaded, neutral in every])
    return 1 - np.divide(gaps, base, out=np.full(gaps.shape, np.nan), where=base != 0)


def _table(results: list[dict[str, Any]], gap: float) -> Table:
    rows = [
        [
            f"{row['method']}, layer {row['layer']}, {row['where']}",
            bounded(row, "silenced", "lo", "hi"),
            row["null_hi"],
            row["loaded"],
            row["neutral"],
            bounded(row, "kl"),
            row["kl_random"],
            bounded(row, "perplexity_ratio"),
            row["perplexity_ratio_random"],
        ]
        for row in results
    ]
    columns = (
        "direction",
        "of the gap goes",
        "null",
        "loaded, nats",
        "neutral, nats",
        "KL",
        "KL, random",
        "perplexity",
    )
    return Table(f"What goes of a gap of {gap:.2f} nats, and what else", columns, rows)


def _aside(results: list[dict[str, Any]]) -> list[Table]:
    """What happens to the words of other concepts."""
    names = list(results[0]["off_target"])
    rows = [
        [f"{row['method']}, layer {row['layer']}, {row['where']}", *(aside(row["off_target"][name]) for name in names)]
        for row in results
    ]
    title = "Off target: rise of other concepts' words, nats (* outside of nine in ten placebos)"
    return [Table(title, ("direction", *names), rows)] if names else []


def _panel(results: list[dict[str, Any]], where: str) -> Panel:
    own = [row for row in results if row["where"] == where]
    rows = [
        {"x": row["layer"], "y": row["silenced"], "lo": row["lo"], "hi": row["hi"], "series": row["method"]}
        for row in own
    ]
    null = {row["layer"]: row["null_hi"] for row in own}
    rows += [{"x": layer, "y": value, "series": "null"} for layer, value in null.items()]
    return Panel(LINES, f"Held at {where}", "layer it was found at", "share of the gap that goes", rows, nulls=["null"])
