"""The figures of docs/findings/every-neuron.md, from stored runs.

    assay explain --units all --tokens 150000
    assay explain --units all --tokens 150000 --no-behaviour --corpus moby-dick.jsonl --also bundled
    assay explain --units all --tokens 150000 --no-behaviour --model smollm2-135m~shuffled
    assay explain --units spread30 --no-behaviour
    python scripts/every_neuron.py WHOLE NOVEL TWIN SPOKEN

The four arguments are the runs' directories. Written are ``every-neuron.json``, ``every-neuron-depth.svg`` and
``every-neuron-twin.svg``; printed are the tables of the page, which a test compares with the JSON.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from assay.explain.whole.compare import compare_runs, comparison_figure, comparison_json
from assay.explain.whole.figure import depth_figure
from assay.stats.strata import SINGLE, mean_over_units, trained_minus_twin
from assay.store import Run, open_run
from assay.store.query import answer

PLACE = Path(__file__).parents[1] / "docs" / "findings"
FLOORS = (0.01, 0.02, 0.05)
SHOWN = (0, 1, 2, 5, 10, 15, 20, 25, 28, 29)
_MEASURES = """
    select u.layer, c.explainer, avg(e.value) filter (e.measure = 'r_pos') as r_pos,
        avg(e.value) filter (e.measure = 'r_neg') as r_neg,
        avg(e.value) filter (e.measure = 'r_context') as r_context,
        avg(e.value) filter (e.measure = 'f1') as f1
    from claims c join units u using (unit) join evidence e using (claim)
    where c.role = 'claim' group by u.layer, c.explainer order by u.layer, c.explainer"""
_BY_SHARE = """
    with own as (
        select c.claim, max(e.value) filter (e.measure = 'r') as r,
            max(e.value) filter (e.measure = 'r_context') as r_context,
            max(e.value) filter (e.measure = 'token_explained') as share,
            max(cast(json_extract_string(e."references", '$.bigram_full') as double)) filter (e.measure = 'r') as bigram
        from claims c join evidence e using (claim)
        where c.role = 'claim' and c.explainer = 'rules' group by c.claim)
    select least(greatest(floor(share * 5), 0), 4) / 5 as low, count(*) as units, avg(r) as r,
        avg(bigram) as bigram_full, avg(r_context) as r_context
    from own where share is not null and r is not null group by low order by low"""

_BEHAVIOUR = """
    select c.unit, c.explainer, e.value, e.lo, e.hi, e.verdict,
        cast(json_extract_string(e."references", '$.noise_equal_r') as double) as noise
    from claims c join evidence e using (claim)
    where c.role = 'claim' and e.measure = 'behaviour' order by c.claim"""
_SCORES = """
    select c.claim, u.layer, e.measure, e.value, greatest(0,
        cast(json_extract_string(e.nulls, '$.other_unit') as double),
        cast(json_extract_string(e.nulls, '$.shuffled') as double)) as best_null
    from claims c join units u using (unit) join evidence e using (claim)
    where c.role = 'claim' and c.explainer = 'rules' and e.measure in ('r', 'r_context') and e.value is not null
    order by c.claim"""
_SINGLE = """
    select c.claim, max(e.value) filter (e.measure = 'r') as r,
        max(e.value) filter (e.measure = 'token_single') as single,
        max(e.value) filter (e.measure = 'token_alone') as alone
    from claims c join evidence e using (claim)
    where c.role = 'claim' and c.explainer = 'rules' group by c.claim order by c.claim"""


def rows(run: Run, sql: str) -> list[dict[str, Any]]:
    """The answer of a run to a query."""
    return answer(sql, [run]).table.to_pylist()


def whole(run: Run) -> dict[str, Any]:
    """What is said of a run of every neuron."""
    summary = run.result()["summary"]
    kept = ("units", "mean_r", "median_r", "verdicts", "controls", "also", "tokens", "seconds", "peak_rss_mb")
    measures = rows(run, _MEASURES)
    return {
        "corpus": {name: run.spec["corpus"][name] for name in ("name", "tokens")},
        **{name: summary[name] for name in kept},
        "behaviour_sample": summary["behaviour_sample"],
        "per_layer": summary["per_layer"],
        "measures": [row for row in measures if row["explainer"] == "rules"],
        "by_token_share": rows(run, _BY_SHARE),
        "behaviour": rows(run, _BEHAVIOUR),
    }


def mean(values: Sequence[float]) -> dict[str, float]:
    """A mean over units with its 95 % interval; units are drawn again, not documents."""
    found = mean_over_units(np.array(values, dtype=np.float64))
    return dict(zip(("mean", "lo", "hi"), map(float, found), strict=True))


def beside_nulls(run: Run) -> dict[str, Any]:
    """r and r in context, each unit's beside the highest of its nulls: over all units, and by layer."""
    found: dict[str, Any] = {}
    scores = rows(run, _SCORES)
    for measure in ("r", "r_context"):
        own = [row for row in scores if row["measure"] == measure]
        nulls = np.array([row["best_null"] for row in own])
        layers = np.array([row["layer"] for row in own])
        found[measure] = mean([row["value"] for row in own]) | {"null": float(nulls.mean())}
        found[f"{measure}_null_by_layer"] = [float(nulls[layers == i].mean()) for i in range(layers.max() + 1)]
    return found


def by_floor(trained: Run, twin: Run) -> list[dict[str, Any]]:
    """The strata of a comparison, by the share of its variance that one token must explain of a single-token unit."""
    scores = [
        {
            name: np.array([row[name] for row in rows(run, _SINGLE)], dtype=np.float64)
            for name in ("r", "single", "alone")
        }
        for run in (trained, twin)
    ]
    found: list[dict[str, Any]] = []
    for floor in FLOORS:
        single = [(own["single"] >= SINGLE) & (own["alone"] >= floor) for own in scores]
        for gap in trained_minus_twin(scores[0]["r"], scores[1]["r"], *single):
            if gap.stratum != "all":
                found.append(
                    {"floor": floor, "stratum": gap.stratum, "n_trained": gap.n_trained, "n_twin": gap.n_twin}
                    | {"trained": gap.trained, "twin": gap.twin}
                    | dict(zip(("difference", "lo", "hi"), map(float, gap.difference), strict=True))
                )
    return found


def spoken(run: Run) -> dict[str, Any]:
    """Rules, self and lookup on the same tokens."""
    result = run.result()
    own = [entry for entry in result["units"] if entry["explainer"] == "self"]
    beside = {
        name: [entry["same_tokens"][name]["r"] for entry in own if name in entry["same_tokens"]]
        for name in ("rules", "lookup")
    }
    r = [entry["r"] for entry in own if entry["r"] is not None]
    sure = [entry for entry in own if entry["r"] is not None and (entry["same_tokens"]["rules"]["above"][2] or 0) < 0]
    return {
        "units": len(own),
        "scored": len(r),
        "mean_r": {"self": float(np.mean(r)), **{name: float(np.mean(values)) for name, values in beside.items()}},
        "means": {"self": mean(r)} | {name: mean(values) for name, values in beside.items()},
        "null": float(
            np.mean([max(v for v in e["nulls"].values() if v is not None) for e in own if e["r"] is not None])
        ),
        "best_r": max(r),
        "surely_below_rules": len(sure),
        "verdicts": result["summary"]["verdicts"],
        "said": result["summary"]["self"],
        "seconds": result["summary"]["seconds"],
    }


def figure(value: float | None) -> str:
    """A score as it stands in a table."""
    return "–" if value is None else f"{value:.2f}".replace("0.", ".", 1)


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [" | ".join(head), "|".join(["---", *["--:"] * (len(head) - 1)]), *(" | ".join(row) for row in body)]
    return "\n".join(f"| {line} |" if i != 1 else f"|{line}|" for i, line in enumerate(lines))


def tables(found: Mapping[str, Any]) -> dict[str, str]:
    """The tables of the page."""
    model, novel, twin = found["whole"], found["novel"], found["twin"]
    depth = [
        [
            str(row["layer"]),
            *(figure(row[name]) for name in ("mean_r", "median_r")),
            figure(found["nulls"]["whole"]["r_null_by_layer"][row["layer"]]),
            *(figure(row["references"][name]) for name in ("lookup", "lookup_full", "bigram_full")),
            f"{row['above_lookup'] / row['units']:.0%}",
            f"{row['predicts'] / row['units']:.0%}",
            *(figure(more[name]) for name in ("r_pos", "r_neg", "r_context")),
            figure(found["nulls"]["whole"]["r_context_null_by_layer"][row["layer"]]),
            *(figure(novel["per_layer"][row["layer"]][name]) for name in ("mean_r", "also_mean_r")),
        ]
        for row, more in zip(model["per_layer"], model["measures"], strict=True)
        if row["layer"] in SHOWN
    ]
    head = [
        "layer",
        "mean r",
        "median",
        "null",
        "lookup, equal",
        "lookup, full",
        "pairs, full",
        "above lookup",
        "predict",
    ]
    shares = [
        [f"{row['low']:.0%} to {row['low'] + 0.2:.0%}", f"{row['units']:,}"]
        + [figure(row[name]) for name in ("r", "bigram_full", "r_context")]
        for row in model["by_token_share"]
    ]
    strata = [
        [
            row["stratum"],
            *(f"{row[name]:,}" for name in ("n_trained", "n_twin")),
            *(figure(row[name]) for name in ("trained", "twin")),
            f"{figure(row['difference'])} [{figure(row['lo'])} {figure(row['hi'])}]",
        ]
        for row in twin["overall"]
    ]
    floors = [
        [
            f"{row['floor']:.0%}",
            row["stratum"],
            *(f"{row[name]:,}" for name in ("n_trained", "n_twin")),
            *(figure(row[name]) for name in ("trained", "twin")),
            f"{figure(row['difference'])} [{figure(row['lo'])} {figure(row['hi'])}]",
        ]
        for row in twin["by_floor"]
    ]
    return {
        "depth": table(
            [*head, "r, above 0", "r, below 0", "r, context", "its null", "novel", "novel, on bundled"], depth
        ),
        "share": table(["the token explains", "units", "r of rules", "pairs, full", "r, context"], shares),
        "twin": table(["units", "trained", "twin", "r, trained", "r, twin", "difference"], strata),
        "floor": table(
            ["one token explains", "units", "trained", "twin", "r, trained", "r, twin", "difference"], floors
        ),
    }


def main() -> None:
    """Read the runs, write the figures, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    for name in ("whole", "novel", "twin", "spoken"):
        parser.add_argument(name, help="directory of the run")
    asked = parser.parse_args()
    runs = {name: open_run(getattr(asked, name)) for name in ("whole", "novel", "twin", "spoken")}
    comparison = compare_runs(runs["whole"], runs["twin"])
    found = {
        "whole": whole(runs["whole"]),
        "novel": whole(runs["novel"]),
        "nulls": {name: beside_nulls(runs[name]) for name in ("whole", "twin")},
        "twin": comparison_json(comparison) | {"by_floor": by_floor(runs["whole"], runs["twin"])},
        "spoken": spoken(runs["spoken"]),
    }
    sample = [row for row in found["whole"]["behaviour"] if row["explainer"] == "rules"]
    found["behaviour"] = {name: mean([row[name] for row in sample]) for name in ("value", "noise")}
    found["behaviour"]["above_noise"] = mean([row["value"] - row["noise"] for row in sample])
    PLACE.mkdir(exist_ok=True)
    (PLACE / "every-neuron.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    drawn = {"depth": depth_figure(found["whole"]["per_layer"]), "twin": comparison_figure(comparison)}
    for name, drawing in drawn.items():
        (PLACE / f"every-neuron-{name}.svg").write_text(drawing.svg + "\n", encoding="utf-8")
    for name, text in tables(found).items():
        print(f"{name}\n\n{text}\n")


if __name__ == "__main__":
    main()
