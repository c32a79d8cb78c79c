"""The planted gallery: a real Llama with hand-set weights, whose units do what is written on their labels.

Units stand at ``L2.mlp_act``. Each has its truth (a list of rules where the grammar can say it, a function of the text
in any case), a true sentence, and decoys: explanations that are wrong in a known way. Families:

``rules``          a list of rules describes it exactly
``noisy``          the same under noise that only the token nine back decides; the truth has the stated r
``polysemantic``   several meanings, each a list of rules
``beyond``         no list of rules says it: parity, a random set of pairs, far tokens, sums of graded numbers
``filler``         unnamed neurons: a number for each of some words, so that the site has many units
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from assay.rules import RuleList, View
from assay.testing import gallery_weights as weights
from assay.testing.gallery_labels import DECOYS, SITE, Exhibit, Said, read_exhibits, read_rules
from assay.testing.gallery_language import SPECIAL, START, TOKEN_ID, VOCABULARY, gallery_corpus, sample_ids, tokenizer
from assay.testing.gallery_rules import Compiler

if TYPE_CHECKING:
    from assay.model import Subject
    from assay.text import Document

__all__ = ["DECOYS", "SITE", "Exhibit", "Gallery", "Said", "gallery", "read_rules"]

LAYERS = 4
_NOISE_DISTANCE = 9  # beyond the eight tokens that rules call nearby
_NOISE_AXES = 32
_SMEAR = 0.4  # nats that a filler writes, at random


@dataclass(frozen=True)
class Gallery:
    """The subject, its exhibits, and text in its language."""

    subject: Subject
    exhibits: tuple[Exhibit, ...]
    corpus: list[Document]

    def family(self, *names: str) -> list[Exhibit]:
        """The exhibits of some families."""
        return [exhibit for exhibit in self.exhibits if exhibit.family in names]


def gallery(seed: int = 0, documents: int = 1000) -> Gallery:
    """The gallery: a model of four layers in fp32; equal seeds give equal weights.

    The seed changes the noise, the unnamed neurons and the corpus, not what is planted.
    """
    from assay.model import Subject

    rng = np.random.default_rng([seed, 45])
    circuit = weights.Circuit(LAYERS)
    compiler = Compiler(circuit)
    noise = [circuit.axis() for _ in range(_NOISE_AXES)]
    numbers = rng.uniform(-1, 1, (_NOISE_AXES, len(VOCABULARY)))
    numbers[:, TOKEN_ID[START]] = 0.0
    far = _carried(numbers)
    for axis, column in zip(noise, numbers, strict=True):
        compiler.carrier(_NOISE_DISTANCE).carry(dict(enumerate(column.tolist())), axis)
    exhibits = read_exhibits()
    view = View(sample_ids(), VOCABULARY)
    for exhibit in exhibits:
        axis = circuit.axis()
        if isinstance(exhibit.truth, RuleList):
            compiler.compile(exhibit.truth, axis)
        else:
            exhibit.truth.wire(compiler, axis)
        signal = exhibit.truth.predict(view).astype(np.float64)
        mix = _unrelated(rng.standard_normal(_NOISE_AXES), far, signal)
        mix *= signal.std() * np.sqrt(exhibit.r**-2 - 1) / (mix @ far).std()
        up = weights.plus({axis: 1.0}, dict(zip(noise, mix.tolist(), strict=True)))
        writes = {circuit.outputs[kind]: nats for kind, nats in exhibit.writes.items()}
        circuit.neurons[SITE.layer].append(_readout(up, writes))
    most = max(map(len, circuit.neurons))
    circuit.neurons[SITE.layer] += [_filler(rng, circuit) for _ in range(most - len(exhibits))]
    subject = Subject.from_hf(circuit.build(_bigrams(), seed), tokenizer(), name=f"gallery-{seed}")
    return Gallery(subject, exhibits, gallery_corpus(seed, documents))


def _readout(up: weights.Reading, writes: weights.Reading) -> weights.Neuron:
    """A neuron with its gate open: the activation is what ``up`` reads."""
    return weights.Neuron(weights.one(weights.OPEN), weights.times(up, 1 / weights.OPEN), writes)


def _filler(rng: np.random.Generator, circuit: weights.Circuit) -> weights.Neuron:
    chosen = rng.choice(np.arange(len(SPECIAL), len(VOCABULARY)), int(rng.integers(2, 9)), replace=False)
    up = {int(i): float(rng.uniform(-0.5, 1.3)) for i in chosen}
    size = _SMEAR / np.sqrt(len(circuit.free))
    return _readout(up, {axis: float(size * rng.standard_normal()) for axis in circuit.free})


def _carried(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """(axes, tokens of the sample) what stands on the noise axes, from each token's numbers, (axes, vocabulary)."""
    ids = sample_ids()
    far = np.zeros((len(numbers), *ids.shape))
    far[..., _NOISE_DISTANCE:] = np.pad(numbers, ((0, 0), (0, 1)))[:, ids[:, :-_NOISE_DISTANCE]]
    return far[:, ids >= 0]


def _unrelated(mix: NDArray[np.float64], far: NDArray[np.float64], signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """A mixture of the noise axes that does not covary with the signal: tokens nine apart know of each other."""
    together = (far - far.mean(1, keepdims=True)) @ (signal - signal.mean())
    return mix - together * (together @ mix) / (together @ together)


@cache
def _bigrams() -> NDArray[np.float64]:
    """(current, next) log odds of the next token in the language."""
    ids = sample_ids()
    pairs = np.full((len(VOCABULARY),) * 2, 0.05)
    pairs[:, : len(SPECIAL)] = 1e-4
    real = ids[:, 1:] >= 0
    np.add.at(pairs, (ids[:, :-1][real], ids[:, 1:][real]), 1)
    logits = np.log(pairs / pairs.sum(1, keepdims=True))
    return logits - logits.mean(1, keepdims=True)
