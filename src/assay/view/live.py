"""Asking the model: what a page sends goes to the live worker, and comes back as what the page shows.

The model, its weights and the claims are those of the run that is looked at; a page says only what to try.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from assay.core.ids import UnitId
from assay.draw.heat import Scale, visible
from assay.errors import UnknownName, UsageError
from assay.explain.excerpts import shaded_token
from assay.explain.names import OUTPUTS
from assay.view.neighbours import told
from assay.view.opened import Opened
from assay.view.pages import Ask, Body, Site

_LONGEST = 8_000  # characters of a text, a sentence or rules
_RUNS = ("score", "explain")
_KEPT = 256  # questions whose answers can still be shown; the worker keeps fewer that are finished


def start(site: Site, ask: Ask, body: Body) -> dict[str, Any]:
    """Ask the worker; the answer is the job's number, which :func:`job` follows.

    Raises:
        UsageError: no such method, or what it needs is missing, too long or of the wrong kind.
        MachineError: the worker can't be started.
    """
    opened = site.shelf.open(ask.path["run"])
    unit = str(UnitId.parse(ask.path["unit"]))
    method = _text(body, "method")
    if method not in _METHODS:
        raise UnknownName("method", method, _METHODS)
    spec = opened.run.spec
    params = {
        "model": spec["asked"].get("model") or spec["subject"]["name"],
        "fingerprint": spec["subject"]["fingerprint"],
        "dtype": _DTYPES.get(spec["subject"]["dtype"], spec["subject"]["dtype"]),
        "unit": unit,
        **_METHODS[method](site, opened, unit, body),
    }
    asked = site.worker.submit(method, params)
    site.asked[asked.id] = (opened, unit, body)
    while len(site.asked) > _KEPT:
        site.asked.pop(next(iter(site.asked)), None)
    return {"job": asked.id}


def job(site: Site, ask: Ask) -> dict[str, Any]:
    """How far a job is, and when it is done what came of it, as the pages show it. Raises UnknownName."""
    found = site.worker.job(ask.path["job"])
    said: dict[str, Any] = found.to_json()
    if found.id not in site.asked or found.state != "done":
        return said
    opened, unit, body = site.asked[found.id]
    return said | {"result": _shown(site, opened, unit, body, found.method, said["result"])}


def cancel(site: Site, ask: Ask, body: Body) -> dict[str, Any]:
    """End a job. Raises UnknownName."""
    found = site.worker.job(ask.path["job"])
    found.cancel()
    return found.to_json()


_DTYPES = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}


def _activations(site: Site, opened: Opened, unit: str, body: Body) -> dict[str, Any]:
    return {
        "text": _text(body, "text"),
        "context": "window",
        "claims": [
            {
                "explainer": claim["explainer"],
                "rules": claim["detail"]["rules"],
                "calibration": claim["detail"]["calibration"],
            }
            for claim in _claims(opened, unit)
        ],
        "simulate": body.get("simulate") is True,
    }


def _steer(site: Site, opened: Opened, unit: str, body: Body) -> dict[str, Any]:
    kind = _text(body, "kind")
    if kind not in ("factor", "value", "add"):
        raise UnknownName("change", kind, ("factor", "value", "add"))
    return {"text": _text(body, "text"), kind: _number(body, "amount")}


def _score(site: Site, opened: Opened, unit: str, body: Body) -> dict[str, Any]:
    kind = "rules" if body.get("kind") == "rules" else "sentence"
    return {kind: _text(body, "text"), "out": str(site.shelf.root), "behaviour": body.get("behaviour") is True}


def _explain(site: Site, opened: Opened, unit: str, body: Body) -> dict[str, Any]:
    return {"out": str(site.shelf.root), "behaviour": body.get("behaviour") is True}


def _neighbours(site: Site, opened: Opened, unit: str, body: Body) -> dict[str, Any]:
    return {}


_METHODS: Mapping[str, Callable[[Site, Opened, str, Body], dict[str, Any]]] = {
    "activations": _activations,
    "steer": _steer,
    "score": _score,
    "explain": _explain,
    "neighbours": _neighbours,
}


def _claims(opened: Opened, unit: str) -> list[dict[str, Any]]:
    row = opened.index.unit(unit)
    claims = opened.index.claims(row["n"]) if row else []
    return [claim for claim in claims if claim["explainer"] not in OUTPUTS]


def _shown(site: Site, opened: Opened, unit: str, body: Body, method: str, result: Any) -> dict[str, Any]:
    if method == "activations":
        return result | {"rows": _rows(result, body)}
    if method == "steer":
        return result | {name: _visible(result[name]) for name in ("rise", "fall")}
    if method in _RUNS:
        path = Path(result["run"])
        site.shelf.add(path)
        return result | {"link": f"/run/{path.name}/unit/{unit}"}
    rows = [{**row, "best_null": row["null"]} for row in result["rows"]]
    told(site, opened, rows)
    return {**result, "rows": [row | {"of_run": row.get("of_run") or opened.run.id} for row in rows]}


def _visible(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "text": visible(row["text"])} for row in rows]


def _rows(result: Mapping[str, Any], body: Body) -> list[dict[str, Any]]:
    """The text once for each claim, or once alone, shaded as everywhere."""
    tokens = result["tokens"]
    real = [np.nan if token["value"] is None else float(token["value"]) for token in tokens]
    full = body.get("full")
    scale = Scale.up_to(float(full)) if isinstance(full, int | float) and full > 0 else Scale.of(np.array(real))
    rows: list[dict[str, Any]] = []
    for claim in result["claims"] or [{"explainer": "", "predictions": None, "unscored": None}]:
        said = [np.nan if value is None else float(value) for value in claim["predictions"] or [None] * len(tokens)]
        shown = [shaded_token(visible(token["text"]), real[i], said[i], scale, False) for i, token in enumerate(tokens)]
        scores = {name: claim.get(name) for name in ("r", "r_null", "r_unscored", "unscored", "note")}
        rows.append({"explainer": claim["explainer"], "tokens": [token._asdict() for token in shown], **scores})
    return rows


def _text(body: Body, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{name} must be text, got {'nothing' if value in (None, '') else repr(value)[:40]}")
    if len(value) > _LONGEST:
        raise UsageError(f"{name} may have {_LONGEST:,} characters, got {len(value):,}; send less")
    return value


def _number(body: Body, name: str) -> float:
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise UsageError(f"{name} must be a number, got {value!r:.40}")
    return float(value)
