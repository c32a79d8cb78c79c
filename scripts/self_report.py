"""The figures of docs/findings/self-report.md, from stored runs of ``assay report``.

    assay report --models ladder-2-0,ladder-4-0,ladder-8-0,ladder-12-0 --topology S --trainable finetune \\
        --regime nat --neurons-per-layer 1 --seed SEED
    assay report --models ladder-2-0,ladder-4-0,ladder-8-0,ladder-12-0 --regime nat,int,int10 \\
        --neurons-per-layer 3 --seed SEED
    assay report --layers 5,13,20,27,28,29 --topology S --regime nat
    assay report --layers 5,13,20,27,28,29 --regime nat,int
    assay report --layers 5,13,20,27,28,29 --regime int10
    python scripts/self_report.py RUN [RUN ...]

RUN are directories of such runs, in any order; runs of one kind with several seeds are taken together, and a neuron
that was drawn twice counts once. Written are ``self-report.json`` and ``self-report.svg``; printed are the tables of
the page, which a test compares with the JSON.
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

from assay.draw import BLUE, GREEN, NOISE, NULL, PURPLE, SKY, VERMILION, dressed
from assay.introspect.summary import summarise
from assay.store import open_run

PLACE = Path(__file__).parents[1] / "docs" / "findings"
Cell = Mapping[str, Any]
Cells = Sequence[Cell]
Series = Mapping[str, tuple[str, Callable[[Cell], float | None]]]
BASELINES = ("text", "other_model", "blind", "shuffled", "probe_before", "probe_after")
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
KEPT = ("model", "layer", "layers_left", "unit", "stratum", "topology", "regime", "trainable", "sentences", "steps")
KEPT += (
    "bits",
    "bits_lo",
    "bits_hi",
    "bits_own",
    "spearman",
    "digit_mass",
    "gap_closed",
    "causal_slope",
    "drift",
    "drift_r",
)
KEPT += (
    "optimal_r2",
    "optimal_slope",
    "relative_slope",
    "relative_slope_lo",
    "relative_slope_hi",
    "specificity",
    "gain",
)
KEPT += ("plateau", "baselines", "verdict")
REPLICATES = 2000
SHAPES = ["circle", "square", "diamond", "triangle-up", "cross", "triangle-down"]


def gathered(paths: Sequence[str]) -> list[dict[str, Any]]:
    """The cells of all runs, a neuron once in each way that it was asked about."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for path in paths:
        run = open_run(path)
        for cell in run.result()["cells"]:
            key = tuple(cell[name] for name in ("model", "unit", "topology", "regime", "trainable", "sentences"))
            own = {name: cell[name] for name in KEPT} | {"seed": run.spec["asked"]["seed"]}
            own["tests"] = {
                name: {part: test.get(part) for part in ("bits", "relative_slope")}
                for name, test in cell["tests"].items()
            }
            own["sizes"] = {size: bits["bits"] for size, bits in cell["sizes"].items()}
            own["dose"] = cell["dose"]
            found.setdefault(key, own)
    return list(found.values())


def mean(own: Cells, value: Callable[[Mapping[str, Any]], float | None]) -> dict[str, Any] | None:
    """The mean over neurons and its interval, neurons drawn again; none from fewer than three."""
    known = np.array([v for cell in own if (v := value(cell)) is not None])
    if not len(known):
        return None
    drawn = np.random.default_rng(0).choice(known, (REPLICATES, len(known))).mean(1)
    lo, hi = np.quantile(drawn, [0.025, 0.975]) if len(known) >= 3 else (np.nan, np.nan)
    bounds = {"lo": float(lo), "hi": float(hi)} if len(known) >= 3 else {"lo": None, "hi": None}
    return {"value": float(known.mean()), **bounds, "n": len(known)}


def group(own: Cells) -> dict[str, Any]:
    """What some neurons come to: scores, baselines, slopes, drift and verdicts."""
    readable = [cell for cell in own if cell["verdict"] != "unreadable"]
    drifts = [cell["drift"] for cell in own if cell["drift"] is not None]
    return {
        "neurons": len(own),
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
        for regime in ("nat", "int", "int10"):
            own = [c for c in cells if family(c) == name and c["regime"] == regime and c["verdict"] != "unreadable"]
            own = [c for c in own if c["layers_left"] > 0]
            if not own:
                continue
            rows.append({"models": name, "taught": regime, "neurons": len(own)})
            for test in ("nat", "int", "int10"):
                for part in ("bits", "relative_slope"):
                    rows[-1][f"{test}_{part}"] = mean(own, lambda c, t=test, p=part: c["tests"].get(t, {}).get(p))
    return rows


def found_in(paths: Sequence[str]) -> dict[str, Any]:
    """Everything on the page."""
    cells = gathered(paths)
    literal = [cell for cell in cells if cell["topology"] == "S"]
    asked = [cell for cell in cells if cell["topology"] == "Q"]
    summary = summarise(asked)
    return {
        "runs": [open_run(path).id for path in paths],
        "literal": grouped(literal, "model", "trainable"),
        "literal_layers": grouped(literal, "model", "layers_left"),
        "asked": grouped(asked, "model", "regime"),
        "asked_layers": grouped(asked, "model", "regime", "layers_left"),
        "matrix": matrix(asked),
        "k_star": summary["k_star"],
        "k_star_shares": summary["summary"]["k_star_shares"],
        "decoded_not_said": summary["summary"]["decoded_not_said"],
        "cells": [short(cell) for cell in cells],
    }


def short(value: Any) -> Any:
    """Numbers to three places."""
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, list):
        return [short(part) for part in value]
    return {name: short(part) for name, part in value.items()} if isinstance(value, dict) else value


def figure(value: float | None) -> str:
    """.92, -.03"""
    if value is None:
        return "–"
    text = f"{value:.2f}"
    text = text.replace("0.", ".", 1) if abs(float(text)) < 1 else text
    return ".00" if text == "-.00" else text


def bounded(own: Mapping[str, float | None] | None) -> str:
    """A figure with its interval."""
    if own is None:
        return "–"
    return figure(own["value"]) + ("" if own["lo"] is None else f" [{figure(own['lo'])} {figure(own['hi'])}]")


def plain(own: Mapping[str, float] | None) -> str:
    """A figure."""
    return figure(None if own is None else own["value"])


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [f"| {' | '.join(head)} |", f"|---|{'--:|' * (len(head) - 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in body)])


def verdicts(own: Mapping[str, int]) -> str:
    """3 reads, 1 fails."""
    return ", ".join(f"{n} {word}" for word, n in own.items())


def tables(found: Mapping[str, Any]) -> dict[str, str]:
    """The tables of the page."""
    heard = ("bits", "text", "other model", "blind", "shuffled", "probe before", "probe after")
    names = ("text", "other_model", "blind", "shuffled", "probe_before", "probe_after")

    def scores(row: Mapping[str, Any]) -> list[str]:
        return [str(row["neurons"]), bounded(row["bits"]), *(plain(row[name]) for name in names)]

    def way(row: Mapping[str, Any]) -> str:
        return f"{row['model']} Q {row['regime']} above"

    def least(row: Mapping[str, Any]) -> list[str]:
        k, shares = found["k_star"][way(row)], found["k_star_shares"][way(row)]
        return ["none" if k is None else str(k), ", ".join(f"{n} {figure(share)}" for n, share in shares.items())]

    def slope(row: Mapping[str, Any]) -> list[str]:
        return [bounded(row["relative_slope"]), verdicts(row["verdicts"])]

    def moved(row: Mapping[str, Any]) -> list[str]:
        return [figure(row["drift"]), bounded(row["bits_own"])]

    across = ("nat_bits", "int_relative_slope", "int10_relative_slope", "int_bits", "int10_bits")
    natural = [row for row in found["asked"] if row["regime"] == "nat"]
    patched = [row for row in found["asked"] if row["regime"] != "nat"]
    head = ("model", "neurons", *heard)
    return {
        "literal": table(
            (*head, "drift, median", "bits about its own value", "relative slope", "verdicts"),
            [[row["model"], *scores(row), *moved(row), *slope(row)] for row in found["literal"]],
        ),
        "natural": table(
            (*head, "relative slope", "verdicts"), [[row["model"], *scores(row), *slope(row)] for row in natural]
        ),
        "patched": table(
            ("model", "taught", "neurons", "bits", "k*", "k*, neurons drawn again", "relative slope", "verdicts"),
            [
                [row["model"], row["regime"], str(row["neurons"]), bounded(row["bits"]), *least(row), *slope(row)]
                for row in patched
            ],
        ),
        "matrix": table(
            ("models", "taught", "neurons", "bits, natural", "slope ×1", "slope ×10", "bits ×1", "bits ×10"),
            [
                [row["models"], row["taught"], str(row["neurons"]), *(bounded(row[name]) for name in across)]
                for row in found["matrix"]
            ],
        ),
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
    """Bits and slopes by layers left: the literal proposal, then the controls; and how far neurons moved."""
    cells: Cells = found["cells"]
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
        for regime, name, colour in (
            ("nat", "natural values", VERMILION),
            ("int", "patches ×1", SKY),
            ("int10", "patches ×10", BLUE),
        )
    }
    panels: list[Any] = []
    for name in dict.fromkeys(map(family, cells)):
        own = [cell for cell in cells if family(cell) == name]
        for topology, what in (
            ("S", "the number right after the full stop, every layer trained"),
            ("Q", "asked by a letter, layers above trained"),
        ):
            here = [cell for cell in own if cell["topology"] == topology]
            natural = [cell for cell in here if cell["regime"] == "nat"]
            if natural:
                panels.append(panel(natural, scores, f"{name}: {what}", "bits (3.32 is all)"))
            readable = [cell for cell in here if cell["verdict"] != "unreadable"]
            if topology == "Q" and readable:
                panels.append(panel(readable, slopes, f"{name}: does the answer follow the neuron?", "slope / optimum"))
    return dressed(alt.vconcat(*panels, spacing=26).resolve_scale(color="independent", shape="independent"))


def main() -> None:
    """Read the runs, write the figures, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("runs", nargs="+", help="directories of runs of assay report")
    found = found_in(parser.parse_args().runs)
    (PLACE / "self-report.json").write_text(json.dumps(found) + "\n", encoding="utf-8")
    svg = vl_convert.vegalite_to_svg(drawing(found).to_dict())
    (PLACE / "self-report.svg").write_text(svg + "\n", encoding="utf-8")
    for name, text in tables(found).items():
        print(f"{name}\n\n{text}\n")


if __name__ == "__main__":
    main()
