"""Trials of self-reports taken together: their means and intervals, counts and verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from self_report_tables import BASELINES

Cell = Mapping[str, Any]
Cells = Sequence[Cell]
REGIMES = ("nat", "int", "int10")
USUAL = 1000  # sentences taught
REPLICATES = 2000
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


def said(cells: Cells) -> list[dict[str, Any]]:
    """How well natural values are told where a layer is left above: the median rank correlation, bits, and the text's.

    The median is over trials, its interval from neurons drawn again with all their trials.
    """
    rows: list[dict[str, Any]] = []
    for name in dict.fromkeys(map(family, cells)):
        own = [c for c in cells if family(c) == name and c["regime"] == "nat" and c["layers_left"] > 0]
        ranks: dict[tuple[str, str], list[float]] = {}
        for cell in own:
            ranks.setdefault((cell["model"], cell["unit"]), []).append(cell["spearman"])
        neurons, rng = list(ranks.values()), np.random.default_rng(0)
        drawn = [
            np.median(np.concatenate([neurons[n] for n in rng.integers(len(neurons), size=len(neurons))]))
            for _ in range(REPLICATES)
        ]
        lo, hi = map(float, np.quantile(drawn, [0.025, 0.975]))
        rank = {"value": float(np.median(np.concatenate(neurons))), "lo": lo, "hi": hi, "n": len(own)}
        text = mean(own, lambda c: c["baselines"]["text"])
        rows.append({"models": name, "rank": rank, "bits": mean(own, lambda c: c["bits"]), "text": text})
    return rows


def as_usual(cells: Cells) -> list[Cell]:
    """Those of the two studies: the proposal's own, and after a question what LoRA above says."""
    return [
        cell
        for cell in cells
        if cell["sentences"] == USUAL
        and not cell["also"]
        and cell["regime"] in REGIMES
        and (cell["topology"] == "S" or cell["trainable"] == "above")
    ]


def otherwise(cells: Cells) -> list[dict[str, Any]]:
    """What else may be trained and taught; ``usual``: LoRA above, of the same neurons under the same seed."""
    own = [c for c in cells if c["topology"] == "Q" and c["sentences"] == USUAL and not c["also"]]
    usual = as_usual(own)
    rows = grouped([c for c in own if c not in usual], "model", "trainable", "regime")
    for row in rows:
        same = [c for c in own if all(c[name] == row[name] for name in ("model", "trainable", "regime"))]
        trials = {(c["unit"], c["seed"]) for c in same}
        taught = "int" if row["regime"] == "swap" else row["regime"]
        beside = [c for c in usual if c["model"] == row["model"] and c["regime"] == taught]
        row["usual"] = group([c for c in beside if (c["unit"], c["seed"]) in trials])
    return rows


def by_amount(cells: Cells) -> list[dict[str, Any]]:
    """What more sentences bring: neurons that were taught on the usual number and on more, natural values asked."""
    asked = [c for c in cells if c["topology"] == "Q" and c["trainable"] == "above" and not c["also"]]
    own = [c for c in asked if c["regime"] == "nat" and c["seed"] == 0]
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
