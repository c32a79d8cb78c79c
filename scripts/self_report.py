"""The figures of docs/findings/self-report.md, from stored runs of ``assay report``.

    LADDER=ladder-2-0,ladder-4-0,ladder-8-0,ladder-12-0
    assay report --models $LADDER --topology S --trainable finetune --regime nat --neurons-per-layer 1 \\
        --seed SEED
    assay report --models $LADDER --regime nat,int,int10 --neurons-per-layer 3 --seed SEED
    assay report --topology S --layers 5,13,20,27,28,29 --regime nat --neurons-per-layer 1
    assay report --topology S --layers 29 --regime int,int10
    assay report --layers 5,13,20,27,28,29 --regime nat,int
    assay report --layers 20,27,28,29 --regime int10
    assay report --model ladder-8-0 --layers 2,4,6 --regime nat --neurons-per-layer 3 --train-examples 4000
    assay report --model ladder-8-0 --layers 2,5 --regime nat,int10 --neurons-per-layer 3 --seed 3 \\
        --also moby-dick.jsonl
    python scripts/self_report.py RUN [RUN ...]

RUN are directories of such runs, in any order; runs of one kind with several seeds are taken together. A trial is one
neuron under one seed: of sentences, patches and training. Written are ``self-report.json``, ``self-report.svg`` and
``self-report-more.svg``; printed are the tables of the page, which a test compares with the JSON.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import vl_convert
from self_report_tables import BASELINES, TAUGHT, tables

from assay.draw import BLUE, GREEN, NOISE, NULL, PURPLE, SKY, VERMILION, dressed
from assay.introspect.figure import amounts, doses, drift, sizes
from assay.introspect.stored import recompute
from assay.introspect.summary import summarise
from assay.store import open_run

PLACE = Path(__file__).parents[1] / "docs" / "findings"
Cell = Mapping[str, Any]
Cells = Sequence[Cell]
Series = Mapping[str, tuple[str, Callable[[Cell], float | None]]]
WORDS = (
    "reads",
    "recomputes",
    "recomputes or infers",
    "infers from text",
    "undecided",
    "undertrained",
    "fails",
    "unreadable",
)
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
REGIMES = ("nat", "int", "int10")
SAME_SCALE = {"nat": ("nat", "int", "int10"), "int": ("nat", "int", "int10"), "int10": ("int10",)}
USUAL = 1000  # sentences taught
REPLICATES = 2000
GROWN = ("ladder-12-0", "smollm2-135m")  # of which it is shown what more sentences bring
SHAPES = ["circle", "square", "diamond", "triangle-up", "cross", "triangle-down"]


def gathered(paths: Sequence[str]) -> list[dict[str, Any]]:
    """The cells of all runs, made again from the stored answers by today's rule."""
    found: list[dict[str, Any]] = []
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
            found.append(own)
    return found


def own_dose(cell: Mapping[str, Any]) -> dict[str, Any]:
    """The answers to patches as far as those that were taught; ×1 where none were."""
    regime = "int" if cell["regime"] == "nat" else cell["regime"]
    return {regime: cell["dose"][regime]} if cell["dose"] else {}


def mean(own: Cells, value: Callable[[Mapping[str, Any]], float | None]) -> dict[str, Any] | None:
    """The mean over trials, and its interval, neurons drawn again with all their trials; none from fewer than three."""
    known = {(cell["model"], cell["unit"], cell["seed"]): v for cell in own if (v := value(cell)) is not None}
    if not known:
        return None
    neurons = sorted({key[:2] for key in known})
    sums = np.zeros((len(neurons), 2))
    for key, one in known.items():
        sums[neurons.index(key[:2])] += one, 1
    drawn = sums[np.random.default_rng(0).integers(len(neurons), size=(REPLICATES, len(neurons)))].sum(1)
    lo, hi = np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975]) if len(neurons) >= 3 else (None, None)
    total, count = sums.sum(0)
    bounds = {"lo": None, "hi": None} if lo is None or hi is None else {"lo": float(lo), "hi": float(hi)}
    return {"value": float(total / count), **bounds, "n": int(count)}


def group(own: Cells) -> dict[str, Any]:
    """What some neurons come to: scores, baselines, slopes, drift and verdicts."""
    readable = [cell for cell in own if cell["verdict"] != "unreadable"]
    drifts = [cell["drift"] for cell in own if cell["drift"] is not None]
    seeds = sorted({cell["seed"] for cell in own})
    return {
        "trials": len(own),
        "neurons": len({(cell["model"], cell["unit"]) for cell in own}),
        "slopes_by_seed": [mean([c for c in readable if c["seed"] == n], lambda c: c["relative_slope"]) for n in seeds],
        "bits_by_seed": [mean([c for c in own if c["seed"] == n], lambda c: c["bits"]) for n in seeds],
        "read": sum(cell["verdict"] == "reads" for cell in readable),
        "readable": len(readable),
        "bits": mean(own, lambda cell: cell["bits"]),
        "bits_own": mean(own, lambda cell: cell["bits_own"]),
        **{name: mean(own, lambda cell, name=name: cell["baselines"][name]) for name in BASELINES},
        "relative_slope": mean(readable, lambda cell: cell["relative_slope"]),
        "drift": float(np.median(drifts)) if drifts else None,
        "verdicts": {word: n for word in WORDS if (n := Counter(cell["verdict"] for cell in own)[word])},
    }


def grouped(cells: Cells, *names: str) -> list[dict[str, Any]]:
    """Groups of equal names, in the order in which they come."""
    keys = list(dict.fromkeys(tuple(cell[name] for name in names) for cell in cells))
    return [
        dict(zip(names, key, strict=True)) | group([c for c in cells if tuple(c[name] for name in names) == key])
        for key in keys
    ]


def family(cell: Mapping[str, Any]) -> str:
    """The ladder, or the model itself."""
    return "ladder" if cell["model"].startswith("ladder-") else cell["model"]


def matrix(cells: Cells) -> list[dict[str, Any]]:
    """What reporters taught in one regime do in the others: neurons that can be read, and were taught."""
    rows: list[dict[str, Any]] = []
    for name in dict.fromkeys(map(family, cells)):
        for regime in REGIMES:
            own = [c for c in cells if family(c) == name and c["regime"] == regime and c["verdict"] != "unreadable"]
            own = [c for c in own if c["layers_left"] > 0]
            if not own:
                continue
            rows.append({"models": name, "taught": regime, "trials": len(own)})
            for test in REGIMES:
                for part in ("bits", "relative_slope"):
                    rows[-1][f"{test}_{part}"] = mean(own, lambda c, t=test, p=part: c["tests"].get(t, {}).get(p))
    return rows


def found_in(paths: Sequence[str]) -> dict[str, Any]:
    """Everything on the page."""
    cells = gathered(paths)
    usual = [cell for cell in cells if cell["sentences"] == USUAL and not cell["also"]]
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
        "amounts": by_amount(cells),
        "also": on_other_text([cell for cell in cells if cell["also"]]),
        "k_star": summary["k_star"],
        "k_star_shares": summary["summary"]["k_star_shares"],
        "decoded_not_said": summary["summary"]["decoded_not_said"],
        "cells": [short(cell) for cell in cells],
    }


def by_amount(cells: Cells) -> list[dict[str, Any]]:
    """What more sentences bring: neurons that were taught on the usual number and on more, natural values asked."""
    own = [c for c in cells if c["topology"] == "Q" and c["regime"] == "nat" and c["seed"] == 0 and not c["also"]]
    more = {(c["model"], c["unit"]) for c in own if c["sentences"] > USUAL}
    own = [c for c in own if (c["model"], c["unit"]) in more]
    same = {(c["model"], c["unit"]) for c in own if c["sentences"] == USUAL}
    own = [c for c in own if (c["model"], c["unit"]) in same]
    rows: list[dict[str, Any]] = []
    for size in sorted({int(size) for c in own for size in c["sizes"]}):
        here = [c for c in own if str(size) in c["sizes"]]
        whole = [c for c in here if c["sentences"] == size]
        read = [c for c in whole if c["verdict"] != "unreadable"]
        rows.append(
            {"sentences": size, "trials": len(here)}
            | {"bits": mean(here, lambda c, n=size: c["sizes"][str(n)]["bits"])}
            | {name: mean(whole, lambda c, name=name: c["baselines"][name]) for name in BASELINES}
            | {"relative_slope": mean(read, lambda c: c["relative_slope"])}
            | {"verdicts": {word: n for word in WORDS if (n := Counter(c["verdict"] for c in whole)[word])}}
        )
    return rows


def on_other_text(cells: Cells) -> list[dict[str, Any]]:
    """The same reporters on the text they come from and on another, regime by regime."""
    rows: list[dict[str, Any]] = []
    for regime in dict.fromkeys(cell["regime"] for cell in cells):
        own = [c for c in cells if c["regime"] == regime and c["bits"] is not None]
        read = [c for c in own if "unreadable" not in (c["verdict"], c["also"]["verdict"])]
        rows.append({"taught": regime, "trials": len(own)})
        for name, usable in (("bits", own), ("relative_slope", read)):
            rows[-1][name] = mean(usable, lambda c, name=name: c[name])
            rows[-1][f"{name}_there"] = mean(usable, lambda c, name=name: c["also"][name])
            rows[-1][f"{name}_drop"] = mean(usable, lambda c, name=name: c[name] - c["also"][name])
        rows[-1]["probe"] = mean(own, lambda c: c["baselines"]["probe_after"])
        rows[-1]["probe_there"] = mean(own, lambda c: c["also"]["probe_after"])
    return rows


def short(value: Any) -> Any:
    """Numbers to three places."""
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, list):
        return [short(part) for part in value]
    return {name: short(part) for name, part in value.items()} if isinstance(value, dict) else value


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
    cells = _usual(found)
    scores: Series = {
        "the model’s report": (BLUE, lambda cell: cell["bits"]),
        "text alone, the best": (VERMILION, lambda cell: cell["baselines"]["text"]),
        "other model’s report": (PURPLE, lambda cell: cell["baselines"]["other_model"]),
        "blind to the full stop": (GREEN, lambda cell: cell["baselines"]["blind"]),
        "probe before the neuron": (SKY, lambda cell: cell["baselines"]["probe_before"]),
        "probe after, the best": (NOISE, lambda cell: cell["baselines"]["probe_after"]),
    }
    slopes = {
        f"taught {name}": (
            colour,
            lambda cell, regime=regime: cell["relative_slope"] if cell["regime"] == regime else None,
        )
        for (regime, name), colour in zip(TAUGHT.items(), (VERMILION, SKY, BLUE), strict=True)
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
    cells = _usual(found)
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


def _usual(found: Mapping[str, Any]) -> Cells:
    return [cell for cell in found["cells"] if cell["sentences"] == USUAL and not cell["also"]]


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
