"""The figures of docs/findings/r-and-behaviour.md, from a stored run.

    assay explain --units all --tokens 150000 --explainer rules,lookup --sample 300
    python scripts/r_and_behaviour.py RUN

Of the units whose behaviour was measured: does a higher r mean that the running model is disturbed less when the unit
is replaced by its prediction? Written are ``r-and-behaviour.json`` and ``r-and-behaviour.svg``; printed are the tables
of the page, which a test compares with the JSON. Intervals are from units drawn again.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import vl_convert
from numpy.typing import NDArray

from assay.explain.figure import EXPLAINERS, NOISE, NULL, dressed
from assay.stats import interval, spearman, wilson
from assay.stats.strata import mean_over_units
from assay.store import Run, open_run
from assay.store.query import answer

PLACE = Path(__file__).parents[1] / "docs" / "findings"
BORDERS = (0.0, 0.25, 0.35, 0.45, 0.6, 1.0)
DEPTHS = ((0, 4), (5, 14), (15, 24), (25, 29))
DRAWS, SEED = 2000, 0
OTHERS = ("r", "r_context", "f1", "auprc", "rank")
_ROWS = """
    with scores as (
        select claim, max(value) filter (measure = 'r') as r, max(value) filter (measure = 'r_context') as r_context,
            max(value) filter (measure = 'f1') as f1, max(value) filter (measure = 'auprc') as auprc,
            max(value) filter (measure = 'rank') as rank from evidence group by claim)
    select c.unit, u.layer, c.explainer, s.r, s.r_context, s.f1, s.auprc, s.rank,
        e.value as behaviour, e.lo, e.hi,
        cast(json_extract_string(e."references", '$.noise_equal_r') as double) as noise,
        greatest(0, cast(json_extract_string(e.nulls, '$.other_unit') as double),
            cast(json_extract_string(e.nulls, '$.shuffled') as double)) as best_null, v.verdict
    from claims c join units u using (unit) join evidence e using (claim) join scores s using (claim)
        join evidence v on v.claim = c.claim and v.measure = 'verdict'
    where c.role = 'claim' and e.measure = 'behaviour' and e.value is not null order by c.claim"""

Rows = Sequence[Mapping[str, Any]]
Floats = NDArray[np.float64]


def column(rows: Rows, name: str) -> Floats:
    """(rows,) one of their numbers; NaN where there is none."""
    return np.array([np.nan if row[name] is None else row[name] for row in rows], dtype=np.float64)


def drawn_again(rows: Rows, measure: Callable[[Rows], float]) -> dict[str, float]:
    """A measure of some units, and its bounds from units drawn again."""
    rng = np.random.default_rng([SEED, 71])
    values = [measure([rows[i] for i in rng.integers(len(rows), size=len(rows))]) for _ in range(DRAWS)]
    found = interval(measure(rows), np.array(values))
    return dict(zip(("value", "lo", "hi"), map(float, found), strict=True))


def related(first: str, then: str) -> Callable[[Rows], float]:
    """The rank correlation of two scores over units."""
    return lambda rows: float(spearman(column(rows, first), column(rows, then)))


def surplus(rows: Rows) -> Floats:
    """(rows,) behaviour less that of the truth plus noise at equal r."""
    return column(rows, "behaviour") - column(rows, "noise")


def group(rows: Rows) -> dict[str, Any]:
    """Medians of some units with bounds, since a unit whose mean costs next to nothing can have a score of -24."""
    r, gap = column(rows, "r"), surplus(rows)
    return {
        "units": len(rows),
        "r": float(r.mean()),
        "r2": float((r * np.abs(r)).mean()),
        "behaviour": drawn_again(rows, lambda some: float(np.median(column(some, "behaviour")))),
        "noise": drawn_again(rows, lambda some: float(np.median(column(some, "noise")))),
        "surplus": drawn_again(rows, lambda some: float(np.median(surplus(some)))),
        "mean": dict(zip(("value", "lo", "hi"), map(float, mean_over_units(column(rows, "behaviour"))), strict=True)),
        "null": float(column(rows, "best_null").mean()),
        "below_noise": int((gap < 0).sum()),
        "noise_above_interval": int((column(rows, "noise") > column(rows, "hi")).sum()),
        "noise_below_interval": int((column(rows, "noise") < column(rows, "lo")).sum()),
        "supported": sum(row["verdict"] == "supported" for row in rows),
    }


def pairs(rules: Rows, lookup: Rows) -> dict[str, Any]:
    """The same unit explained twice: does the explanation with the higher r keep more of the effect?"""
    other = {row["unit"]: row for row in lookup}
    both = [(row, other[row["unit"]]) for row in rules if row["unit"] in other]
    r = np.array([one["r"] - two["r"] for one, two in both])
    kept = np.array([one["behaviour"] - two["behaviour"] for one, two in both])
    agree = int((np.sign(r) == np.sign(kept)).sum())
    clear = np.abs(r) >= 0.05
    agree_clear = int((np.sign(r) == np.sign(kept))[clear].sum())
    return {
        "pairs": len(both),
        "agree": list(map(float, wilson(agree, len(both)))),
        "clear": int(clear.sum()),
        "agree_clear": list(map(float, wilson(agree_clear, int(clear.sum())))),
        "mean_r": list(map(float, mean_over_units(r))),
        "mean_behaviour": list(map(float, mean_over_units(kept))),
    }


def found_in(run: Run) -> dict[str, Any]:
    """Everything on the page."""
    rows = answer(_ROWS, [run]).table.to_pylist()
    by_name = {name: [row for row in rows if row["explainer"] == name] for name in ("rules", "lookup")}
    rules = by_name["rules"]
    return {
        "corpus": {name: run.spec["corpus"][name] for name in ("name", "tokens", "sha256")},
        "effects": run.spec["resolved"]["effects"],
        "rows": [{key: round(v, 5) if isinstance(v, float) else v for key, v in row.items()} for row in rows],
        "all": {name: group(own) for name, own in by_name.items()},
        "by_r": [
            {"from": low, "to": high} | group(own)
            for low, high in itertools.pairwise(BORDERS)
            if (own := [row for row in rules if low <= row["r"] < high])
        ],
        "by_depth": [
            {"from": first, "to": last} | group([row for row in rules if first <= row["layer"] <= last])
            for first, last in DEPTHS
        ],
        "related": {
            name: {
                **{score: drawn_again(own, related(score, "behaviour")) for score in OTHERS},
                "noise": drawn_again(own, related("noise", "behaviour")),
                "surplus": drawn_again(own, lambda rows: float(spearman(column(rows, "r"), surplus(rows)))),
            }
            for name, own in by_name.items()
        },
        "pairs": pairs(rules, by_name["lookup"]),
        "width": float(np.median(column(rules, "hi") - column(rules, "lo"))),
        "verdicts": {name: dict(Counter(row["verdict"] for row in own)) for name, own in by_name.items()},
    }


def figure(value: float) -> str:
    """.92, -.03"""
    text = f"{value:.2f}"
    text = text.replace("0.", ".", 1) if abs(float(text)) < 1 else text
    return ".00" if text == "-.00" else text


def bounded(found: Mapping[str, float]) -> str:
    """A figure with its interval."""
    return f"{figure(found['value'])} [{figure(found['lo'])} {figure(found['hi'])}]"


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [f"| {' | '.join(head)} |", f"|---|{'--:|' * (len(head) - 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in body)])


def cells(own: Mapping[str, Any]) -> list[str]:
    """What stands of a group in each table."""
    return [
        str(own["units"]),
        figure(own["r"]),
        figure(own["r2"]),
        bounded(own["mean"]),
        figure(own["null"]),
        bounded(own["behaviour"]),
        bounded(own["noise"]),
        bounded(own["surplus"]),
        f"{own['below_noise']} of {own['units']}",
        str(own["supported"]),
    ]


def tables(found: Mapping[str, Any]) -> dict[str, str]:
    """The tables of the page."""
    head = ("units", "r", "r²", "behaviour, mean", "its null", "median", "noise at equal r", "above noise", "below it")
    head += ("supported",)
    names = {"noise": "behaviour of the noise arm", "surplus": "r with what is above the noise arm"}
    shares = found["related"]
    return {
        "all": table(("explainer", *head), [[name, *cells(own)] for name, own in found["all"].items()]),
        "by_r": table(
            ("r", *head), [[f"{figure(own['from'])} to {figure(own['to'])}", *cells(own)] for own in found["by_r"]]
        ),
        "by_depth": table(
            ("layers", *head), [[f"{own['from']} to {own['to']}", *cells(own)] for own in found["by_depth"]]
        ),
        "related": table(
            ("rank correlation with behaviour", "rules", "lookup"),
            [
                [names.get(score, score), *(bounded(shares[name][score]) for name in ("rules", "lookup"))]
                for score in shares["rules"]
            ],
        ),
    }


def drawing(found: Mapping[str, Any]) -> alt.LayerChart:
    """Each unit's behaviour over its r, the medians of both arms by r, and r squared."""
    points = [
        {"r": row["r"], "score": row["behaviour"], "unit": row["unit"]}
        for row in found["rows"]
        if row["explainer"] == "rules"
    ]
    means = [
        {"r": own["r"], "score": own[name]["value"], "lo": own[name]["lo"], "hi": own[name]["hi"], "arm": told}
        for own in found["by_r"]
        for name, told in (("behaviour", "rules, median"), ("noise", "truth plus noise at equal r, median"))
    ]
    curve = [{"r": float(r), "score": float(r * r)} for r in np.linspace(0, 0.95, 60)]
    x = alt.X("r:Q", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(title="r"))
    y = alt.Y(
        "score:Q", scale=alt.Scale(domain=[-0.5, 1], clamp=True, nice=False), axis=alt.Axis(title="behaviour score")
    )
    colour = alt.Color(
        "arm:N",
        scale=alt.Scale(
            domain=["rules, median", "truth plus noise at equal r, median"], range=[EXPLAINERS["rules"][0], NOISE]
        ),
        legend=alt.Legend(title=None, orient="top", labelLimit=320),
    )
    shape = alt.Shape("arm:N", legend=None)
    beside = alt.Chart(alt.Data(values=means)).encode(x=x, color=colour)
    return dressed(
        alt.layer(
            alt.Chart(alt.Data(values=[{"score": 0}])).mark_rule(color=NULL).encode(y=y),
            alt.Chart(alt.Data(values=curve)).mark_line(color=NULL, strokeDash=[4, 3]).encode(x=x, y=y),
            alt.Chart(alt.Data(values=points))
            .mark_circle(size=22, opacity=0.45, color=EXPLAINERS["rules"][0])
            .encode(x=x, y=y),
            beside.mark_rule(strokeWidth=2).encode(y=alt.Y("lo:Q"), y2="hi:Q"),
            beside.mark_point(filled=True, size=90, opacity=1).encode(y=y, shape=shape),
        ).properties(
            width=720, height=340, title=alt.Title("What a unit's explanation keeps of its effect", anchor="start")
        )
    )


def main() -> None:
    """Read the run, write the figures, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("run", help="directory of a run with behaviour")
    found = found_in(open_run(parser.parse_args().run))
    (PLACE / "r-and-behaviour.json").write_text(json.dumps(found) + "\n", encoding="utf-8")
    svg = vl_convert.vegalite_to_svg(drawing(found).to_dict())
    (PLACE / "r-and-behaviour.svg").write_text(svg + "\n", encoding="utf-8")
    for name, text in tables(found).items():
        print(f"{name}\n\n{text}\n")
    print(json.dumps({name: found[name] for name in ("pairs", "width", "verdicts")}, indent=1))


if __name__ == "__main__":
    main()
