"""What a layer's cells are made from: what was right, and what everybody said, as arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int64
from numpy.typing import NDArray

from assay.introspect.neurons import Neuron
from assay.introspect.scores import Answered, Estimate, Slopes, bits, mean_of, r2_of

Logs = Float[np.ndarray, "... n units 10"]


@dataclass(frozen=True)
class Said:
    """What a reporter said that was taught one regime on one number of sentences.

    ``logs``: for each regime it was tested in, log-probabilities of the digits on the test split; NaN where a neuron
    was not taught. ``choose_bits``: (units,) what it is worth on the choose split. ``controls``: (units, controls)
    slopes on patches that are not of the neuron. ``own``: (n, units) values of the neurons after training, where that
    may have moved them. ``steps``, ``by_heart``: how training went, see :class:`~assay.introspect.training.Trained`.
    """

    logs: Mapping[str, Logs]
    choose_bits: Float[np.ndarray, " units"]
    steps: int
    by_heart: bool
    controls: Float[np.ndarray, "units controls"] | None = None
    own: Float[np.ndarray, "n units"] | None = None


@dataclass(frozen=True)
class Evidence:
    """All of one group of neurons that were asked about together, on the test split.

    ``right``, ``values``: the natural decile and value of each neuron at each sentence. ``put_in``: for each regime
    the right digits of each draw. ``heard``: by regime and number of sentences. ``told``: what baselines and control
    reporters ("blind", "shuffled", "other_model") say in the natural regime. ``text``: for each neuron the best
    baseline that reads words, by the choose split. ``probe``: for each regime what the best linear probe after the
    neuron says. ``optimum``: for each regime of patches the number that the best linear reader says. ``sibling``:
    whether the other model is of the same size. ``blocked``: no later token can see these neurons.
    ``optimum_controls``: for each regime of patches (units, controls), how much patches that are not of the neuron move
    that reader's number; nothing in runs of earlier versions.
    """

    neurons: Sequence[Neuron]
    right: Int64[NDArray[np.int64], "n units"]
    values: Float[np.ndarray, "n units"]
    documents: Int64[NDArray[np.int64], " n"]
    put_in: Mapping[str, Int64[NDArray[np.int64], "_ n units"]]
    heard: Mapping[tuple[str, int], Said]
    told: Mapping[str, Float[np.ndarray, "n units 10"]]
    text: Sequence[str]
    probe: Mapping[str, Logs]
    optimum: Mapping[str, Float[np.ndarray, "_ n units"]]
    sibling: bool
    blocked: bool
    optimum_controls: Mapping[str, Float[np.ndarray, "units controls"]] = field(default_factory=dict)

    def answered(self, logs: Float[np.ndarray, "draws n 10"], regime: str, unit: int) -> Answered:
        """Answers about one unit with what would be right, draw after draw."""
        draws, count, _ = logs.shape
        right = self.put_in[regime][:draws, :, unit].reshape(-1)
        sentences, documents = np.tile(np.arange(count), draws), np.tile(self.documents, draws)
        return Answered(logs.reshape(-1, 10).astype(np.float64), right, sentences, documents)

    def answers(self, said: Said, unit: int) -> Iterator[Answered]:
        """In every regime that was tested."""
        return (self.answered(logs[:, :, unit], regime, unit) for regime, logs in said.logs.items())

    def bits_of(self, logs: Float[np.ndarray, "draws n 10"], regime: str, unit: int) -> Estimate:
        """What answers about one unit are worth."""
        own = self.answered(logs, regime, unit)
        return mean_of(bits(own), own.documents)

    def best(self, regime: str, unit: int) -> tuple[Slopes, float]:
        """Slopes of the best linear reader of the patches, and its R²."""
        return read_off(self.optimum[regime][..., unit], self.put_in[regime][..., unit], self.documents)


def read_off(
    said: Float[np.ndarray, "draws n"], right: Int64[np.ndarray, "draws n"], documents: Int64[np.ndarray, " n"]
) -> tuple[Slopes, float]:
    """Slopes and R² of numbers that were said of patches of one neuron."""
    draws, count = said.shape
    flat, own = said.reshape(-1).astype(np.float64), np.tile(documents, draws)
    slopes = Slopes.of(flat, right.reshape(-1), np.tile(np.arange(count), draws), own)
    return slopes, r2_of(flat, right.reshape(-1), own).value
