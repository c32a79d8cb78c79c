"""The lab as two functions, one a verb: from a request to a run that is stored."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from assay.errors import UsageError
from assay.findings.carried import ConceptOutcome, Progress, carried, quiet
from assay.model.fingerprint import describe
from assay.probe.bench import Bench
from assay.probe.request import EraseRequest as EraseRequest
from assay.probe.request import ProbeRequest as ProbeRequest
from assay.probe.studies import EXPERIMENTS, USUAL, Experiment
from assay.store import RunWriter, runs_root
from assay.text.concepts import ConceptData

if TYPE_CHECKING:
    from assay.model import Subject

_OWN_MODEL = {
    "name": "a model of its own",
    "dtype": "float32",
    "device": "cpu",
    "reason": "effects are measured in it",
    "fingerprint": "",
    "n_layers": 0,
}


def probe(
    request: ProbeRequest,
    progress: Progress = quiet,
    *,
    subject: Subject | None = None,
    data: Iterable[ConceptData] = (),
) -> ConceptOutcome:
    """Find directions that tell a concept, and test them where they were not made; or one of the lab's experiments.

    ``subject`` and ``data`` may be handed in instead of being loaded by name.

    Raises:
        UsageError: what was asked for can't be done: an unknown name, no such layer, data of one label, torn pairs.
        MachineError: a fetch failed, or the run can't be written.
    """
    request.verify()
    return _carry_out(request, USUAL["probe"], progress, subject, data)


def erase(
    request: EraseRequest,
    progress: Progress = quiet,
    *,
    subject: Subject | None = None,
    data: Iterable[ConceptData] = (),
) -> ConceptOutcome:
    """Erase a concept in several ways, and attack what is left; or one of the lab's experiments.

    Arguments and errors are those of :func:`probe`.
    """
    request.verify()
    return _carry_out(request, USUAL["erase"], progress, subject, data)


def _carry_out(
    request: ProbeRequest | EraseRequest,
    usual: Experiment,
    progress: Progress,
    subject: Subject | None,
    data: Iterable[ConceptData],
) -> ConceptOutcome:
    experiment = usual if request.experiment is None else EXPERIMENTS[request.experiment]

    def load() -> Subject:
        if subject is not None:
            return subject
        from assay.model import load as by_name

        return by_name(request.model, request.dtype, request.device, progress)

    bench = Bench(load, request.size, request.seed, request.position, progress, data)
    called = {name: bench.take(name) for name in data_names(request, experiment)}
    sets = [bench.data(name) for name in called.values()]
    named = _named(request, called)
    _check_sets(named, experiment, bench)
    writer = RunWriter.take_up(
        runs_root(request.out),
        experiment.verb,
        asked=asdict(request),
        resolved=asdict(named) | {"experiment": request.experiment, "size": request.size._asdict()},
        subject=describe(bench.subject) if experiment.model else _OWN_MODEL,
        corpus=_corpus(sets),
    )
    bench.writer = writer
    run = importlib.import_module(f"assay.probe.studies.{experiment.module}").run
    items = {one.name: len(one) for one in sets}
    return carried(
        writer,
        request.experiment,
        lambda: run(bench, named),
        lambda: {"items": items, "passes": bench.passes, "arithmetic": bench.arithmetic()},
        progress,
    )


def data_names(request: ProbeRequest | EraseRequest, experiment: Experiment) -> tuple[str, ...]:
    """The data sets that are used: the experiment's, unless another is asked for, then those of the transfer."""
    own = experiment.data if request.data in (None, *experiment.data[:1]) else (request.data,)
    transfer = request.transfer if isinstance(request, ProbeRequest) else ()
    return tuple(dict.fromkeys((*own, *transfer)))


def _named(request: ProbeRequest | EraseRequest, called: Mapping[str, str]) -> ProbeRequest | EraseRequest:
    """The same request by the names that the data sets go by."""
    known: dict[str, Any] = {"data": request.data and called[request.data]}
    if isinstance(request, ProbeRequest):
        known["transfer"] = tuple(called[name] for name in request.transfer)
    return replace(request, **known)


def _check_sets(request: ProbeRequest | EraseRequest, experiment: Experiment, bench: Bench) -> None:
    """Refuse sets in which nothing can be told apart, and a transfer to what is fitted on, before a model is loaded."""
    fitted = request.data or (experiment.data[0] if experiment.data else None)
    transfer = request.transfer if isinstance(request, ProbeRequest) else ()
    if fitted in transfer:
        raise UsageError(f"--transfer names {fitted}, which is fitted on; leave it out")
    for name in (request.data, *transfer):
        if name is not None and len(set(bench.data(name).labels.tolist())) < 2:
            raise UsageError(f"{name} has texts of one label only, so that nothing can be told apart; name another set")


def _corpus(sets: list[ConceptData]) -> dict[str, Any]:
    hashes = {one.name: one.sha256 for one in sets}
    whole = hashlib.sha256("".join(hashes.values()).encode()).hexdigest()
    return {
        "name": ", ".join(hashes) or "text of its own",
        "sha256": whole,
        "source": {"kind": "concepts", "sets": hashes},
        "tokens": {},
        "splits_sha256": whole,
    }
