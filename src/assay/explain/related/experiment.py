"""The related units of one unit, as one function: chosen on the fit split, measured on the choose split, stored."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from assay.core.direction import read_directions
from assay.core.ids import UnitId, parse_units
from assay.core.memory import peak_rss_mb
from assay.errors import UsageError
from assay.explain.material import Progress
from assay.explain.related.request import RelatedOutcome as RelatedOutcome
from assay.explain.related.request import RelatedRequest as RelatedRequest
from assay.explain.related.sentences import explained_run, sentences
from assay.explain.related.sides import Sides
from assay.explain.related.text import gather_texts
from assay.model.changes import arithmetic
from assay.model.fingerprint import describe
from assay.model.large import is_spread
from assay.store import RunWriter, runs_root
from assay.text import Corpus, load_corpus

if TYPE_CHECKING:
    from assay.model import Subject


def _quiet(message: str, share: float | None = None) -> None:
    """Progress that goes nowhere."""


def related(
    request: RelatedRequest,
    progress: Progress = _quiet,
    *,
    subject: Subject | None = None,
    corpus: Corpus | None = None,
) -> RelatedOutcome:
    """Find the units up- and downstream of one, by weights and by ablation, and store them as a run.

    ``subject`` and ``corpus`` may be handed in instead of being loaded by name.

    Raises:
        UsageError: what was asked for can't be done: no such unit, a unit that never varies, a corpus too small.
        MachineError: a fetch failed, or the run can't be written.
    """
    started = time.monotonic()
    request.check()
    corpus = corpus or load_corpus(request.corpus, progress, tokens=request.tokens)
    if subject is None:
        from assay.model import load

        progress(f"loading {request.model}")
        subject = load(request.model, request.dtype, request.device, progress)
    unit = _one_unit(request, subject)
    fit, choose, splits_sha256 = gather_texts(subject, corpus, request.tokens, request.seed)
    root = runs_root(request.out)
    named = explained_run(request.run, subject.fingerprint, request.out) if request.run else None
    tokens = {"fit": fit.n_scored, "choose": choose.n_scored, "test": 0}
    writer = RunWriter(
        root,
        "related",
        asked=asdict(request),
        resolved=asdict(request) | {"unit": str(unit), "effects": arithmetic(subject)},
        subject=describe(subject),
        corpus={"name": corpus.name, "sha256": corpus.sha256, "source": dict(corpus.source)}
        | {"tokens": tokens, "splits_sha256": splits_sha256},
    )
    with writer:
        sides = Sides(subject.with_dtype(torch.float32), unit, fit, choose, request.k, request.seed, progress)
        result = {"run": writer.id, "subject": subject.name, "unit": str(unit), "k": request.k}
        result |= {"downstream": sides.downstream(), "upstream": sides.upstream()}
        _explain(result, sentences(_listed(result), subject.fingerprint, named, root))
        result["summary"] = {
            "tokens": sum(tokens.values()),
            "documents": {"fit": fit.n_documents, "choose": choose.n_documents},
            "passes": round(sides.passes, 2),
            "seconds": round(time.monotonic() - started, 1),
            "pass_seconds": round(sides.found.seconds, 1),
            "peak_rss_mb": round(peak_rss_mb(), 1),
            "dtype": "float32",
        }
        if unit in subject.directions:
            writer.tensors("directions", {str(unit): np.array(subject.directions[unit].vector)})
        writer.table("related", _rows(result))
        writer.result(result)
    return RelatedOutcome(writer.path, result)


def _one_unit(request: RelatedRequest, subject: Subject) -> UnitId:
    for unit, direction in read_directions(request.unit).items():
        subject.units.add(unit, direction)
    units = parse_units(request.unit, subject.n_layers, subject.units.count, request.seed)
    if len(units) != 1:
        raise UsageError(f"{request.unit!r} names {len(units)} units; give one, for example {units[0]}")
    subject.units.check(units[0])
    if units[0].site.module is not None:
        raise UsageError(f"{units[0]} is the output of a module; give a neuron, head, coordinate or direction")
    if is_spread(subject.model):
        raise UsageError(f"{subject.name} is spread over devices, and ablations need it in one place; name one device")
    return units[0]


def _listed(result: dict[str, Any]) -> list[str]:
    """The unit and all that is listed."""
    listed = [row["unit"] for side in ("upstream", "downstream") for row in result[side]["relations"]]
    return [result["unit"], *dict.fromkeys(listed)]


def _explain(result: dict[str, Any], found: dict[str, dict[str, Any]]) -> None:
    """Put sentences beside units."""
    result["explanation"] = found.get(result["unit"])
    for side in ("upstream", "downstream"):
        for row in result[side]["relations"]:
            row["explanation"] = found.get(row["unit"])


def _rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    """The table ``related``: a row a relation."""
    rows: list[dict[str, Any]] = []
    for side in ("upstream", "downstream"):
        for row in result[side]["relations"]:
            unit = UnitId.parse(row["unit"])
            place = {"unit": result["unit"], "side": side, "other": row["unit"], "layer": unit.site.layer}
            scores = ("effect", "effect_lo", "effect_hi", "signed", "signed_lo", "signed_hi", "strength", "net")
            told = {"kind": unit.site.kind, "index": unit.number, "chosen_by": " ".join(row["chosen_by"])}
            null = {"best_null": max(row["nulls"].values(), default=None)}
            rows.append(place | told | null | {name: row[name] for name in (*scores, "beyond", "reason")})
    return rows
