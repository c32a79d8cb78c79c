"""What is asked of the lab."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import NamedTuple

from assay.errors import UnknownName, UsageError
from assay.findings.asked import check_names
from assay.model.reading import POSITIONS
from assay.steer.exporting import check_place
from assay.steer.methods import METHODS
from assay.steer.treatment import WHERE

KL_CAP = 0.5
_BY_ALL = ("concept", "experiment", "layers", "effort", "seed", "out", "dtype", "device")
USUAL = ("actadd", "mean_diff", "lat", "prompt", "random")


class Effort(NamedTuple):
    """What an effort comes to.

    ``prompts``: most of a concept that are used, half to choose and half to report. ``windows`` of neutral text, of
    each corpus in each half. ``placebos``: 20 at least, so that one in twenty can be exceeded. ``tokens`` of a
    continuation, of which every prompt has ``draws``. ``replicates`` of the bootstrap. ``layers``: how many, where none
    are named. ``steps`` of a finetune, as a share of the usual number.
    """

    prompts: int
    windows: int
    placebos: int
    tokens: int
    draws: int
    replicates: int
    layers: int
    steps: float


EFFORTS: Mapping[str, Effort] = {
    "smoke": Effort(40, 4, 20, 8, 1, 300, 2, 0.1),
    "quick": Effort(48, 12, 20, 16, 1, 1000, 4, 1.0),
    "standard": Effort(48, 24, 40, 24, 3, 2000, 8, 1.0),
    "full": Effort(1000, 48, 100, 32, 3, 5000, 12, 1.0),
}


@dataclass(frozen=True, kw_only=True)
class SteerRequest:
    """What ``assay steer`` is asked; the same names as its options.

    ``concept``: of the package, or a file; left out, the experiment's own. ``layers``: of ``resid_post``; evenly
    spread, by effort, if left out. ``doses``: instead of a method's own. ``directions``: files of directions of your
    own, each a method by its name. ``where``: at which tokens vectors are added. ``kl_cap``: most nats by which the
    next token on neutral text may diverge. ``pad``: whether the shorter of the two prompts of actadd is padded.
    ``judge``: of what is written, named as :func:`assay.judge.choose.choose_judge` says, of which an endpoint is asked
    at most ``max_judge_calls`` questions.
    ``experiment``: one of :data:`assay.steer.studies.EXPERIMENTS`. ``export``: where the direction that did the most is
    written, see :mod:`assay.steer.exporting`. ``models``: of the experiment scale.
    """

    concept: str | None = None
    methods: tuple[str, ...] | None = None
    layers: tuple[int, ...] | None = None
    doses: tuple[float, ...] | None = None
    directions: tuple[str, ...] = ()
    where: str = "all"
    position: str = "mean"
    kl_cap: float = KL_CAP
    pad: bool = True
    judge: str | None = None
    max_judge_calls: int | None = None
    experiment: str | None = None
    export: str | None = None
    model: str = "smollm2-135m"
    models: tuple[str, ...] = ()
    dtype: str | None = None
    device: str | None = None
    effort: str = "quick"
    seed: int = 0
    out: str | None = None

    @property
    def size(self) -> Effort:
        """What the effort comes to."""
        return EFFORTS[self.effort]

    @property
    def asked_methods(self) -> tuple[str, ...]:
        """The methods asked for, or the usual ones; none where only directions of one's own are asked for."""
        return self.methods if self.methods is not None else () if self.directions else USUAL

    def verify(self) -> None:
        """Refuse what can't be done before anything is loaded.

        Raises:
            UnknownName: an experiment, effort, method or position of no known name.
            UsageError: a number out of range, a name twice, or none.
        """
        self._check_names()
        self._check_experiment()
        if self.layers is not None and not self.layers:
            raise UsageError("--layers must name one or more, such as 6,12,18. Got none.")
        if self.doses is not None and not _rising(self.doses):
            given = ", ".join(f"{dose:g}" for dose in self.doses) or "none"
            raise UsageError(f"--doses must be numbers above 0, from the lowest to the highest. Got {given}.")
        if not 0 < self.kl_cap < math.inf:
            raise UsageError(f"--kl-cap must be above 0. Got {self.kl_cap:g}.")
        if self.max_judge_calls is not None and self.judge is None:
            raise UsageError("--max-judge-calls is of a judge; name one by --judge")
        if self.seed < 0:
            raise UsageError(f"--seed must be 0 or more, got {self.seed}")
        if self.export is not None:
            check_place(self.export)

    def _check_names(self) -> None:
        named = (
            ("effort", self.effort, EFFORTS),
            ("position", self.where, WHERE),
            ("position", self.position, POSITIONS),
        )
        for kind, got, known in named:
            if got not in known:
                raise UnknownName(kind, got, known)
        check_names("--methods", "method", self.methods, METHODS)

    def _check_experiment(self) -> None:
        from assay.steer.studies import EXPERIMENTS

        if self.experiment is None:
            if self.models:
                raise UsageError("--models are those of --experiment scale; add that, or name one by --model")
            return
        if self.experiment not in EXPERIMENTS:
            raise UnknownName("experiment of assay steer", self.experiment, EXPERIMENTS)
        one = EXPERIMENTS[self.experiment]
        for own in fields(self):
            if own.name in (*_BY_ALL, *one.heeds.split()) or getattr(self, own.name) == own.default:
                continue
            option = "direction" if own.name == "directions" else own.name.replace("_", "-")
            raise UsageError(f"--experiment {self.experiment} takes no --{option}; leave it out")


def _rising(doses: tuple[float, ...]) -> bool:
    return bool(doses) and all(0 < dose < math.inf for dose in doses) and list(doses) == sorted(set(doses))
