"""The one model that is in memory, and what is kept with it."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from assay.core.direction import SUFFIXES, Direction, read_directions
from assay.core.ids import UnitId
from assay.errors import UsageError
from assay.explain.speaking import make_simulator
from assay.judge import LocalJudge, Simulator
from assay.live.params import Params
from assay.live.server import Progress
from assay.model import load
from assay.model.placement import short
from assay.store.run import open_path
from assay.text import Corpus, load_corpus

if TYPE_CHECKING:
    from assay.model import Subject

Made = TypeVar("Made")


@dataclass(frozen=True)
class Asked:
    """A model as it was asked for; None where nothing was said of dtype or device."""

    model: str
    dtype: str | None
    device: str | None


@dataclass
class Held:
    """A model with what is made of it once: a copy in fp32, its simulator, the bundled corpus."""

    asked: Asked
    subject: Subject
    _kept: dict[str, Any] = field(default_factory=dict[str, Any])

    @classmethod
    def of(cls, subject: Subject) -> Held:
        """A subject that was made elsewhere."""
        return cls(Asked(subject.name, None, None), subject)

    @cached_property
    def precise(self) -> Subject:
        """The subject in fp32: effects are measured in it."""
        return self.subject.with_dtype(torch.float32)

    @cached_property
    def simulator(self) -> Simulator:
        """Makes predictions of sentences by the subject itself, as runs do; it keeps what the blank sentence gives."""
        return make_simulator(None, LocalJudge(self.subject))

    def corpus(self, progress: Progress) -> Corpus:
        """The bundled corpus."""
        return self.once("corpus", lambda: load_corpus("bundled", progress))

    def once(self, name: str, make: Callable[[], Made]) -> Made:
        """What is made by the first request that needs it, and kept as long as the model is."""
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    def is_what(self, asked: Asked) -> bool:
        """Whether this answers to what is asked for."""
        subject, own = self.subject, self.asked
        dtypes = (None, own.dtype, short(subject.dtype), str(subject.dtype).removeprefix("torch."))
        devices = (None, own.device, str(subject.device))
        return asked.model == own.model and asked.dtype in dtypes and asked.device in devices

    def unit(self, params: Params) -> UnitId:
        """The unit of a request; a direction that its file or a stored run gives becomes one.

        Raises:
            UsageError: no unit, or none of this model.
        """
        spec = params.text("unit").strip()
        if "," in spec:
            raise UsageError(f"{params.method} takes one unit. Got {spec[:80]!r} instead.")
        if spec.endswith(SUFFIXES) and ":@" in spec:
            found = read_directions(spec)
            unit = next(iter(found))
        else:
            unit = UnitId.parse(spec)
            found = _of_run(unit, params) if isinstance(unit.index, str) else {}
        for name, direction in found.items():
            for subject in (self.subject, self.precise):
                subject.units.add(name, direction)
        self.subject.units.check(unit)
        return unit


def _of_run(unit: UnitId, params: Params) -> dict[UnitId, Direction]:
    """The direction of that name in the run of the request, if there are both."""
    path = params.maybe_text("run")
    if path is None:
        return {}
    run = open_path(Path(path))
    described = run.spec["resolved"].get("directions", {}).get(str(unit))
    if described is None:
        return {}
    vector = run.tensor("directions", str(unit))
    return {unit: Direction(unit.site, vector, float(described["offset"]), float(described["scale"]))}


class Shelf:
    """Has room for one model: another takes its place."""

    def __init__(self) -> None:
        self._held: Held | None = None

    def get(self, params: Params, progress: Progress) -> Held:
        """The model that a request names, loaded if it is not the one in memory.

        Raises:
            UsageError: it has other weights than ``fingerprint`` says, or as :func:`assay.model.load`.
            MachineError: as :func:`assay.model.load`.
        """
        asked = Asked(params.text("model"), params.maybe_text("dtype"), params.maybe_text("device"))
        if self._held is None or not self._held.is_what(asked):
            self._held = None
            gc.collect()  # so that two models are never in memory at once
            self._held = Held(asked, load(asked.model, asked.dtype, asked.device, progress))
        wanted, subject = params.maybe_text("fingerprint"), self._held.subject
        if wanted is not None and wanted != subject.fingerprint:
            raise UsageError(
                f"{asked.model} in {short(subject.dtype)} has the weights {subject.fingerprint[:12]}; the run was made "
                f"with others, {wanted[:12]}: another model of that name, or another dtype"
            )
        return self._held
