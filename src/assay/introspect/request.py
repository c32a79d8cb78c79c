"""What is asked of the lab, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from assay.errors import UnknownName, UsageError
from assay.introspect.regimes import REGIMES
from assay.introspect.reporter import TRAINABLE
from assay.introspect.wording import MOST, TOPOLOGIES


class Effort(NamedTuple):
    """What an effort comes to.

    ``layers``: how many, the last ``last`` of the model among them, the others evenly spread. ``neurons`` a layer.
    ``sentences`` to teach on, of which half is tried as well. ``wide``: fit sentences that probes and scales are
    learnt on. ``choose``, ``test``: sentences of those splits. ``draws``: patches of each test sentence that slopes
    are taken from. ``epochs`` over the sentences with natural values, ``patched_epochs`` over those with patches.
    """

    layers: int
    last: int
    neurons: int
    sentences: int
    wide: int
    choose: int
    test: int
    draws: int
    epochs: int
    patched_epochs: int

    @property
    def halves(self) -> tuple[int, int]:
        """The numbers of sentences that are taught on: half of them, and all."""
        return self.sentences // 2, self.sentences


EFFORTS: Mapping[str, Effort] = {
    "smoke": Effort(2, 1, 2, 400, 1000, 200, 200, 2, 3, 3),
    "quick": Effort(6, 3, 2, 1000, 4000, 200, 300, 2, 6, 16),
    "standard": Effort(8, 3, 6, 4000, 8000, 600, 600, 2, 5, 8),
    "full": Effort(12, 3, 12, 8000, 12000, 1200, 1200, 3, 4, 6),
}
FEWEST = 100  # sentences to teach on


@dataclass(frozen=True)
class ReportRequest:
    """What is asked for; the same names as the options of ``assay report``.

    ``models``: names for :func:`assay.model.load`. ``layers``, ``neurons_per_layer`` and ``train_examples`` are those
    of the effort if left out. ``trainable`` names sets of :data:`assay.introspect.reporter.TRAINABLE`. ``sibling``:
    another model, with the same tokenizer, that is taught the same numbers; by default the ladder's model of the
    other seed, else the model with its weights drawn anew. ``also``: another corpus, on whose sentences the same
    reporters are asked, too.
    """

    models: tuple[str, ...] = ("smollm2-135m",)
    layers: tuple[int, ...] | None = None
    neurons_per_layer: int | None = None
    regimes: tuple[str, ...] = ("nat", "int")
    topologies: tuple[str, ...] = ("Q",)
    trainable: tuple[str, ...] = ("above",)
    train_examples: int | None = None
    sibling: str | None = None
    effort: str = "quick"
    corpus: str = "bundled"
    also: str | None = None
    dtype: str | None = None
    device: str | None = None
    seed: int = 0
    out: str | None = None

    @property
    def size(self) -> Effort:
        """What the effort comes to, with what was asked for otherwise."""
        effort = EFFORTS[self.effort]
        sentences = self.train_examples or effort.sentences
        return effort._replace(
            neurons=self.neurons_per_layer or effort.neurons,
            sentences=sentences - sentences % 2,
            wide=max(effort.wide, sentences),
        )

    def check(self) -> None:
        """Refuse what can't be done before anything is loaded.

        Raises:
            UnknownName: an effort, regime, topology or trainable set of no known name.
            UsageError: a number out of range, or a name twice.
        """
        if self.effort not in EFFORTS:
            raise UnknownName("effort", self.effort, EFFORTS)
        for option, names, known in (
            ("regime", self.regimes, REGIMES),
            ("topology", self.topologies, TOPOLOGIES),
            ("trainable", self.trainable, TRAINABLE),
        ):
            for name in names:
                if name not in known:
                    raise UnknownName(option, name, known)
            if not names or len(set(names)) < len(names):
                raise UsageError(f"--{option} must name one or more, each once. Got {', '.join(names) or 'none'}.")
        if not self.models or len(set(self.models)) < len(self.models):
            raise UsageError(f"--models must name one or more, each once. Got {', '.join(self.models) or 'none'}.")
        if "question" in self.trainable and "S" in self.topologies:
            raise UsageError("--trainable question has no question to act on in topology S; leave one of them out")
        if self.neurons_per_layer is not None and not 1 <= self.neurons_per_layer <= MOST:
            raise UsageError(f"--neurons-per-layer must be 1 to {MOST}, got {self.neurons_per_layer}")
        if self.train_examples is not None and self.train_examples < FEWEST:
            raise UsageError(f"--train-examples must be {FEWEST} or more, got {self.train_examples}")
        if self.seed < 0:
            raise UsageError(f"--seed must be 0 or more, got {self.seed}")
        if self.corpus == self.also == "-":
            raise UsageError("--corpus and --also can't both be read from standard input; give one of them as a file")

    def layers_of(self, model: str, n_layers: int) -> tuple[int, ...]:
        """The layers to study of a model: those asked for, else those of the effort.

        Raises:
            UsageError: the model has no such layer.
        """
        if self.layers is not None:
            for layer in self.layers:
                if not 0 <= layer < n_layers:
                    raise UsageError(f"{model} has layers 0 to {n_layers - 1}, and --layers names {layer}")
            return tuple(sorted(set(self.layers)))
        effort = EFFORTS[self.effort]
        last = set(range(max(0, n_layers - effort.last), n_layers))
        others = max(0, effort.layers - len(last))
        lower = n_layers - len(last)
        spread = {int((i + 0.5) * lower / others) for i in range(others)}
        return tuple(sorted(last | spread))


@dataclass(frozen=True)
class ReportOutcome:
    """Where the run was stored, and the JSON that the command prints."""

    run_path: Path
    result: dict[str, Any]
