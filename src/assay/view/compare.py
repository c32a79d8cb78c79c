"""The page of two runs side by side: by unit where the weights are the same, by layer where they are not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import numpy as np

from assay.errors import UnknownName, UsageError
from assay.explain.names import OUTPUTS
from assay.store import claims as stored
from assay.store.claims import Scores
from assay.view.comparing import (
    Joined,
    by_kind,
    by_layer,
    changed,
    conclusion,
    joined,
    mean_difference,
    sameness,
    scores_of,
)
from assay.view.evidence import Choice, chosen, forest
from assay.view.opened import Opened
from assay.view.pages import Ask, Page, Site

EXPLAINING = ("explain", "check")
"""Verbs whose runs hold claims about units that can be compared."""
MEASURES = {
    "r": "r",
    "r_context": "r beyond the token",
    "behaviour": "behaviour",
    "f1": "F1 of firing",
    "auprc": "AUPRC of firing",
    "effect_r": "r of what it writes",
}
_LARGEST = 10  # units listed on each side
_NAMED = 2_000  # units up to which each has a name in the figure and a row in JSON


def compare_page(site: Site, ask: Ask) -> Page:
    """``a`` and ``b`` in the query are runs, ``measure`` and ``explainer`` what is compared, ``by`` unit or layer."""
    runs = [info.id for info in site.shelf.runs() if info.state == "whole" and info.spec["verb"] in EXPLAINING]
    a, b = (ask.query.get(name, "") for name in ("a", "b"))
    if not a or not b:
        return Page("compare.html", {"runs": runs, "a": a, "b": b, "choices": [], "found": None})
    if a == b:
        raise UsageError("a run was to be compared with itself; choose two")
    one, other = site.shelf.open(a), site.shelf.open(b)
    if _is_twin(other, one):
        one, other = other, one
    explainer, explainers = _explainer(one, other, ask)
    measures = _measures(one, other, explainer)
    measure = chosen(ask.query, "measure", measures)
    rows = sameness(one.run.spec, other.run.spec)
    alike = next((row.same for row in rows if row.what == "weights"), False)
    by = chosen(ask.query, "by", ["unit", "layer"] if alike else ["layer", "unit"])
    sides = scores_of(one, explainer, measure), scores_of(other, explainer, measure)
    found = (
        _by_unit(one, other, sides, measure, explainer)
        if by == "unit"
        else _by_layer(one, other, sides, measure, explainer)
    )
    return Page(
        "compare.html",
        {
            "runs": runs,
            "a": one.run.id,
            "b": other.run.id,
            "names": {"a": _name(one), "b": _name(other)},
            "choices": [
                Choice("explainer", "explainer", [(name, name) for name in explainers], explainer),
                Choice("measure", "score", [(name, MEASURES[name]) for name in measures], measure),
                Choice("by", "by", [("unit", "unit"), ("layer", "layer")], by),
            ],
            "measure": measure,
            "called": MEASURES[measure],
            "explainer": explainer,
            "same": rows,
            "alike": alike,
            "conclusion": conclusion(rows, _is_twin(one, other)),
            "found": {"by": by, **found},
        },
    )


def _name(opened: Opened) -> str:
    return f"{opened.run.spec['subject']['name']}, run {opened.run.id}"


def _is_twin(one: Opened, other: Opened) -> bool:
    """Whether the first run is of a randomised twin of the second's model."""
    name, base = (str(side.run.spec["subject"]["name"]) for side in (one, other))
    return name.startswith(f"{base}~")


def _explainer(one: Opened, other: Opened, ask: Ask) -> tuple[str, list[str]]:
    theirs = other.index.explainers()
    both = [name for name in one.index.explainers() if name in theirs]
    if not both:
        told = "; ".join(f"{side.run.id} has {', '.join(side.index.explainers()) or 'none'}" for side in (one, other))
        raise UsageError(f"the runs have no explainer in common: {told}")
    explainer = ask.query.get("explainer") or both[0]
    if explainer not in both:
        raise UnknownName("explainer", explainer, both)
    return explainer, both


def _measures(one: Opened, other: Opened, explainer: str) -> list[str]:
    first, second = (stored.measures(side.index.path, explainer) for side in (one, other))
    names = [name for name in MEASURES if name in first and name in second]
    if not names:
        raise UsageError(f"no score of {explainer} is in both runs that could be compared")
    return names if explainer not in OUTPUTS else [name for name in names if name == "effect_r"]


def _by_unit(one: Opened, other: Opened, sides: tuple[Scores, Scores], measure: str, explainer: str) -> dict[str, Any]:
    """Dots, the mean difference, changed verdicts, and the units that differ most."""
    pair = joined(*sides)
    only = {"only_a": len(sides[0].units) - len(pair.units), "only_b": len(sides[1].units) - len(pair.units)}
    if not pair.units:
        return {"units": 0, **only}
    summary = mean_difference(pair)
    found = {"units": len(pair.units), **only, "summary": summary, "verdicts": changed(pair)}
    if not summary["units"]:
        return found
    largest = {side: _largest(pair, one, other, explainer, side == "higher") for side in ("higher", "lower")}
    every = {}
    if len(pair.units) <= _NAMED:
        columns = zip(pair.units, pair.a.tolist(), pair.b.tolist(), pair.verdicts_a, pair.verdicts_b, strict=True)
        every = {
            "every": [dict(zip(("unit", "a", "b", "verdict_a", "verdict_b"), row, strict=True)) for row in columns]
        }
    return found | {"figure": _scatter(pair, one, measure), "largest": largest, **every}


def _scatter(pair: Joined, one: Opened, measure: str) -> dict[str, str]:
    from assay.draw import scatter_plot

    figure = scatter_plot(
        pair.a,
        pair.b,
        names=pair.units if len(pair.units) <= _NAMED else None,
        unit_link=f"/run/{quote(one.run.id)}/unit/{{unit}}",
        x_name="A",
        y_name="B",
        score=MEASURES[measure],
    )
    return {"svg": figure.svg, "alternative": figure.alternative}


def _largest(pair: Joined, one: Opened, other: Opened, explainer: str, higher: bool) -> list[dict[str, Any]]:
    """The units whose score is highest, or lowest, in B beside A, with what both runs say of them."""
    gap = np.where(pair.scored, pair.b - pair.a, np.nan)
    order = np.argsort(-gap if higher else gap, kind="stable")  # NaN comes last
    at = [i for i in order[:_LARGEST].tolist() if (gap[i] > 0 if higher else gap[i] < 0)]
    units = [pair.units[i] for i in at]
    said = [stored.texts(side.index.path, explainer, units) for side in (one, other)]
    return [
        {
            "unit": pair.units[i],
            "a": float(pair.a[i]),
            "b": float(pair.b[i]),
            "difference": float(gap[i]),
            "verdict_a": pair.verdicts_a[i],
            "verdict_b": pair.verdicts_b[i],
            "text_a": said[0].get(pair.units[i], ""),
            "text_b": said[1].get(pair.units[i], ""),
        }
        for i in at
    ]


def _by_layer(one: Opened, other: Opened, sides: tuple[Scores, Scores], measure: str, explainer: str) -> dict[str, Any]:
    """Means by layer, and over all units of both; of whole runs by kind of unit as well."""
    layers = by_layer(*sides)
    whole = all(side.run.spec["resolved"].get("whole") for side in (one, other))
    strata = by_kind(one, other) if whole and (explainer, measure) == ("rules", "r") else []
    if not layers:
        return {"units": 0, "layers": [], "only_a": len(sides[0].units), "only_b": len(sides[1].units)}
    return {
        "units": int(sum(row["units_a"] + row["units_b"] for row in layers)),
        "layers": layers,
        "overall": _overall(sides),
        "strata": strata,
        "figure": forest(_rows(layers, one), f"{MEASURES[measure]}, B minus A", zero_name="no difference"),
    }


def _overall(sides: tuple[Scores, Scores]) -> dict[str, Any]:
    whole = [side._replace(layers=np.zeros_like(side.layers)) for side in sides]
    return by_layer(*whole)[0]


def _rows(layers: Sequence[dict[str, Any]], one: Opened) -> list[dict[str, Any]]:
    at = f"/run/{quote(one.run.id)}/units?layer="
    empty = {"nulls": {}, "references": {}, "group": "", "verdict": ""}
    return [
        {"label": f"layer {row['layer']}", "value": row["difference"], "lo": row["lo"], "hi": row["hi"], **empty}
        | {"link": f"{at}{row['layer']}"}
        for row in layers
    ]
