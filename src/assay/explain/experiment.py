"""The lab as one function: from text to tested explanations, stored as a run."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from assay.core.direction import read_directions
from assay.core.ids import parse_units
from assay.core.memory import peak_rss_mb
from assay.explain.joint.losses import described
from assay.explain.joint.of_claims import left_out
from assay.explain.material import SHARES, WHOLE_SHARES, Material, Progress, gather_material
from assay.explain.names import SIMULATED
from assay.explain.related.neighbours import find_neighbours
from assay.explain.request import ExplainOutcome as ExplainOutcome
from assay.explain.request import ExplainRequest as ExplainRequest
from assay.explain.speaking import choose_judges, speak
from assay.explain.study import Study
from assay.explain.verdicts import ARMS
from assay.explain.whole.scope import whole_scope
from assay.explain.writing import write_study
from assay.judge import Judge
from assay.model.changes import arithmetic
from assay.model.fingerprint import describe
from assay.store import RunWriter, runs_root
from assay.text import Corpus, load_corpus

if TYPE_CHECKING:
    from assay.model import Subject


def _quiet(message: str, share: float | None = None) -> None:
    """Progress that goes nowhere."""


def explain(
    request: ExplainRequest,
    progress: Progress = _quiet,
    *,
    subject: Subject | None = None,
    corpus: Corpus | None = None,
    also: Corpus | None = None,
    judge: Judge | None = None,
) -> ExplainOutcome:
    """Explain units, test the explanations, and store everything as a run.

    ``subject``, ``corpus`` and ``also`` may be handed in instead of being loaded by name, and ``judge`` to write and
    simulate the sentences of the explainer "prose", or of "self" in the place of the subject where there is no "prose".

    Raises:
        UsageError: what was asked for can't be done: an unknown name, a unit out of range, a corpus too small.
        MachineError: a fetch failed, or the run can't be written.
    """
    started = time.monotonic()
    request.check()
    judges = choose_judges(request, judge, progress)
    corpus = corpus or load_corpus(request.corpus, progress, tokens=request.tokens)
    also = also or (load_corpus(request.also, progress, tokens=request.tokens) if request.also else None)
    if subject is None:
        from assay.model import load

        progress(f"loading {request.model}")
        subject = load(
            request.model, request.dtype, request.device, progress, trust_remote_code=request.trust_remote_code
        )
    if (scope := whole_scope(request.units, subject)) is not None:
        from assay.explain.whole.experiment import explain_whole

        material = gather_material(subject, corpus, request.tokens, request.seed, WHOLE_SHARES, also)
        return explain_whole(request, subject, describe_text(corpus, also, material), material, scope, progress)
    specs = ",".join(filter(None, [request.units, *request.written, *request.said]))
    for unit, direction in read_directions(request.units).items():
        subject.units.add(unit, direction)
    targets = parse_units(specs, subject.n_layers, subject.units.count, request.seed)
    for unit in targets:
        subject.units.check(unit)
    joint = described() | {"left_out": left_out(targets)} if request.joint else None
    material = gather_material(subject, corpus, request.tokens, request.seed, SHARES, also)
    voices = speak(request, judges, subject, material)
    root = runs_root(request.out)
    asked = asdict(replace(request, written={}, refused=None))
    asked |= {"written": {unit: rules.to_json() for unit, rules in request.written.items()}}
    resolved = asked | {"targets": [str(u) for u in targets], "length": material.fit.table.length}
    directions = {unit: subject.directions[unit] for unit in targets if unit in subject.directions}
    resolved |= {"directions": {str(unit): direction.describe() for unit, direction in directions.items()}}
    resolved |= {name: voices[name].described() if name in voices else None for name in SIMULATED}
    resolved |= {"joint": joint}
    writer = RunWriter(
        root,
        "explain",
        asked=asked,
        resolved=resolved | {"arms": list(ARMS), "effects": arithmetic(subject) if request.edits else None},
        subject=describe(subject),
        corpus=describe_text(corpus, also, material),
    )
    with writer:
        study = Study(request, subject, material, targets, voices, progress)
        study.learn()
        study.test()
        near = find_neighbours(subject, material.fit, targets, request.seed, progress)
        result = study.result(writer.id, time.monotonic() - started, peak_rss_mb())
        result["summary"]["neighbours"] = near.summary
        write_study(study, writer, result, near.table)
    return ExplainOutcome(writer.path, result)


def describe_text(corpus: Corpus, also: Corpus | None, material: Material) -> dict[str, Any]:
    """The text in the spec of a run."""
    described = {"tokens": material.n_tokens, "splits_sha256": material.splits.sha256, "also": None}
    if also is not None and material.other is not None:
        described["also"] = _source(also) | {"tokens": material.other.table.n_tokens}
    return _source(corpus) | described


def _source(corpus: Corpus) -> dict[str, Any]:
    return {"name": corpus.name, "sha256": corpus.sha256, "source": dict(corpus.source)}
