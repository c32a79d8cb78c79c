"""A small whole run of known content, written through the store, for tests of what reads runs.

Two target units and one companion; for each target a rules claim and a lookup claim, and one control. Scores are
computed from the arrays that are stored, verdicts are set by hand. Its tokens hold hostile text on purpose.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from assay.store import RunWriter

TARGETS = ("L1.mlp_act:7", "L3.mlp_act:40")
COMPANION = "L3.mlp_act:41"
WORDS = (
    " in",
    " the",
    " year",
    " 1984",
    "\n",
    " said",
    "\x1b[31mred",
    " <script>alert(1)</script>",
    "[bold]x",
    "é\u202e",
)
YEAR = 3
N_TOKENS, N_DOCUMENTS, LENGTH = 600, 24, 25
ARMS = ("prediction", "mean", "other_unit", "shuffled", "noise_equal_r")
VERDICTS = ("supported", "undecided")
REASON = "ten documents hold half the variance"
SENTENCE = "fires on years such as 1984, most when ' in' stands before"


def write_run(root: Path, *, hostile: str = "") -> Path:
    """Write the run under ``root`` and return its directory. ``hostile`` is added to every explanation."""
    arrays = _arrays()
    writer = RunWriter(
        root,
        "explain",
        asked={"model": "synthetic", "units": ",".join(TARGETS), "seed": 0},
        resolved={"units": list(TARGETS), "arms": list(ARMS)},
        subject={
            "name": "synthetic",
            "architecture": "llama",
            "fingerprint": "0" * 16,
            "dtype": "float32",
            "device": "cpu",
            "reason": "no CUDA device",
            "n_layers": 4,
        },
        corpus={
            "name": "synthetic",
            "sha256": "0" * 64,
            "tokens": {"fit": 1800, "choose": 600, "test": N_TOKENS},
            "splits_sha256": "1" * 64,
        },
    )
    with writer as run:
        run.table("units", [_unit(name, i, arrays) for i, name in enumerate((*TARGETS, COMPANION))])
        run.table("claims", _claims(hostile))
        run.table("evidence", _evidence(arrays))
        run.table("tokens", [{"id": i, "text": word} for i, word in enumerate(WORDS)])
        run.table("joint", _joint())
        run.table("related", _related())
        run.table("neighbours", _neighbours())
        run.table("reports", _reports())
        run.tensors("test", arrays)
        run.tensors("behaviour", _behaviour(), {"arms": json.dumps(ARMS)})
        run.tensors("exemplars", _exemplars(arrays))
        run.result({"run": str(run.path), **_result(arrays, hostile)})
        run.file("figure.svg", "<svg xmlns='http://www.w3.org/2000/svg'/>")
        run.file("page.html", "<!doctype html><title>synthetic</title>")
    return run.path


def _arrays() -> dict[str, np.ndarray]:
    """The test tensors: both units fire on the year, the second with much more noise."""
    draw = np.random.default_rng(20261121)
    ids = draw.integers(0, len(WORDS), N_TOKENS).astype(np.int32)
    year = (ids == YEAR).astype(np.float32)
    activations = np.stack([4 * year + draw.normal(0, s, N_TOKENS) for s in (0.3, 3.0)]).astype(np.float32)
    windows = np.repeat(np.arange(N_DOCUMENTS), LENGTH).astype(np.int32)
    positions = np.tile(np.arange(LENGTH), N_DOCUMENTS).astype(np.int32)
    lookup = np.where(ids <= YEAR, 1.0, 0.0) * (ids / YEAR)
    control = draw.permutation(4 * year)
    return {
        "ids": ids,
        "documents": windows.copy(),
        "windows": windows,
        "positions": positions,
        "activations": activations,
        "predictions": np.stack([4 * year, lookup, 4 * year, lookup, control]).astype(np.float32),
        "scored": (positions > 0).astype(np.uint8),
    }


def r_of(arrays: Mapping[str, np.ndarray], claim: int) -> float:
    """Pearson r of a claim's prediction over the scored tokens."""
    scored = arrays["scored"].astype(bool)
    unit = min(claim // 2, len(TARGETS) - 1)
    return float(np.corrcoef(arrays["predictions"][claim][scored], arrays["activations"][unit][scored])[0, 1])


def _unit(name: str, index: int, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    values = arrays["activations"][min(index, 1)].astype(np.float64)
    site, _, number = name.partition(":")
    q01, q50, q99 = np.quantile(values, (0.01, 0.5, 0.99))
    z = (values - values.mean()) / values.std()
    return {
        "unit": name,
        "layer": int(site[1]),
        "kind": "mlp_act",
        "index": int(number),
        "count": len(values),
        "mean": values.mean(),
        "sd": values.std(),
        "skew": (z**3).mean(),
        "kurtosis": (z**4).mean(),
        "min": values.min(),
        "max": values.max(),
        "q01": q01,
        "q50": q50,
        "q99": q99,
        "firing_rate": (values > 0).mean(),
        "role": "target" if name in TARGETS else "companion",
    }


def _claims(hostile: str) -> list[dict[str, Any]]:
    rows = []
    for claim in range(5):
        rules = claim % 2 == 0
        rows.append(
            {
                "claim": claim,
                "unit": TARGETS[min(claim // 2, 1)],
                "explainer": "rules" if rules else "lookup",
                "version": 1,
                "role": "control" if claim == 4 else "claim",
                "text": (SENTENCE if rules else "the mean of each of 4 tokens") + hostile,
                "rules": json.dumps({"rules": [{"tokens": [" 1984"], "value": 4.0}]}),
                "lines": json.dumps(["+4.00  token is ' 1984'", "-0.10  otherwise"]),
                "bits": 41.5,
                "calibration": json.dumps({"slope": 1.0, "intercept": 0.0}),
                "rival": COMPANION,
                "threshold": 2.0 if rules else None,
            }
        )
    return rows


def _evidence(arrays: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    rows = []
    for claim in range(5):
        verdict = VERDICTS[min(claim // 2, 1)] if claim < 4 else None
        reason = REASON if verdict == "undecided" else ""
        r = r_of(arrays, claim)
        common = {"claim": claim, "n": N_DOCUMENTS, "version": 1, "d": None, "d_lo": None, "d_hi": None}
        common |= {"p_support": None, "p_refute": None, "unscored": None, "verdict": None, "reason": ""}
        empty = {"nulls": "{}", "references": "{}", "lo": None, "hi": None, "value": None}
        nulls = json.dumps({"constant": 0.0, "shuffled": 0.012, "other_unit": 0.034})
        references = json.dumps({"lookup": 0.5, "bigram": 0.4, "lookup_full": 0.6, "bigram_full": None})
        prediction = {"check": "prediction", "measure": "r", "value": r, "lo": r - 0.05, "hi": r + 0.05}
        difference = {"d": r - 0.034, "d_lo": r - 0.08, "d_hi": r, "p_support": 0.001, "p_refute": 0.999}
        behaviour = {"check": "behaviour", "measure": "behaviour", "unscored": "not run"}
        rows += [
            {**common, **prediction, **difference, "nulls": nulls, "references": references, "verdict": verdict},
            {**common, **empty, **behaviour},
            {**common, **empty, "check": "claim", "measure": "verdict", "verdict": verdict, "reason": reason},
        ]
    return rows


def _joint() -> list[dict[str, Any]]:
    same = {"layer": 3, "site": "L3.mlp_act", "share": 1.0, "units": 4, "explainer": "rules", "held_at_mean": 1}
    same |= {"tokens": 500, "documents": N_DOCUMENTS, "mean_ablation": 0.004, "zero_ablation": 0.005, "version": 1}
    named = ("value", "lo", "hi", "d", "d_lo", "d_hi", "noise_equal_r", "recovered_from_zero")
    scores = dict(zip(named, (0.4, 0.3, 0.5, 0.38, 0.28, 0.48, 0.41, 0.52), strict=True))
    why = "the ablation costs nothing that is beyond chance: the interval of its cost touches 0"
    nulls = {"mean": 0.0, "other_unit": 0.02, "shuffled": -0.3}
    return [
        {**same, **dict.fromkeys(scores), "measure": "loss", "nulls": "{}", "reason": "", "unscored": why},
        {**same, **scores, "measure": "kl", "nulls": json.dumps(nulls), "reason": "", "unscored": None},
    ]


def _related() -> list[dict[str, Any]]:
    scores = ("effect", "effect_lo", "effect_hi", "signed", "signed_lo", "signed_hi", "best_null", "strength", "net")
    same = {"unit": TARGETS[0], "side": "upstream", "kind": "mlp_act", "beyond": True, "reason": ""}
    neuron = dict(zip(scores, (0.04, 0.03, 0.05, -0.02, -0.03, -0.01, 0.012, 0.05, -0.03), strict=True))
    few = {"kind": "head", "beyond": None, "reason": "under 20 documents"} | dict.fromkeys(scores[1:])
    return [
        {**same, **neuron, "other": "L0.mlp_act:7", "layer": 0, "index": 7, "chosen_by": "effect weight-"},
        {**same, **neuron, **few, "other": "L0.head:2", "layer": 0, "index": 2, "chosen_by": "head"},
    ]


def _neighbours() -> list[dict[str, Any]]:
    rows = []
    for unit, side, others in (
        (TARGETS[0], "upstream", ("L0.mlp_act:7", "L0.mlp_act:12")),
        (TARGETS[0], "downstream", (TARGETS[1], COMPANION, "L2.mlp_act:5")),
        (TARGETS[1], "upstream", (TARGETS[0],)),
    ):
        for place, other in enumerate(others, 1):
            site, _, index = other.partition(":")
            row = {"unit": unit, "side": side, "place": place, "other": other, "layer": int(site[1])}
            numbers = {"strength": 0.12 / place, "net": (-1) ** place * 0.05 / place, "null": 0.045}
            rows.append(row | {"index": int(index)} | numbers)
    return rows


def _reports() -> list[dict[str, Any]]:
    same = {"model": "synthetic", "layer": 2, "layers_left": 1, "stratum": "random", "topology": "Q", "sentences": 400}
    same |= {"trainable": "above", "verdict": "reads", "reason": "relative slope 0.80 [0.70 0.90]"}
    names = ("bits", "bits_lo", "bits_hi", "spearman", "r2", "digit_mass", "over_text", "over_text_lo", "over_text_hi")
    names += ("gap_closed", "causal_slope", "optimal_slope", "optimal_r2", "relative_slope", "relative_slope_lo")
    names += ("relative_slope_hi", "specificity", "optimal_specificity", "gain", "drift")
    names += ("text", "other_model", "blind", "shuffled", "probe_before", "probe_after")
    scores = {name: 0.1 + i / 100 for i, name in enumerate(names)}
    unknown = dict.fromkeys(("over_text", "over_text_lo", "over_text_hi", "text", "other_model", "blind", "shuffled"))
    return [
        {**same, **scores, "unit": TARGETS[0], "regime": "nat"},
        {**same, **scores, **unknown, "probe_before": None, "unit": TARGETS[1], "regime": "int"},
    ]


def _behaviour() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(3)
    return {
        "J": draw.uniform(1e-5, 1e-4, (5, len(ARMS), 6)),
        "documents": np.tile(np.arange(6, dtype=np.int32), (5, 1)),
        "weights": np.ones((5, 6)),
        "floor": np.full((5, 6), 1e-8),
    }


def _exemplars(arrays: Mapping[str, np.ndarray], k: int = 6, length: int = 12) -> dict[str, np.ndarray]:
    """The windows with the highest and lowest activation of each target; the last row of each is empty."""
    out: dict[str, np.ndarray] = {}
    ids = arrays["ids"].reshape(N_DOCUMENTS, LENGTH)[:, :length]
    values = arrays["activations"].reshape(len(TARGETS), N_DOCUMENTS, LENGTH)[:, :, :length]
    for side, extreme in (("top", -values.max(2)), ("bottom", values.min(2))):
        order = np.argsort(extreme, axis=1)[:, :k]
        found = ids[order]
        found[:, -1] = -1
        out[f"{side}_ids"] = found
        out[f"{side}_activations"] = np.take_along_axis(values, order[:, :, None], axis=1)
        out[f"{side}_documents"] = order.astype(np.int32)
    return out


def _result(arrays: Mapping[str, np.ndarray], hostile: str) -> dict[str, Any]:
    return result_of([r_of(arrays, claim) for claim in range(4)], hostile)


def result_of(scores: list[float], hostile: str = "") -> dict[str, Any]:
    """The contract's JSON, less ``run``, for claims with these r: rules and lookup of each target in turn."""
    units = [_entry(claim, r, hostile) for claim, r in enumerate(scores)]
    verdicts = {name: sum(entry["verdict"] == name for entry in units) for name in VERDICTS}
    return {
        "subject": "synthetic",
        "units": units,
        "summary": {
            "units": len(TARGETS),
            "mean_r": float(np.mean(scores[::2])),
            "median_r": float(np.median(scores[::2])),
            "verdicts": verdicts,
            "tokens": 3000,
            "seconds": 12.3,
            "forward_seconds": 4.5,
            "peak_rss_mb": 1536.0,
            "dtype": "float32",
        },
    }


def _entry(claim: int, r: float, hostile: str) -> dict[str, Any]:
    rules = claim % 2 == 0
    return {
        "unit": TARGETS[claim // 2],
        "explainer": "rules" if rules else "lookup",
        "explanation": (SENTENCE if rules else "the mean of each of 4 tokens") + hostile,
        "rules": ["+4.00  token is ' 1984'"],
        "bits": 41.5,
        "r": r,
        "r_lo": r - 0.05,
        "r_hi": r + 0.05,
        "r_pos": r,
        "r_neg": None,
        "r_context": 0.1,
        "f1": 0.5,
        "auprc": 0.5,
        "nulls": {"constant": 0.0, "shuffled": 0.012, "other_unit": 0.034},
        "references": {"lookup": 0.5, "bigram": 0.4, "lookup_full": 0.6, "bigram_full": None},
        "rank": 1,
        "behaviour": 0.31 if rules else None,
        "behaviour_lo": 0.22 if rules else None,
        "behaviour_hi": 0.4 if rules else None,
        "behaviour_nulls": {"other_unit": -0.2, "shuffled": -0.1, "noise_equal_r": 0.28 if rules else None},
        "unscored": {} if rules else {"behaviour": "not run"},
        "verdict": VERDICTS[claim // 2],
        "reason": REASON if claim // 2 else "",
    }
