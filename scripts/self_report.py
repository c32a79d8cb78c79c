"""The figures of docs/findings/self-report.md, from stored runs of ``assay report``.

    LADDER=ladder-2-0,ladder-4-0,ladder-8-0,ladder-12-0
    assay report --models $LADDER --topology S --trainable finetune --regime nat --neurons-per-layer 1 \\
        --seed SEED
    assay report --models $LADDER --regime nat,int,int10 --neurons-per-layer 3 --seed SEED
    assay report --topology S --layers 5,13,20,27,28,29 --regime nat --neurons-per-layer 1
    assay report --topology S --layers 29 --regime int,int10
    assay report --layers 5,13,20,27,28,29 --regime nat,int
    assay report
    assay report --layers 20,27,28,29 --regime int10
    assay report --layers 20,27,28,29 --regime nat,int,int10 --seed 1
    assay report --model ladder-8-0 --layers 2,4,6 --regime nat --neurons-per-layer 3 --train-examples 4000
    assay report --model ladder-8-0 --layers 2,5 --regime nat,int10 --neurons-per-layer 3 --seed 3 \\
        --also moby-dick.jsonl
    assay report --model ladder-8-0 --layers 2,5 --trainable question,full --regime nat,int10 --neurons-per-layer 3
    assay report --model ladder-8-0 --regime swap --neurons-per-layer 3
    python scripts/self_report.py RUN [RUN ...]

RUN are directories of such runs, in any order; runs of one kind with several seeds are taken together. A trial is one
neuron under one seed: of sentences, patches and training. Written are ``self-report.json``, ``self-report.svg`` and
``self-report-more.svg``; printed are the tables of the page, which a test compares with the JSON.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert
from self_report_groups import (
    REGIMES,
    Cell,
    Cells,
    as_usual,
    by_amount,
    family,
    grouped,
    matrix,
    mean,
    on_other_text,
    otherwise,
    said,
    short,
)
from self_report_tables import TAUGHT, tables

from assay.draw import BLUE, GREEN, NOISE, NULL, PURPLE, SKY, VERMILION, dressed
from assay.introspect.figure import amounts, doses, drift, sizes
from assay.introspect.stored import recompute
from assay.introspect.summary import summarise
from assay.store import open_run

PLACE = Path(__file__).parents[1] / "docs" / "findings"
Series = Mapping[str, tuple[str, Callable[[Cell], float | None]]]
KEPT = (
    *("model", "layer", "layers_left", "unit", "stratum", "topology", "regime", "trainable", "sentences", "steps"),
    *("bits", "bits_lo", "bits_hi", "bits_own", "spearman", "digit_mass", "gap_closed", "gain", "plateau"),
    *("causal_slope", "optimal_r2", "optimal_slope", "relative_slope", "relative_slope_lo", "relative_slope_hi"),
    *(
        "specificity",
        "optimal_specificity",
        "drift",
        "drift_r",
        "baselines",
        "verdict",
        "reason",
        "dose",
        "sizes",
        "also",
    ),
)
TRIAL = ("model", "topology", "trainable", "regime", "sentences", "unit", "seed")
SAME_SCALE = {
    "nat": ("nat", "int", "int10"),
    "int": ("nat", "int", "int10"),
    "swap": ("nat", "int"),
    "int10": ("int10",),
}
GROWN = ("ladder-12-0", "smollm2-135m")  # of which it is shown what more sentences bring
SHAPES = ["circle", "square", "diamond", "triangle-up", "cross", "triangle-down"]


def gathered(paths: Sequence[str]) -> list[dict[str, Any]]:
    """The cells of all runs, made again from the stored answers by today's rule; a trial run twice counts once."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for path in paths:
        run = open_run(path)
        for cell in (again.now for again in recompute(run)):
            own = (
                {name: cell.get(name) for name in KEPT} | {"dose": own_dose(cell)} | {"seed": run.spec["asked"]["seed"]}
            )
            own["tests"] = {
                name: {part: test.get(part) for part in ("bits", "relative_slope")}
                for name, test in cell["tests"].items()
                if name in SAME_SCALE[cell["regime"]]
            }
            found.setdefault((*(own[name] for name in TRIAL), own["also"] is None), own)
    return list(found.values())


def own_dose(cell: Mapping[str, Any]) -> dict[str, Any]:
    """The answers to patches as far as those that were taught; ×1 where none were."""
    regime = "int" if cell["regime"] in ("nat", "swap") else cell["regime"]
    return {regime: cell["dose"][regime]} if cell["dose"] else {}


def found_in(paths: Sequence[str]) -> dict[str, Any]:
    """Everything on the page."""
    cells = gathered(paths)
    usual = as_usual(cells)
    literal = [cell for cell in usual if cell["topology"] == "S" and cell["regime"] == "nat"]
    asked = [cell for cell in usual if cell["topology"] == "Q"]
    summary = summarise(asked)
    return {
        "runs": [open_run(path).id for path in paths],
        "literal": grouped(literal, "model", "trainable"),
        "asked": grouped(asked, "model", "regime"),
        "asked_layers": grouped(asked, "model", "regime", "layers_left"),
        "strata": grouped([cell for cell in asked if cell["layers_left"]], "regime", "stratum"),
        "matrix": matrix(asked),
        "said": said(asked),
        "amounts": by_amount(cells),
        "also": on_other_text([cell for cell in cells if cell["also"]]),
        "otherwise": otherwise(cells),
        "k_star": summary["k_star"],
        "k_star_shares": summary["summary"]["k_star_shares"],
        "decoded_not_said": summary["summary"]["decoded_not_said"],
        "cells": [short(cell) for cell in cells],
    }


def points(cells: Cells, series: Series) -> list[dict[str, Any]]:
    """The mean of each series over neurons with as many layers left, with its interval."""
    rows: list[dict[str, Any]] = []
    for left in sorted({cell["layers_left"] for cell in cells}):
        own = [cell for cell in cells if cell["layers_left"] == left]
        for name, (_, value) in series.items():
            if (found := mean(own, value)) is not None:
                rows.append(
                    {
                        "left": left,
                        "series": name,
                        "score": max(-1.0, found["value"]),
                        "lo": found["lo"],
                        "hi": found["hi"],
                    }
                )
    return rows


def panel(cells: Cells, series: Series, title: str, axis: str) -> alt.LayerChart:
    """Series by layers left above the neuron."""
    rows = points(cells, series)
    colour = alt.Color(
        "series:N",
        scale=alt.Scale(domain=list(series), range=[colour for colour, _ in series.values()]),
        legend=alt.Legend(title=None, columns=4, labelLimit=300),
    )
    shape = alt.Shape("series:N", scale=alt.Scale(domain=list(series), range=SHAPES[: len(series)]), legend=None)
    x = alt.X("left:Q", axis=alt.Axis(title="layers left above the neuron", tickMinStep=1))
    base = alt.Chart(alt.Data(values=rows)).encode(x=x, color=colour)
    bars = alt.Chart(alt.Data(values=[row for row in rows if row["lo"] is not None])).encode(x=x, color=colour)
    y = alt.Y("score:Q", axis=alt.Axis(title=axis))
    layers: list[Any] = [
        alt.Chart(alt.Data(values=[{"zero": 0}])).mark_rule(color=NULL).encode(y=alt.Y("zero:Q")),
        bars.mark_rule(strokeWidth=1.2, opacity=0.6).encode(y=alt.Y("lo:Q"), y2="hi:Q"),
        base.mark_line(strokeWidth=1.2, opacity=0.7).encode(y=y),
        base.mark_point(filled=True, size=48, opacity=1).encode(y=y, shape=shape),
    ]
    return alt.LayerChart(layer=layers).properties(width=640, height=190, title=alt.Title(title, anchor="start"))


def drawing(found: Mapping[str, Any]) -> alt.VConcatChart:
    """Bits and slopes by layers left: the literal proposal, then the controls."""
    cells = as_usual(found["cells"])
    scores: Series = {
        "the model’s report": (BLUE, lambda cell: cell["bits"]),
        "text alone, the best": (VERMILION, lambda cell: cell["baselines"]["text"]),
        "other model’s report": (PURPLE, lambda cell: cell["baselines"]["other_model"]),
        "blind to the full stop": (GREEN, lambda cell: cell["baselines"]["blind"]),
        "probe before the neuron": (SKY, lambda cell: cell["baselines"]["probe_before"]),
        "probe after, the best": (NOISE, lambda cell: cell["baselines"]["probe_after"]),
    }
    taught = [(regime, TAUGHT[regime]) for regime in REGIMES]
    slopes = {
        f"taught {name}": (
            colour,
            lambda cell, regime=regime: cell["relative_slope"] if cell["regime"] == regime else None,
        )
        for (regime, name), colour in zip(taught, (VERMILION, SKY, BLUE), strict=True)
    }
    panels: list[Any] = []
    for name in dict.fromkeys(map(family, cells)):
        own = [cell for cell in cells if family(cell) == name]
        for topology, what in (
            ("S", "the number right after the full stop"),
            ("Q", "asked by a letter"),
        ):
            here = [cell for cell in own if cell["topology"] == topology]
            natural = [cell for cell in here if cell["regime"] == "nat"]
            if natural:
                panels.append(panel(natural, scores, f"{name}: {what}", "bits (3.32 is all)"))
            readable = [cell for cell in here if cell["verdict"] != "unreadable"]
            if topology == "Q" and readable:
                panels.append(panel(readable, slopes, f"{name}: does the answer follow the neuron?", "slope / optimum"))
    return dressed(
        alt.vconcat(*panels, spacing=26).resolve_scale(
            color="independent", shape="independent", strokeDash="independent"
        )
    )


def more(found: Mapping[str, Any]) -> alt.VConcatChart:
    """Answers to doses as long as those taught, how far neurons moved, k* by model, and bits by number of sentences."""
    cells = as_usual(found["cells"])
    asked = [cell for cell in cells if cell["topology"] == "Q"]
    own = [cell for cell in asked if cell["layers_left"]]
    moved = [cell for cell in cells if cell["drift"]]
    panels = [doses(own)]
    panels += [drift(moved)] if moved else []
    panels += [sizes({"k_star": {way: k for way, k in found["k_star"].items() if " nat " not in way}})]
    panels += [amounts([cell for cell in asked if cell["model"] in GROWN and cell["regime"] != "int"])]
    return dressed(
        alt.vconcat(*panels, spacing=26).resolve_scale(
            color="independent", shape="independent", strokeDash="independent"
        )
    )


def main() -> None:
    """Read the runs, write the figures, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("runs", nargs="+", help="directories of runs of assay report")
    found = found_in(parser.parse_args().runs)
    (PLACE / "self-report.json").write_text(json.dumps(found, separators=(",", ":")) + "\n", encoding="utf-8")
    for name, chart in (("self-report", drawing(found)), ("self-report-more", more(found))):
        svg = vl_convert.vegalite_to_svg(chart.to_dict())
        (PLACE / f"{name}.svg").write_text(svg + "\n", encoding="utf-8")
    for name, text in tables(found).items():
        print(f"{name}\n\n{text}\n")


if __name__ == "__main__":
    main()
