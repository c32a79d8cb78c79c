"""How much is run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from assay.errors import UnknownName, UsageError
from assay.explain.behaviour import Size
from assay.explain.request import SIMULATORS


class Effort(NamedTuple):
    """What an effort comes to.

    ``documents`` of the gallery's corpus; ``replicates`` of the bootstrap; ``size`` of the behaviour runs; ``runs``
    whose prediction is judged, of which ``whole`` are judged by behaviour as well, on every ``every``-th unit;
    ``swaps``: explainers that swap; ``draws`` of each honest explanation beside one that hides a meaning; ``judged``
    units, at most, are what a judge is tried on.
    """

    documents: int
    replicates: int
    size: Size
    runs: int
    whole: int
    every: int
    swaps: int
    draws: int
    judged: int


EFFORTS: Mapping[str, Effort] = {
    "smoke": Effort(500, 200, Size(96, 9, 64), 1, 1, 6, 4, 1, 4),
    "standard": Effort(1200, 400, Size(192, 24, 64), 3, 1, 1, 10, 2, 11),
    "full": Effort(2500, 1000, Size(256, 40, 64), 8, 2, 1, 40, 5, 43),
}


@dataclass(frozen=True)
class SelftestRequest:
    """What is asked for; the same names as the options of ``assay selftest``."""

    effort: str = "standard"
    seed: int = 0
    out: str | None = None
    judge: str | None = None
    max_judge_calls: int | None = None
    simulator: str | None = None

    def check(self) -> None:
        """Refuse what can't be done before anything is made.

        Raises:
            UnknownName: an effort or a simulator of no known name.
            UsageError: a seed below 0, or what goes with a judge without one.
        """
        if self.effort not in EFFORTS:
            raise UnknownName("effort", self.effort, EFFORTS)
        if self.seed < 0:
            raise UsageError(f"--seed must be 0 or more, got {self.seed}")
        if self.judge is None and (self.simulator is not None or self.max_judge_calls is not None):
            raise UsageError("--simulator and --max-judge-calls go with --judge; name one, or leave them out")
        if self.simulator is not None and self.simulator not in SIMULATORS:
            raise UnknownName("simulator", self.simulator, SIMULATORS)

    @property
    def size(self) -> Effort:
        """What the effort comes to."""
        return EFFORTS[self.effort]


@dataclass(frozen=True)
class SelftestOutcome:
    """Where the run was stored, the JSON that the command prints, and whether all is as it should be."""

    run_path: Path
    result: dict[str, Any]

    @property
    def as_expected(self) -> bool:
        """Whether every primary score passes on the units that rules describe."""
        return all(row["passes"] for row in self.result["scores"].values() if row["primary"])
