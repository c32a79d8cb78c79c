"""The lab as one function: from a model and text to verdicts on what it can say of its own neurons, stored as a run."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from assay.core.memory import peak_rss_mb
from assay.introspect.clock import Clock
from assay.introspect.grounds import Loader, make_loader
from assay.introspect.kept import BATCH
from assay.introspect.lanes import Lanes
from assay.introspect.layer import Asked, study_layer
from assay.introspect.neurons import Neuron, choose_neurons
from assay.introspect.parts import Part, parts_of
from assay.introspect.request import ReportOutcome as ReportOutcome
from assay.introspect.request import ReportRequest as ReportRequest
from assay.introspect.room import enough_memory
from assay.introspect.sentences import SPLIT_SEED
from assay.introspect.stored import read_cells, write_part
from assay.introspect.summary import summarise
from assay.introspect.training import Plan
from assay.introspect.verdicts import Thresholds
from assay.introspect.writing import write_run
from assay.model.fingerprint import describe
from assay.store import RunWriter, runs_root
from assay.text import Corpus, load_corpus, split

if TYPE_CHECKING:
    from assay.introspect.ground import Progress
    from assay.model import Subject


def _quiet(message: str, share: float | None = None) -> None:
    """Progress that goes nowhere."""


def report(
    request: ReportRequest,
    progress: Progress = _quiet,
    *,
    subject: Subject | None = None,
    corpus: Corpus | None = None,
    also: Corpus | None = None,
) -> ReportOutcome:
    """Teach models to say values of their own neurons, and find out where the answers come from.

    ``subject``, ``corpus`` and ``also`` may be handed in instead of being loaded by name; a subject stands for the one
    model asked for. A run of the same request that was broken off is taken up, cell by cell.

    Raises:
        UsageError: what was asked for can't be done: an unknown name, no such layer, a tokenizer without digits, a
            corpus with too few sentences.
        MachineError: a fetch failed, or the run can't be written.
    """
    started = time.monotonic()
    request.check()
    corpus = corpus or load_corpus(request.corpus, progress)
    also = also or (load_corpus(request.also, progress) if request.also else None)
    loader = make_loader(request, subject, progress, also)
    first = loader.load(request.models[0])
    limits, plan = Thresholds(), Plan(request.size.epochs, request.size.patched_epochs)
    resolved = asdict(request) | {
        "size": request.size._asdict(),
        "layers": {name: request.layers_of(name, loader.load(name).n_layers) for name in request.models},
        "fingerprints": {name: loader.load(name).fingerprint for name in request.models},
        "thresholds": limits._asdict(),
        "plan": plan._asdict(),
    }
    writer = RunWriter.take_up(
        runs_root(request.out),
        "report",
        asked=asdict(request),
        resolved=resolved,
        subject=describe(first),
        corpus=_source(corpus)
        | {"splits_sha256": split(corpus, SPLIT_SEED).sha256, "also": None if also is None else _source(also)},
    )
    if writer.taken_up:
        progress(f"taking up {writer.id}, which was broken off")
    cells: list[dict[str, Any]] = []
    parts = parts_of(request, {name: loader.load(name).n_layers for name in request.models})
    clock = Clock([part.cost(request, plan) for part in parts], progress)
    with writer:
        for part in parts:
            if done := _done(writer, part):
                clock.skip()
            else:
                with enough_memory(part.name):
                    done = _study(writer, part, request, corpus, loader, limits, plan, clock)
                clock.next()
            cells += done
        result = {"run": writer.id, "cells": cells, **summarise(cells)}
        result["summary"] |= {
            "seconds": round(time.monotonic() - started, 1),
            "taken_up": writer.taken_up,
            "peak_rss_mb": round(peak_rss_mb(), 1),
            "arithmetic": loader.arithmetic(),
            "reporters_at_once": min(Lanes.of(first).count, len(parts[0].trials(request))),
            "sentences_at_once": loader.room.most or BATCH,
        }
        write_run(writer, result)
    return ReportOutcome(writer.path, result)


def _source(corpus: Corpus) -> dict[str, Any]:
    return {"name": corpus.name, "sha256": corpus.sha256, "source": dict(corpus.source)}


def _done(writer: RunWriter, part: Part) -> list[dict[str, Any]]:
    """The cells of a part that was finished before the run was broken off."""
    names = f"cells/{part.name}.json", f"tensors/{part.name}.safetensors"
    if not all((writer.path / name).is_file() for name in names):
        return []
    for name in names:
        writer.adopt(name)
    return read_cells((writer.path / names[0]).read_text(encoding="utf-8"))


def _study(
    writer: RunWriter,
    part: Part,
    request: ReportRequest,
    corpus: Corpus,
    loader: Loader,
    limits: Thresholds,
    plan: Plan,
    clock: Clock,
) -> list[dict[str, Any]]:
    size = request.size
    grounds = loader.grounds(part.model, part.topology, part.trainable, corpus)
    values = grounds.main.fit.values[part.layer]
    neurons = choose_neurons(grounds.main.meter, part.layer, values, size.neurons, request.seed)
    asked = Asked(part.topology, part.trainable, request.regimes, size.halves, size.draws, request.seed, plan, limits)
    teacher = clock.teacher(lambda trial: part.lesson_cost(trial, plan))
    lanes = Lanes.of(grounds.main.learner)
    studied = [
        study_layer(grounds.main, grounds.others, group, asked, clock, teacher, grounds.also, lanes)
        for group in _groups(neurons, part.topology)
    ]
    arrays, text = write_part(studied)
    writer.tensors(part.name, arrays)
    writer.file(f"cells/{part.name}.json", text)
    return read_cells(text)


def _groups(neurons: list[Neuron], topology: str) -> list[list[Neuron]]:
    """Neurons that one reporter answers for: all that a question can tell apart, else each alone."""
    return [neurons] if topology == "Q" else [[neuron] for neuron in neurons]
