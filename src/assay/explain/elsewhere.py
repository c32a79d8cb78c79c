"""The same claims on other text, of which nothing was learnt or chosen: each score again, and how far r drops.

It decides nothing: a claim is about the text that it was made of. It says how far beyond that text it carries.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from assay.core.ids import UnitId
from assay.explain.claims import Claim, Fitted
from assay.explain.evidence import score_row
from assay.explain.material import Material, Part, Progress
from assay.explain.measure import Tested, run_test_pass
from assay.explain.measured import MEASURES, Measured, measure_claim, number, value_of
from assay.explain.names import SIMULATED
from assay.stats import Interval, independent_difference, paired_difference

if TYPE_CHECKING:
    from assay.model import Subject

CHECK = "other_text"
DROP = "also_drop"
FEWEST_UNITS = 20  # that an interval over units is made from
NOT_ASKED = "no judge was asked about other text"


@dataclass(frozen=True)
class Elsewhere:
    """What other text says. ``measured``: by claim; ``drops``: by claim, r on the test split minus r here."""

    part: Part
    tested: Tested
    measured: Mapping[int, Measured]
    drops: Mapping[int, Interval | None]


def measure_elsewhere(
    subject: Subject,
    material: Material,
    other: Part,
    targets: Sequence[UnitId],
    claims: Sequence[Claim],
    fitted: Sequence[Fitted],
    fit: NDArray[np.float32],
    fire_above: NDArray[np.float64],
    at_home: Mapping[int, Measured],
    seed: int,
    progress: Progress,
) -> Elsewhere:
    """Meet the other text: predictions as they were settled, and every score.

    Args:
        fitted, fit, fire_above: by target, what was learnt of it, its activations on the fit split, when it fires.
        at_home: by claim, its scores on the test split.
    """
    asked = [i for i in at_home if claims[i].explainer not in SIMULATED]
    tested = run_test_pass(subject, other, targets, [claims[i] for i in asked], progress)
    place = {unit: i for i, unit in enumerate(targets)}
    there, measured = replace(material, test=other), dict[int, Measured]()
    for row, i in enumerate(asked):
        at = place[claims[i].unit]
        width = at_home[i].width
        measured[i] = measure_claim(
            row, claims[i], fitted[at], there, tested, at, fit[at], float(fire_above[at]), width, seed
        )
    return Elsewhere(other, tested, measured, {i: _drop(at_home[i], found) for i, found in measured.items()})


def _drop(home: Measured, away: Measured) -> Interval | None:
    first, second = home.value("r"), away.value("r")
    return None if first is None or second is None else independent_difference(first, second)


def elsewhere_rows(found: Elsewhere, claim: int) -> list[dict[str, Any]]:
    """The rows of one claim in the evidence table."""
    if claim not in found.measured:
        names = [*(f"also_{measure}" for measure in MEASURES), DROP]
        return [score_row(claim, CHECK, name, None, 0) | {"unscored": NOT_ASKED} for name in names]
    m = found.measured[claim]
    rows: list[dict[str, Any]] = []
    for measure in MEASURES:
        nulls = json.dumps(m.nulls.get(measure, {}))
        rows.append(score_row(claim, CHECK, f"also_{measure}", m.value(measure), m.documents, nulls=nulls))
    rows[0]["references"] = json.dumps(m.references)
    return [*rows, score_row(claim, CHECK, DROP, found.drops[claim], m.documents)]


def elsewhere_entry(found: Elsewhere, claim: int) -> dict[str, Any] | None:
    """``also`` of one claim in the JSON result."""
    if claim not in found.measured:
        return None
    m, drop = found.measured[claim], found.drops[claim]
    return {
        **_bounds("r", m.value("r")),
        **{measure: number(value_of(m.value(measure))) for measure in MEASURES[1:]},
        "nulls": dict(m.nulls["r"]),
        "references": dict(m.references),
        **_bounds("drop", drop),
        "documents": m.documents,
    }


def _bounds(name: str, interval: Interval | None) -> dict[str, float | None]:
    values = interval or (None, None, None)
    return dict(zip((name, f"{name}_lo", f"{name}_hi"), map(number, values), strict=True))


def summarise(entries: Sequence[Mapping[str, Any]], found: Elsewhere) -> dict[str, Any]:
    """``also`` of the summary, from the entries of the units."""
    r: dict[str, list[tuple[float, float]]] = {}
    for entry in entries:
        if entry["also"] is not None:
            pair = entry["r"], entry["also"]["r"]
            r.setdefault(entry["explainer"], []).append(pair)
    arrays = {name: np.array(pairs, dtype=np.float64) for name, pairs in r.items()}
    return drops_of({name: (own[:, 0], own[:, 1]) for name, own in arrays.items()}, found.part.table.n_tokens)


def drops_of(r: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]], tokens: int) -> dict[str, Any]:
    """By explainer the mean r on other text, and how far it lies below that on the test split.

    The drop has an interval over the units where they are 20 or more.

    Args:
        r: by explainer, (units,) r on the test split and on the other text; NaN where there is none.
    """
    explainers: dict[str, Any] = {}
    for name, (home, away) in r.items():
        both = ~np.isnan(home) & ~np.isnan(away)
        if both.any():
            drop = paired_difference(home[both], away[both])
            if both.sum() < FEWEST_UNITS:
                drop = drop._replace(lo=math.nan, hi=math.nan)
            explainers[name] = {"units": int(both.sum()), "mean_r": float(away[both].mean()), **_bounds("drop", drop)}
    return {"tokens": tokens, "explainers": explainers}
