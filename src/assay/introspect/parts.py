"""What a run consists of, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from assay.introspect.group import NULL, Trial
from assay.introspect.kept import BATCH
from assay.introspect.reporter import WHOLE
from assay.introspect.request import ReportRequest
from assay.introspect.training import Plan

_SENTENCE = 20  # tokens of a usual sentence, which whole passes read anew
_ENDS = 2  # head and optimiser, in layers
_CONTROLS = 3  # reporters beside one of natural values: of shuffled numbers, blind, of another model


class Part(NamedTuple):
    """What is studied, stored and taken up as one: the neurons of one layer, asked in one way with one thing
    trained.

    ``n_layers``: of the model.
    """

    model: str
    topology: str
    trainable: str
    layer: int
    n_layers: int

    @property
    def name(self) -> str:
        """As a file's name."""
        plain = "".join(c if c.isalnum() or c in "-." else "_" for c in self.model)
        return f"{plain}-{self.topology}-{self.trainable}-L{self.layer}"

    def lesson_cost(self, trial: Trial, plan: Plan) -> int:
        """What one reporter costs to teach: steps, times the layers that each runs, for one token or all."""
        steps = plan.epochs_of("nat" if trial.regime == NULL else trial.regime) * -(-trial.size // BATCH)
        if self.trainable in WHOLE:
            return steps * _SENTENCE * (self.n_layers + _ENDS)
        run = self.n_layers if self.trainable == "question" else self.n_layers - 1 - self.layer
        return steps * (run + _ENDS)

    def trials(self, request: ReportRequest) -> list[Trial]:
        """What reporters are taught about some neurons, if all of these are worth teaching, controls included."""
        size = request.size
        trials = [Trial(self.trainable, regime, n) for regime in request.regimes for n in size.halves]
        return trials + [Trial(self.trainable, NULL, size.sentences)] * (_CONTROLS if "nat" in request.regimes else 0)

    def cost(self, request: ReportRequest, plan: Plan) -> int:
        """What all reporters of this part cost together, if all are taught to the end."""
        groups = 1 if self.topology == "Q" else request.size.neurons
        return groups * sum(self.lesson_cost(trial, plan) for trial in self.trials(request))


def parts_of(request: ReportRequest, n_layers: Mapping[str, int]) -> list[Part]:
    """The parts of a run in their order; ``n_layers`` of each model."""
    return [
        Part(model, topology, trainable, layer, count)
        for model, count in n_layers.items()
        for topology in request.topologies
        for trainable in request.trainable
        for layer in request.layers_of(model, count)
    ]
