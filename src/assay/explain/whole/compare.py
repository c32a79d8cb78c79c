"""A model beside its randomised twin: what the scores of all units come to in each, and in which kind of unit.

Random models often score high, on units that answer to a single token. So the difference is shown for these units and
for the others apart. It enters no claim's verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import altair as alt
import numpy as np
import vl_convert
from jaxtyping import Bool, Float, Int

from assay.draw import dressed
from assay.errors import UsageError
from assay.explain.whole.figure import Drawing
from assay.stats.strata import LEAST, SINGLE, STRATA, Difference, trained_minus_twin
from assay.store import Run
from assay.store.query import answer

_WIDTH = 800
_COLOURS = {"all": "#26262b", "single token": "#d55e00", "other": "#0072b2"}


class Scored(NamedTuple):
    """Every unit of a whole run: its layer, r of its rules (NaN where undefined), whether one token carries it."""

    layer: Int[np.ndarray, " units"]
    r: Float[np.ndarray, " units"]
    single: Bool[np.ndarray, " units"]


def scored_units(run: Run) -> Scored:
    """Read what is compared from a run of whole layers.

    Raises:
        RunError: a table is missing or damaged.
    """
    table = answer(
        "select u.layer, e.measure, e.value from claims c join units u using (unit) join evidence e using (claim) "
        "where c.role = 'claim' and c.explainer = 'rules' and e.measure in ('r', 'token_single', 'token_alone') "
        "order by e.measure, c.claim",
        [run],
    ).table
    columns = {name: np.array(table[name].to_pylist(), object) for name in ("layer", "measure", "value")}
    by_measure = {name: columns["measure"] == name for name in ("r", "token_single", "token_alone")}
    values = {name: columns["value"][own].astype(np.float64) for name, own in by_measure.items()}
    layer = columns["layer"][by_measure["r"]].astype(np.int64)
    return Scored(layer, values["r"], (values["token_single"] >= SINGLE) & (values["token_alone"] >= LEAST))


class Comparison(NamedTuple):
    """Trained minus twin over all layers, and by layer."""

    overall: list[Difference]
    by_layer: Mapping[int, list[Difference]]


def compare_runs(trained: Run, twin: Run, seed: int = 0) -> Comparison:
    """Compare two runs of whole layers on the same text.

    Raises:
        UsageError: runs of different text, layers or rules, or of another kind.
        RunError: a table is missing or damaged.
    """
    for run in (trained, twin):
        if not run.spec["resolved"].get("whole"):
            raise UsageError(f"run {run.id} is not one of whole layers; make it with assay explain --units all")
    for what in ("sha256", "splits_sha256", "tokens"):
        if trained.spec["corpus"][what] != twin.spec["corpus"][what]:
            raise UsageError(
                f"the runs are not of the same text (their {what} differs); run both with the same options"
            )
    if trained.spec["resolved"]["rules"] != twin.spec["resolved"]["rules"]:
        raise UsageError("the runs have different numbers of rules; run both with the same options")
    a, b = scored_units(trained), scored_units(twin)
    if set(a.layer) != set(b.layer):
        raise UsageError("the runs are of different layers; run both with the same options")
    by_layer = {
        int(layer): trained_minus_twin(
            a.r[a.layer == layer],
            b.r[b.layer == layer],
            a.single[a.layer == layer],
            b.single[b.layer == layer],
            seed=seed,
        )
        for layer in np.unique(a.layer)
    }
    return Comparison(trained_minus_twin(a.r, b.r, a.single, b.single, seed=seed), by_layer)


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """As plain data."""
    return {
        "overall": [_plain(row) for row in comparison.overall],
        "per_layer": [
            {"layer": layer, "strata": [_plain(row) for row in rows]} for layer, rows in comparison.by_layer.items()
        ],
    }


def _plain(row: Difference) -> dict[str, Any]:
    values = {"trained": row.trained, "twin": row.twin}
    values |= dict(zip(("difference", "lo", "hi"), row.difference, strict=True))
    known = {name: None if np.isnan(value) else float(value) for name, value in values.items()}
    return {"stratum": row.stratum, "n_trained": row.n_trained, "n_twin": row.n_twin} | known


def comparison_figure(comparison: Comparison) -> Drawing:
    """Mean r of both by layer and stratum, and the difference with its interval."""
    rows = [
        {"layer": layer, "stratum": row["stratum"], "trained": row["trained"], "twin": row["twin"]}
        | {name: row[name] for name in ("difference", "lo", "hi")}
        for layer, differences in comparison.by_layer.items()
        for row in map(_plain, differences)
    ]
    means = [
        {"layer": row["layer"], "stratum": row["stratum"], "r": row[side], "model": side}
        for row in rows
        for side in ("trained", "twin")
        if row[side] is not None
    ]
    x = alt.X("layer:Q", axis=alt.Axis(title="layer", format="d", tickMinStep=1))
    colour = alt.Color(
        "stratum:N",
        scale=alt.Scale(domain=list(STRATA), range=[_COLOURS[name] for name in STRATA]),
        legend=alt.Legend(title=None),
    )
    dash = alt.StrokeDash("model:N", legend=alt.Legend(title=None))
    top = (
        alt.Chart(alt.Data(values=means))
        .mark_line(strokeWidth=1.6)
        .encode(x=x, y=alt.Y("r:Q", axis=alt.Axis(title="mean r of the rules")), color=colour, strokeDash=dash)
        .properties(width=_WIDTH, height=220, title=alt.Title("Trained model and its twin", anchor="start"))
    )
    known = [row for row in rows if row["difference"] is not None]
    base = alt.Chart(alt.Data(values=known)).encode(x=x, color=colour)
    bottom = alt.layer(
        base.mark_rule().encode(y=alt.Y("lo:Q", axis=alt.Axis(title="trained minus twin")), y2="hi:Q"),
        base.mark_point(filled=True, size=36).encode(y=alt.Y("difference:Q")),
    ).properties(width=_WIDTH, height=180, title=alt.Title("The difference, by kind of unit", anchor="start"))
    chart = dressed(alt.vconcat(top, bottom, spacing=22).resolve_scale(color="shared", strokeDash="independent"))
    return Drawing(chart.to_json(indent=1), vl_convert.vegalite_to_svg(chart.to_dict()))
