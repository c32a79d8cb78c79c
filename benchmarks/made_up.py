"""A made-up run in the shape of ``assay explain --units all``, for benchmarks of what reads runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from assay.rules.lookup import Lookup
from assay.rules.rule import Condition, Rule, RuleList
from assay.store import RunWriter
from assay.store.schema import EVIDENCE

WIDTH, VOCABULARY = 1536, 12_000
_K, _LENGTH, _SAMPLE, _NEIGHBOURS = 8, 64, 256, 8
_MEASURES = (
    "r r_pos r_neg r_context f1 auprc r_with_first rank token_explained token_single token_alone verdict".split()
)
_WEIGHTS = {"strength": 0.3, "net": 0.1, "null": 0.05}
_VERDICTS = ("predicts", "predicts", "undecided", "refuted")


def word(number: int) -> str:
    """A made-up token, of four letters and a space."""
    letters = "etaoinshrdlucmf"
    return " " + "".join(letters[number // 15**place % 15] for place in range(4))


def write_run(root: Path, layers: int, seed: int = 20261129) -> Path:
    """A run of all neurons of so many layers; returns its directory."""
    rng = np.random.default_rng(seed)
    asked = {"model": "made-up", "units": "all", "seed": 0}
    subject = {"name": "made-up", "architecture": "llama", "fingerprint": "0" * 64, "dtype": "bfloat16"}
    subject |= {"device": "cpu", "reason": "nothing was run", "n_layers": layers}
    corpus = {"name": "made-up", "sha256": "0" * 64, "tokens": {"fit": 1, "choose": 1, "test": 1}}
    with RunWriter(root, "explain", asked=asked, resolved=asked, subject=subject, corpus=corpus) as run:
        names = [f"L{layer}.mlp_act:{i}" for layer in range(layers) for i in range(WIDTH)]
        run.table("units", [_unit(name, rng) for name in names])
        claims = [claim for name in names for claim in _claims(name, rng)]
        run.table("claims", [{"claim": i, **claim} for i, claim in enumerate(claims)])
        run.arrow("evidence", _evidence(len(claims), rng))
        run.table("tokens", [{"id": i, "text": word(i)} for i in range(VOCABULARY)])
        run.table("neighbours", [row for name in names for row in _neighbours(name, layers, rng)])
        for layer in range(layers):
            run.tensors(f"exemplars-L{layer}.mlp_act", _exemplars(rng))
        ids = rng.integers(0, VOCABULARY, (_SAMPLE, _LENGTH)).astype(np.int32)
        positions = rng.integers(1, _LENGTH, _SAMPLE)
        run.tensors("sample", {"ids": ids, "positions": positions, "documents": np.arange(_SAMPLE)})
        run.result({"run": run.id, "subject": "made-up", "units": None, "summary": {"units": len(names)}})
    return run.path


def _unit(name: str, rng: np.random.Generator) -> dict[str, Any]:
    columns = "mean sd skew kurtosis min max q01 q50 q99 firing_rate".split()
    site, _, index = name.partition(":")
    fixed = {"unit": name, "layer": int(site[1:].partition(".")[0]), "kind": "mlp_act", "index": int(index)}
    values = zip(columns, np.abs(rng.normal(size=len(columns))).tolist(), strict=True)
    return fixed | {"count": 100_000, "role": "target"} | dict(values)


def _claims(name: str, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Eight rules, a lookup of a hundred tokens, and a control."""
    words = list(dict.fromkeys(word(int(i)) for i in rng.integers(0, VOCABULARY, 200)))
    rules = tuple(
        Rule((Condition("token", tuple(words[8 * i : 8 * i + 8])),), float(value))
        for i, value in enumerate(rng.normal(size=8).tolist())
    )
    learnt = RuleList(rules, vocabulary=VOCABULARY)
    lookup = Lookup(dict(zip(words[64:], rng.normal(size=len(words) - 64).tolist(), strict=True)), 0.0, VOCABULARY)
    fixed = {"unit": name, "version": 1, "rival": name, "threshold": 1.0}
    fixed["calibration"] = json.dumps({"slope": 1.0, "intercept": 0.0})
    return [
        {
            **fixed,
            "explainer": explanation.kind,
            "role": role,
            "text": explanation.sentence(),
            "rules": json.dumps(explanation.to_json()),
            "lines": json.dumps(explanation.lines()),
            "bits": explanation.bits,
        }
        for role, explanation in (("claim", learnt), ("claim", lookup), ("control", learnt))
    ]


def _evidence(claims: int, rng: np.random.Generator) -> pa.Table:
    rows = claims * len(_MEASURES)
    measures = np.tile(_MEASURES, claims)
    overall = measures == "verdict"
    scores = pa.array(rng.uniform(-0.1, 0.9, rows), mask=overall)
    texts = {"nulls": json.dumps({"constant": 0.0, "shuffled": 0.004, "other_unit": 0.02}), "references": "{}"}
    verdicts = np.array(_VERDICTS)[rng.integers(0, len(_VERDICTS), rows)]
    columns = {
        **{name: pa.nulls(rows, EVIDENCE.field(name).type) for name in EVIDENCE.names},
        "claim": np.repeat(np.arange(claims, dtype=np.int32), len(_MEASURES)),
        "check": np.where(overall, "claim", "prediction"),
        "measure": measures,
        **dict.fromkeys(("value", "lo", "hi"), scores),
        "n": np.full(rows, 435, np.int32),
        **{name: pa.array([text] * rows) for name, text in texts.items()},
        "verdict": pa.array(verdicts, mask=~overall),
        "reason": pa.array(["made up"] * rows),
        "version": np.full(rows, 1, np.int32),
    }
    return pa.table(columns, schema=EVIDENCE)


def _neighbours(name: str, layers: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    layer = int(name[1:].partition(".")[0])
    rows: list[dict[str, Any]] = []
    for side, low, high in (("upstream", 0, layer), ("downstream", layer + 1, layers)):
        for place in range(1, 1 + _NEIGHBOURS if high > low else 0):
            at, index = int(rng.integers(low, high)), int(rng.integers(WIDTH))
            other = {"other": f"L{at}.mlp_act:{index}", "layer": at, "index": index}
            rows.append(
                {"unit": name, "side": side, "place": place, **other, "strength": 0.3, "net": 0.1, "null": 0.05}
            )
    return rows


def _exemplars(rng: np.random.Generator) -> dict[str, np.ndarray]:
    out: dict[str, np.ndarray] = {}
    for side, sign in (("top", 1), ("bottom", -1)):
        out[f"{side}_ids"] = rng.integers(0, VOCABULARY, (WIDTH, _K, _LENGTH)).astype(np.int32)
        out[f"{side}_activations"] = (sign * rng.exponential(size=(WIDTH, _K, _LENGTH))).astype(np.float16)
        out[f"{side}_documents"] = rng.integers(0, 1000, (WIDTH, _K))
    levels = np.linspace(0, 1, 33)
    out["sample_values"] = rng.normal(size=(WIDTH, _SAMPLE)).astype(np.float16)
    out["quantile_levels"] = levels
    out["quantiles"] = np.sort(rng.normal(size=(WIDTH, len(levels))), axis=1).astype(np.float32)
    return out
