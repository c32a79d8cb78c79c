"""What is asked of the lab, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.errors import UnknownName, UsageError
from assay.explain.claimed import Refused
from assay.explain.claims import CALIBRATIONS, LINEAR
from assay.explain.names import EXPLAINERS, PROSE, SELF, SIMULATED
from assay.judge import AllAtOnce, TokenByToken, Written
from assay.rules import RuleList

MAX_RULES = 64
DEFAULT = ("rules", SELF, "lookup")
SIMULATORS = (AllAtOnce.name, TokenByToken.name, Written.name)


@dataclass(frozen=True)
class ExplainRequest:
    """What is asked for; the same names as the options of ``assay explain``.

    ``dtype``, ``device`` and ``trust_remote_code`` are those of :func:`assay.model.load`.
    ``also``: another corpus, on which the same claims are scored again.
    ``joint``: replace many units of a layer by their predictions at once, too.
    ``sample``: with ``units`` "all", how many of them, drawn at random, have their behaviour tested.
    ``judge`` names the judge of the explainer "prose" (:func:`assay.judge.choose.choose_judge`), ``max_judge_calls``
    how often it may be asked; ``simulator`` is how sentences become predictions, by default written numbers of a judge
    that returns text alone and logits all at once of others.
    ``detection`` asks the judge for yes and no as well (:mod:`assay.explain.detection`).
    ``calibration`` is what brings a prediction to the unit's scale.
    ``written`` are rule lists and ``said`` are sentences that somebody brought, by unit: each is tested beside what is
    learnt of that unit. ``refused``: claims of the same file that can't be tested, which the result lists.
    """

    model: str = "smollm2-135m"
    dtype: str | None = None
    device: str | None = None
    trust_remote_code: str | None = None
    units: str = "spread3"
    explainers: tuple[str, ...] = DEFAULT
    rules: int = 8
    tokens: int = 120_000
    corpus: str = "bundled"
    also: str | None = None
    behaviour: bool = True
    joint: bool = False
    sample: int = 30
    judge: str | None = None
    max_judge_calls: int | None = None
    simulator: str | None = None
    calibration: str = LINEAR
    detection: bool = False
    seed: int = 0
    out: str | None = None
    written: Mapping[str, RuleList] = field(default_factory=dict)
    said: Mapping[str, str] = field(default_factory=dict)
    refused: tuple[Refused, ...] | None = None

    @property
    def edits(self) -> bool:
        """Whether predictions are put into the running model."""
        return self.behaviour or self.joint

    def check(self) -> None:
        """Refuse what can't be done before anything is loaded.

        Raises:
            UnknownName: an explainer of no known name.
            UsageError: a number out of range.
        """
        self._check_explainers()
        if self.written and set(self.explainers) <= set(SIMULATED):
            raise UsageError("--written needs rules or lookup among --explainer, as the rivals of what was written")
        if self.calibration not in CALIBRATIONS:
            raise UnknownName("calibration", self.calibration, CALIBRATIONS)
        if not 1 <= self.rules <= MAX_RULES:
            raise UsageError(f"--rules must be 1 to {MAX_RULES}, got {self.rules}")
        if self.corpus == self.also == "-":
            raise UsageError("--corpus and --also can't both be read from standard input; give one of them as a file")
        if self.sample < 0:
            raise UsageError(f"--sample must be 0 or more, got {self.sample}")
        if self.seed < 0:
            raise UsageError(f"--seed must be 0 or more, got {self.seed}")

    def _check_explainers(self) -> None:
        if not self.explainers:
            raise UsageError(f"--explainer names none; give one or more of {', '.join(EXPLAINERS)}")
        for name in self.explainers:
            if name not in EXPLAINERS:
                raise UnknownName("explainer", name, EXPLAINERS)
        if len(set(self.explainers)) < len(self.explainers):
            raise UsageError(f"--explainer names one twice: {', '.join(self.explainers)}")
        if self.judge is not None and PROSE not in self.explainers and not self.said:
            raise UsageError(f"--judge {self.judge} has nothing to judge; add prose to --explainer")
        if self.max_judge_calls is not None and (self.judge is None or self.max_judge_calls < 0):
            raise UsageError("--max-judge-calls must be 0 or more, and needs --judge")
        if self.detection and not set(self.explainers) & set(SIMULATED) and not self.said:
            raise UsageError("--detection asks a judge about sentences; add prose or self to --explainer")
        if self.simulator is not None and self.simulator not in SIMULATORS:
            raise UnknownName("simulator", self.simulator, SIMULATORS)


@dataclass(frozen=True)
class ExplainOutcome:
    """Where the run was stored, and the JSON that the command prints."""

    run_path: Path
    result: dict[str, Any]

    def _repr_html_(self) -> str:
        """For notebooks."""
        from assay.explain.notebook import outcome_html

        return outcome_html(self)
