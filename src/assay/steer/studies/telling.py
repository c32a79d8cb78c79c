"""A trial in words, rows, tables and panels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from assay.findings.found import LINES, Finding, Found, Panel, Table, number
from assay.stats.bootstrap import Estimate
from assay.stats.proportion import wilson
from assay.steer.bench import Bench
from assay.steer.methods import METHODS
from assay.steer.outcome import Outcome
from assay.steer.preflight import Agreement, agreement
from assay.steer.rates import Rates
from assay.steer.trial import Chosen

EFFECT = "rise of log odds, nats"
_OWN_DOSES = ("iti", "lora", "actadd")  # whose doses are of another kind, so that one axis can't hold them

Row = dict[str, Any]


class Trialled(NamedTuple):
    """A method's trial. ``wrote``: what :func:`assay.steer.trial.write` gave; ``tried``: what was tried to choose."""

    name: str
    chosen: Chosen
    tried: Sequence[Sequence[Any]]
    outcome: Outcome
    rates: Rates
    wrote: Mapping[str, Any]


def tell(found: Found, bench: Bench, one: Trialled) -> None:
    """Its row of the results, its two findings, and its placebos that pose as claims."""
    chosen, result, about = one.chosen, one.outcome, common(bench, one)
    found.findings += [
        Finding(
            f"{placed(one)}: the next word leans to {bench.behaviour.name}",
            EFFECT,
            *result.effect.interval(),
            nulls={**{name: null.value for name, null in result.nulls.items()}, "untreated": 0.0},
            references={"KL": result.kl.value, "KL of random": result.placebo_kl},
            check=result.check,
            result=len(found.results),
            **about,
        ),
        Finding(
            f"{placed(one)}: what it writes shows {bench.behaviour.name}, and is coherent",
            "share of hits",
            *one.rates.score.interval(),
            nulls={name: null.value for name, null in one.rates.nulls.items()},
            check=one.rates.check,
            **about,
        ),
    ]
    if bench.placebos.first_told(chosen.treatment, chosen.measured_dose):
        found.controls += result.controls
    found.results.append(_row(bench, one))


def placed(one: Trialled) -> str:
    """A method at its layer and dose."""
    place = "" if one.chosen.layer is None else f", layer {one.chosen.layer}"
    dose = f", dose {one.chosen.measured_dose:g}" if one.chosen.treatment.doses else ""
    return f"{one.name}{place}{dose}"


def common(bench: Bench, one: Trialled) -> dict[str, Any]:
    """What all findings of a method have in common."""
    layer = one.chosen.layer
    return {
        "n": len(bench.rows[1]),
        "unit": "" if layer is None else f"L{layer}.resid_post:@{file_name(bench, one.name)}",
        "published": METHODS[one.name].published if one.name in METHODS else "",
    }


def file_name(bench: Bench, method: str) -> str:
    """What the direction of a method is called where it is stored."""
    return f"{bench.behaviour.name}.{method.replace('@', 'own.')}"


def unscored(found: Found, name: str, why: str) -> None:
    """A method that can't be carried out, and why."""
    found.findings.append(
        Finding(f"{name}: the next word leans there", EFFECT, None, unscored=why, result=len(found.results))
    )
    keys = ("layer", "dose", "effect", "lo", "hi", "null_hi", "kl", "perplexity_ratio", "wrong_way", "slope", "hits")
    found.results.append({"method": name, **dict.fromkeys(keys), "verdict": None, "reason": why})


def _row(bench: Bench, one: Trialled) -> Row:
    chosen, result, wrote = one.chosen, one.outcome, one.wrote
    pairs = one.name in METHODS and METHODS[one.name].pairs
    value, lo, hi = result.effect.interval()
    return {
        "method": one.name,
        "layer": chosen.layer,
        "dose": chosen.dose if chosen.treatment.doses else None,
        "effect": number(value),
        "lo": number(lo),
        "hi": number(hi),
        "null_hi": number(max(null.value for null in result.nulls.values())),
        "effect_chosen_on": next((e for at, d, e, _ in one.tried if (at, d) == (chosen.layer, chosen.dose)), None),
        "nulls": {name: number(null.value) for name, null in result.nulls.items()},
        **_bounded("kl", result.kl),
        "kl_random": number(result.placebo_kl),
        **_bounded("perplexity_ratio", result.ratio),
        "perplexity_ratio_random": number(result.placebo_ratio),
        "by_corpus": result.by_corpus,
        **dict(zip(("wrong_way", "wrong_way_lo", "wrong_way_hi"), result.wrong_way, strict=True)),
        "wrong_way_random": result.placebo_wrong_way,
        **_bounded("slope", result.slope),
        "reversal": result.reversal,
        **_agreed(agreement(bench.kit, chosen.layer) if pairs and chosen.layer is not None else None),
        "curve": [
            {"dose": at.dose, **dict(zip(("effect", "lo", "hi"), at.effect.interval(), strict=True)), "kl": at.kl}
            for at in result.curve
        ],
        "off_target": result.off_target,
        **written_shares(wrote, len(bench.rows[1])),
        **_bounded("hits", one.rates.score),
        "hits_null": number(max(null.value for name, null in one.rates.nulls.items() if name != "untreated")),
        "verdict": None,
        "reason": "",
    }


def _agreed(one: Agreement | None) -> Row:
    names = ("agreement", "agreement_lo", "agreement_hi", "agreement_null")
    return dict.fromkeys(names) if one is None else dict(zip(names, one, strict=True))


def _bounded(name: str, estimate: Estimate | None) -> Row:
    if estimate is None:
        return {name: None, f"{name}_lo": None, f"{name}_hi": None}
    value, lo, hi = estimate.interval()
    return {name: number(value), f"{name}_lo": number(lo), f"{name}_hi": number(hi)}


def written_shares(wrote: Mapping[str, Any], prompts: int) -> Row:
    """Shares of continuations that are hits, are coherent, show the behaviour, have its words; with intervals in which
    all continuations of a prompt count as one case."""
    found: Row = {}
    for name in ("hits", "coherent", "shows", "words"):
        share = wilson(float(np.mean(wrote[name])) * prompts, prompts)
        found |= dict(zip((name, f"{name}_lo", f"{name}_hi"), map(number, share), strict=True))
    return found


def panels(results: Sequence[Row]) -> list[Panel]:
    """Effects beside their nulls, dose and response, and what an effect costs."""
    known = [row for row in results if row["effect"] is not None]
    if not known:
        return []
    effects = [_point(row, row["method"], "effect") for row in known]
    effects += [{"x": row["method"], "y": row["null_hi"], "series": "null"} for row in known]
    curves = [
        {"x": at["dose"], "y": at["effect"], "lo": at["lo"], "hi": at["hi"], "series": row["method"]}
        for row in known
        for at in row["curve"]
        if row["method"] not in _OWN_DOSES
    ]
    price = [_point(row, row["kl"], row["method"]) for row in known]
    drawn = [Panel(LINES, "At the chosen layer and dose", "", EFFECT, effects, nulls=["null"])]
    if curves:
        drawn.append(Panel(LINES, "More of it", "dose", EFFECT, curves))
    return [*drawn, Panel(LINES, "What it costs", "KL on neutral text, nats", EFFECT, price)]


def _point(row: Row, x: str | float, series: str) -> Row:
    return {"x": x, "y": row["effect"], "lo": row["lo"], "hi": row["hi"], "series": series}


def tables(results: Sequence[Row], untreated: Row) -> list[Table]:
    """The trial, side effects, dose and response, what is written, and what happens to other behaviours."""
    trial, harm, response = [], [], []
    for row in results:
        own = [row["layer"], _plain(row["dose"]), bounded(row, "effect", "lo", "hi"), row["null_hi"]]
        trial.append([row["method"], *own, bounded(row, "kl"), row.get("kl_random")])
        pairs = ((bounded(row, name), row.get(f"{name}_random")) for name in ("perplexity_ratio", "wrong_way"))
        harm.append([row["method"], *(cell for pair in pairs for cell in pair)])
        agreed = (bounded(row, "agreement"), row.get("agreement_null"))
        response.append([row["method"], bounded(row, "slope"), _plain(row.get("reversal")), *agreed])
    known = [row for row in results if row["effect"] is not None]
    rows = [*known, untreated | {"method": "untreated", "hits_null": None}]
    wrote = [
        [row["method"], bounded(row, "hits"), row["hits_null"], *(bounded(row, name) for name in _WRITTEN)]
        for row in rows
    ]
    columns = ("method", "hits", "null", *_WRITTEN.values())
    made = [
        Table("The trial", ("method", "layer", "dose", "effect", "null", "KL", "random"), trial),
        Table("Side effects", ("method", "perplexity", "random", "wrong way", "random"), harm),
        Table("Dose and response", ("method", "slope", "turns at", "agreement", "null"), response),
        Table("What it writes", columns, wrote),
    ]
    if others := [row for row in known if row["off_target"]]:
        rows = [[name, *(aside(row["off_target"][name]) for row in others)] for name in others[0]["off_target"]]
        title = "Off target: rise of other concepts' words, nats (* outside of nine in ten placebos)"
        made.append(Table(title, ("concept", *(row["method"] for row in others)), rows))
    return made


_WRITTEN = {"shows": "shows it", "coherent": "coherent", "words": "its words"}


def _plain(value: float | None) -> str | None:
    """A dose, with the digits that it has."""
    return None if value is None else f"{value:g}"


def bounded(row: Mapping[str, Any], name: str, lo: str = "", hi: str = "") -> str | None:
    """A figure of a row with its interval; None where there is none."""
    value, low, high = (row.get(key) for key in (name, lo or f"{name}_lo", hi or f"{name}_hi"))
    if value is None:
        return None
    return f"{value:.2f}" + ("" if low is None or high is None else f" [{low:.2f} {high:.2f}]")


def aside(one: Mapping[str, float]) -> str:
    """How much words have risen, with a mark where that is outside of what placebos do."""
    return f"{one['rise']:+.2f}" + ("" if one["lo"] <= one["rise"] <= one["hi"] else " *")
