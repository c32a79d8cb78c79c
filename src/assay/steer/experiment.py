"""The lab as one function: from a request to a run that is stored."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from assay.errors import UsageError
from assay.findings.carried import ConceptOutcome, Progress, carried, quiet
from assay.judge.choose import find_judge
from assay.model.fingerprint import describe
from assay.steer.bench import Bench
from assay.steer.exporting import export
from assay.steer.request import SteerRequest
from assay.steer.studies import EXPERIMENTS, USUAL
from assay.store import RunWriter, runs_root
from assay.text.behaviours import Behaviour, load_behaviour

if TYPE_CHECKING:
    from assay.judge import Judge
    from assay.model import Subject


def steer(
    request: SteerRequest,
    progress: Progress = quiet,
    *,
    subject: Subject | None = None,
    behaviour: Behaviour | None = None,
    judge: Judge | None = None,
) -> ConceptOutcome:
    """Steer a model to a behaviour in several ways, each beside its placebos; or one of the lab's experiments.

    ``subject``, ``behaviour`` and ``judge`` may be handed in instead of being found by name.

    Raises:
        UsageError: what was asked for can't be done: an unknown name, no such layer, a direction of another model, a
            judge that can't be had.
        MachineError: a fetch failed, or the run can't be written.
    """
    request.verify()
    experiment = USUAL if request.experiment is None else EXPERIMENTS[request.experiment]
    behaviour = behaviour or load_behaviour(request.concept or experiment.concept)
    request = replace(request, concept=request.concept or behaviour.name)
    if judge is None and request.judge is not None:
        judge = find_judge(request.judge, request.device, None, request.max_judge_calls, progress)
    if subject is None:
        from assay.model import load

        first = (*request.models, *experiment.models, request.model)[0]
        subject = load(first, request.dtype, request.device, progress)
    bench = Bench(subject, behaviour, request, progress)
    bench.judge = judge
    methods = request.methods or experiment.methods or request.asked_methods
    resolved = {"layers": list(bench.layers), "methods": list(methods), "size": request.size._asdict()}
    resolved["judge"] = None if judge is None else judge.name
    bench.writer = RunWriter.take_up(
        runs_root(request.out),
        "steer",
        asked=asdict(request),
        resolved=asdict(request) | resolved | {"directions": {n: d.sha256 for n, d in bench.given.items()}},
        subject=describe(subject),
        corpus=_corpus([behaviour]),
    )
    run = importlib.import_module(f"assay.steer.studies.{experiment.module}").run
    outcome = carried(
        bench.writer,
        request.experiment,
        lambda: run(bench),
        lambda: {"concept": behaviour.name, "arithmetic": arithmetic(bench)},
        progress,
    )
    _export(bench, outcome)
    return outcome


def _export(bench: Bench, outcome: ConceptOutcome) -> None:
    """Write the direction that did the most, now that the run is whole.

    Raises:
        UsageError: there is none that the file could hold.
    """
    told = outcome.result["summary"].get("to_export")
    if told is None:
        return
    if told["method"] is None:
        raise UsageError(
            f"no method gave a direction that {told['place']} could hold; the run is stored, its directions beside it"
        )
    export(bench.subject, bench.kept[told["method"]], told["place"])


def arithmetic(bench: Bench) -> str:
    """What was computed in which dtype, and why."""
    dtype = str(bench.subject.dtype).removeprefix("torch.")
    return f"written in {dtype} ({bench.subject.reason}); effects measured in float32"


def _corpus(behaviours: Iterable[Behaviour]) -> dict[str, object]:
    hashes = {one.name: one.sha256 for one in behaviours}
    whole = hashlib.sha256("".join(hashes.values()).encode()).hexdigest()
    return {
        "name": ", ".join(hashes),
        "sha256": whole,
        "source": {"kind": "behaviours", "sets": hashes},
        "tokens": {},
        "splits_sha256": whole,
    }
