"""The figures of docs/findings/weights-and-effects.md: do weights say which neurons drive which?

    python scripts/weights_and_effects.py

For neurons drawn at every depth of the default model: what weights say of all later and of all earlier neurons, from
moments of the fit split, beside what ablations (later ones) and derivatives (earlier ones) give on the choose split.
Written is ``weights-and-effects.json``, a unit at a time: units that stand in it are not measured again. Printed are
the tables of the page, which a test compares with the JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from assay.core.ids import SiteId, UnitId, parse_units
from assay.explain.related import weights as by_weights
from assay.explain.related.ablation import Ablations
from assay.explain.related.agreement import agreement
from assay.explain.related.attribution import attribute
from assay.explain.related.nulls import nulls
from assay.explain.related.relations import best, effects, in_sds
from assay.explain.related.survey import Around, survey
from assay.explain.related.text import gather_texts
from assay.explain.related.weights import Weights
from assay.model import Subject, load
from assay.stats.strata import mean_over_units
from assay.text import load_corpus

PLACE = Path(__file__).parents[1] / "docs" / "findings" / "weights-and-effects.json"
UNITS, TOKENS, SEED, TOP = "spread24", 5_000, 0, 8
LAYERS = ("1", "2", "3", "4+")
RANKINGS = ("effect", "strength", "net", "cosine", "random")


def measured(subject: Subject, unit: UnitId, fit: Any, report: Any) -> dict[str, Any]:
    """Everything about one unit."""
    around = Around.of(subject, unit)
    found = survey(subject, fit, unit, around, quiet)
    row: dict[str, Any] = {"unit": str(unit), "sd": found.unit_sd}
    ahead = [site for site in around.behind if site.kind == "mlp_act"]
    weights = by_weights.downstream(subject, unit, around, found, SEED)
    if weights is not None:
        one = {name: turn for name, turn in nulls(subject, unit, SEED).items() if name.endswith("-0")}
        changes, beside = Ablations(subject, report, found, quiet).downstream(unit, ahead, one)
        sds = {site: found.sds[site].numpy() for site in ahead}
        sources = {site: np.array(found.unit_sd) for site in ahead}
        own = effects(changes, report.n_scored, sds)
        row["downstream"] = side(weights, own, unit.site.layer) | {
            "agreement": agreement(weights, changes, report.tokens_by_document, sds, sources, True, SEED)
        }
        drawn = {null.kind: null.square for null in beside}
        for kind, square in drawn.items():
            moved = {at: in_sds(np.sqrt(square[at] / report.n_scored), sds[at]) for at in ahead}
            row["downstream"][kind] = spread(moved)
    before = tuple(site for site in around.before if site.kind == "mlp_act")
    weights = by_weights.upstream(subject, unit, around, found, SEED)
    if weights is not None:
        changes = attribute(subject, report, unit, before, found, SEED, quiet)
        sds = {site: np.array(found.unit_sd) for site in before}
        sources = {site: found.sds[site].numpy() for site in before}
        own = effects(changes, report.n_scored, sds)
        row["upstream"] = side(weights, own, unit.site.layer) | {
            "agreement": agreement(weights, changes, report.tokens_by_document, sds, sources, False, SEED)
        }
    return row


def side(weights: Weights, own: Mapping[SiteId, np.ndarray], layer: int) -> dict[str, Any]:
    """The spread of effects, and of the neurons that each ranking puts first the mean effect and the layers between."""
    rng = np.random.default_rng(SEED)
    rankings = {
        "strength": {at: site.strength for at, site in weights.sites.items()},
        "net": {at: np.abs(site.net) for at, site in weights.sites.items()},
        "cosine": {at: np.abs(site.cosines).max(0) for at, site in weights.sites.items()},
        "random": {at: rng.random(len(site.net)) for at, site in weights.sites.items()},
        "effect": own,
    }
    tops = {name: best(values, TOP) for name, values in rankings.items()}
    return {
        "effects": spread(own),
        "top": {name: float(np.mean([own[u.site][u.number] for u in units])) for name, units in tops.items()},
        "apart": {name: float(np.mean([abs(u.site.layer - layer) for u in units])) for name, units in tops.items()},
    }


def spread(values: Mapping[SiteId, np.ndarray]) -> dict[str, float]:
    """Median, one in a thousand, greatest."""
    flat = np.concatenate(list(values.values()))
    return {"median": float(np.median(flat)), "q999": float(np.quantile(flat, 0.999)), "greatest": float(flat.max())}


def quiet(*_: object) -> None:
    """Progress that goes nowhere."""


# the tables


def mean(values: Sequence[float | None]) -> dict[str, float]:
    """A mean over units with its 95 % interval; units are drawn again, not documents."""
    known = np.array([value for value in values if value is not None], dtype=np.float64)
    return dict(zip(("mean", "lo", "hi"), map(float, mean_over_units(known)), strict=True))


def figure(value: float, places: int = 2) -> str:
    """.92, -.03"""
    text = f"{value:.{places}f}"
    return text.replace("0.", ".", 1) if abs(float(text)) < 1 else text


def cell(values: Sequence[float | None], places: int = 2) -> str:
    """A mean with its interval."""
    found = mean(values)
    return f"{figure(found['mean'], places)} [{figure(found['lo'], places)} {figure(found['hi'], places)}]"


def tables(found: Mapping[str, Any]) -> dict[str, str]:
    """The tables of the page, in Markdown."""
    return {f"{name}_{what}": table for name in ("downstream", "upstream") for what, table in _tables(found, name)}


def _tables(found: Mapping[str, Any], name: str) -> Iterator[tuple[str, str]]:
    sides = [row[name] for row in found["units"] if name in row]
    lines = ["| layers away | units | effect by strength | its null | signed by net | its null | slope |"]
    lines.append("|---|--:|--:|--:|--:|--:|--:|")
    for layers in (*LAYERS, "all"):
        own = [row for side in sides for row in side["agreement"] if row["layers"] == layers]
        cells = [cell([row["strength"] for row in own]), figure(mean([row["strength_null"] for row in own])["mean"])]
        cells += [cell([row["net"] for row in own]), figure(mean([row["net_null"] for row in own])["mean"])]
        cells.append(cell([row["slope"] for row in own]))
        lines.append(f"| {layers} | {len(own)} | {' | '.join(cells)} |")
    yield "agreement", "\n".join(lines)
    lines = [f"| first {TOP} by | mean effect | layers away |", "|---|--:|--:|"]
    for ranking in RANKINGS:
        effect, apart = ([side[what][ranking] for side in sides] for what in ("top", "apart"))
        lines.append(f"| {ranking} | {cell(effect, 3)} | {figure(mean(apart)['mean'], 1)} |")
    yield "top", "\n".join(lines)
    if name == "downstream":
        lines = ["| along | median | one in 1,000 | greatest |", "|---|--:|--:|--:|"]
        for title, key in (("its own vector", "effects"), ("random", "random"), ("another neuron's", "other_unit")):
            own = [side[key] for side in sides]
            cells = [cell([row[what] for row in own], 3) for what in ("median", "q999", "greatest")]
            lines.append(f"| {title} | {' | '.join(cells)} |")
        yield "nulls", "\n".join(lines)


def main() -> None:
    """Measure what is missing, and print the tables."""
    found = json.loads(PLACE.read_text(encoding="utf-8")) if PLACE.exists() else {"units": []}
    subject = load("smollm2-135m")
    fit, report, splits = gather_texts(subject, load_corpus("bundled", quiet, tokens=TOKENS), TOKENS, SEED)
    documents = {"fit": fit.n_documents, "choose": report.n_documents}
    found = {"tokens": TOKENS, "documents": documents, "splits_sha256": splits, "units": found["units"]}
    subject = subject.with_dtype(torch.float32)
    done = {row["unit"] for row in found["units"]}
    for unit in parse_units(UNITS, subject.n_layers, subject.units.count, SEED):
        if str(unit) not in done:
            found["units"].append(measured(subject, unit, fit, report))
            PLACE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            print(unit, file=sys.stderr)
    for name, table in tables(found).items():
        print(f"{name}\n\n{table}\n")


if __name__ == "__main__":
    main()
