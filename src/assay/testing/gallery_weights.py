"""A planted transformer in the making: named axes of the residual, and heads and neurons that read and write them.

Like a compiled program (Tracr: Lindner et al. 2023), but for a Llama with its norms and gates. Every feature has an
axis of its own and is 1 where it holds, 0 elsewhere. One constant axis, far larger than all others together, makes RMS
normalisation the same factor everywhere to within half a per cent.

Heads go by position (rotary scores of all frequencies are in phase at one distance), by content (lowest frequencies,
which hardly turn within a document), or by both. The document's first token is a sink: it is attended to, with values
of 0, where a head finds nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.testing.blank import blank_llama
from assay.testing.gallery_language import KINDS, START, TOKEN_ID, VOCABULARY

Reading = Mapping[int, float]
"""A linear function of the residual: by axis, the coefficient of its feature."""

CONSTANT = len(VOCABULARY)
CONSTANT_SIZE = 100.0
HEAD_WIDTH = 32
ROPE_BASE = 1e6
OPEN = 16.0  # gate pre-activation: open passes the value on, shut (its negative) a ten-millionth of it
_HALF = HEAD_WIDTH // 2
_FREQUENCIES = ROPE_BASE ** (-np.arange(_HALF) / _HALF)
_NEAR = 8  # frequencies that tell distances apart
_SLOPE = 4  # one that falls steadily over a document
_CONTENT = (*range(9, 15), *range(9 + _HALF, 15 + _HALF))  # dimensions that turn by less than .03
_SINK = 15
_SHARP = 70.0  # attention score a frequency: a neighbouring distance falls behind by e^-40
_TURN = 0.6  # where on the cosine it begins: flat at 0, it falls from here to the end of a document
_STEEP = 1200.0  # of the falling score: the later of two tokens is ahead by e^20 or more
_MATCH = 60.0
_FREE = 16  # output axes without a purpose
_TYPICAL = 30.0  # sum of squares of all features, about


class Neuron(NamedTuple):
    """silu(gate) * up, and by axis what it adds per unit of activation."""

    gate: Reading
    up: Reading
    writes: Reading


@dataclass
class Head:
    """By dimension of the head, what query, key and value read; by dimension, what is written where."""

    query: dict[int, Reading] = field(default_factory=dict)
    key: dict[int, Reading] = field(default_factory=dict)
    value: list[Reading] = field(default_factory=list)
    output: list[Reading] = field(default_factory=list)

    def carry(self, value: Reading, axis: int, size: float = 1.0) -> None:
        """Write what ``value`` reads where the head attends, times ``size``, to ``axis``."""
        for i, known in enumerate(self.value):
            if known == value:
                self.output[i] = {**self.output[i], axis: self.output[i].get(axis, 0.0) + size}
                return
        self.value.append(value)
        self.output.append({axis: size})

    @property
    def full(self) -> bool:
        """Whether no further value fits."""
        return len(self.value) >= HEAD_WIDTH


def tokens(members: Iterable[str], weight: float = 1.0) -> Reading:
    """Reads 1 at these tokens."""
    return {TOKEN_ID[token]: weight for token in members}


def times(reading: Reading, factor: float) -> Reading:
    """A reading scaled."""
    return {axis: factor * weight for axis, weight in reading.items()}


def plus(*readings: Reading) -> Reading:
    """The sum of readings."""
    out: dict[int, float] = {}
    for reading in readings:
        for axis, weight in reading.items():
            out[axis] = out.get(axis, 0.0) + weight
    return out


def one(size: float = 1.0) -> Reading:
    """A constant."""
    return {CONSTANT: size}


def at_distance(distance: int) -> Head:
    """A head that attends to the token so many back; to the sink where there is none."""
    head = Head()
    size = np.sqrt(_SHARP * np.sqrt(HEAD_WIDTH))
    for i, frequency in enumerate(_FREQUENCIES[:_NEAR]):
        head.query[i] = one(size * np.cos(distance * frequency))
        head.query[i + _HALF] = one(-size * np.sin(distance * frequency))
        head.key[i] = plus(one(size), tokens([START], -size))
    _sink(head, _SHARP * (_NEAR - 0.3))
    return head


def at_latest(members: Sequence[str]) -> Head:
    """A head that attends to the last of these tokens up to here; to the sink where there was none."""
    head = Head()
    size = np.sqrt(_STEEP * np.sqrt(HEAD_WIDTH))
    head.query[_SLOPE], head.query[_SLOPE + _HALF] = one(size * np.cos(_TURN)), one(size * np.sin(_TURN))
    head.key[_SLOPE] = plus(one(size), tokens([START], -size))
    _by_content(head, members, 4 * _STEEP)
    _sink(head, 2 * _STEEP)
    return head


def at_any(members: Sequence[str]) -> Head:
    """A head that attends to all of these tokens up to here; to the sink where there was none."""
    head = Head()
    _by_content(head, members, _MATCH)
    _sink(head, _MATCH / 2)
    return head


def at_follower(members: Sequence[str], previous: Mapping[str, int]) -> Head:
    """A head that attends to what followed the same token before; to the sink where it stands for the first time.

    ``previous``: by token, the axis that says that it stood just before.
    """
    head, size = Head(), np.sqrt(_MATCH * np.sqrt(HEAD_WIDTH))
    for dimension, token in zip(_CONTENT, members, strict=True):
        head.query[dimension] = tokens([token], size)
        head.key[dimension] = {previous[token]: size}
    _sink(head, _MATCH / 2)
    return head


def _by_content(head: Head, members: Sequence[str], score: float) -> None:
    head.query[_CONTENT[0]], head.key[_CONTENT[0]] = one(), tokens(members, score * np.sqrt(HEAD_WIDTH))


def _sink(head: Head, score: float) -> None:
    head.query[_SINK], head.key[_SINK] = one(), tokens([START], score * np.sqrt(HEAD_WIDTH))


class Circuit:
    """Axes, heads and neurons by layer, and finally the model."""

    def __init__(self, layers: int) -> None:
        self.heads: list[list[Head]] = [[] for _ in range(layers)]
        self.neurons: list[list[Neuron]] = [[] for _ in range(layers)]
        self._size = CONSTANT + 1
        self.outputs = {kind: self.axis() for kind in KINDS}
        self.free = [self.axis() for _ in range(_FREE)]

    def axis(self) -> int:
        """A new axis."""
        self._size += 1
        return self._size - 1

    def staircase(self, layer: int, count: Reading, steps: Sequence[float]) -> int:
        """A new axis that holds ``steps[c]`` where the reading is the whole number c, by kinks; 0 where it is 0."""
        made = self.axis()
        for k, bend in enumerate(np.diff(np.diff(steps), prepend=0.0)):
            if bend:
                gate = times(plus(count, one(-float(k))), 2 * OPEN)
                self.neurons[layer].append(Neuron(gate, one(1 / (2 * OPEN)), {made: float(bend)}))
        return made

    def conjunction(self, layer: int, literals: Sequence[Reading], writes: Reading) -> None:
        """A neuron that writes where all of the literals, each 0 or 1, are 1."""
        gate = times(plus(*literals, one(0.5 - len(literals))), 2 * OPEN)
        self.neurons[layer].append(Neuron(gate, one(1 / OPEN), writes))

    def build(self, logits: NDArray[np.float64], seed: int) -> Any:
        """A ``LlamaForCausalLM`` in fp32 and evaluation mode. ``logits``: (current, next) of the next token."""
        import torch

        rng = np.random.default_rng([seed, 1])
        width = -(-self._size // HEAD_WIDTH) * HEAD_WIDTH
        n_heads = max(map(len, self.heads))
        model = blank_llama(
            vocabulary=len(VOCABULARY),
            width=width,
            neurons=max(map(len, self.neurons)),
            layers=len(self.neurons),
            heads=n_heads,
            rope_base=ROPE_BASE,
            head_width=HEAD_WIDTH,
        )
        scale = np.ones(width) * np.sqrt(width) / np.sqrt(CONSTANT_SIZE**2 + _TYPICAL)
        scale[CONSTANT] *= CONSTANT_SIZE  # of what each axis holds where its feature is 1, behind a norm
        matrices = {"model.embed_tokens.weight": _embedding(width), "lm_head.weight": self._head(logits, scale, rng)}
        for layer, (heads, neurons) in enumerate(zip(self.heads, self.neurons, strict=True)):
            place = f"model.layers.{layer}"
            for name, matrix in self._attention(heads, n_heads, scale, rng).items():
                matrices[f"{place}.self_attn.{name}.weight"] = matrix
            size = model.config.intermediate_size
            gate, up, down = (np.zeros((size, width)) for _ in range(3))
            for i, neuron in enumerate(neurons):
                for matrix, reading in zip((gate, up, down), neuron, strict=True):
                    matrix[i, list(reading)] = list(reading.values())
            matrices |= {f"{place}.mlp.gate_proj.weight": gate / scale, f"{place}.mlp.up_proj.weight": up / scale}
            matrices[f"{place}.mlp.down_proj.weight"] = down.T
        state = model.state_dict()
        state.update({name: torch.from_numpy(matrix).float() for name, matrix in matrices.items()})
        model.load_state_dict(state)
        return model.float().eval()

    def _attention(
        self, heads: Sequence[Head], n_heads: int, scale: NDArray[np.float64], rng: np.random.Generator
    ) -> dict[str, NDArray[np.float64]]:
        """The four matrices of a layer. Without heads of its own it has some at random, which write a little."""
        shape, width = (n_heads * HEAD_WIDTH, len(scale)), len(scale)
        if not heads:
            drawn = {name: rng.normal(size=shape) / np.sqrt(width) for name in ("q_proj", "k_proj", "v_proj")}
            drawn["v_proj"][:, CONSTANT] = 0  # what they carry is what happens in the text
            out = np.zeros((width, shape[0]))
            out[self.free] = rng.normal(size=(_FREE, shape[0])) / np.sqrt(shape[0])
            return drawn | {"o_proj": out}
        query, key, value, out = (np.zeros(shape) for _ in range(4))
        for i, head in enumerate(heads):
            first = i * HEAD_WIDTH
            rows = [(query, head.query), (key, head.key), (value, dict(enumerate(head.value)))]
            for matrix, by_dimension in rows:
                for dimension, reading in by_dimension.items():
                    matrix[first + dimension, list(reading)] = list(reading.values())
            for dimension, writes in enumerate(head.output):
                out[first + dimension, list(writes)] = list(writes.values())
        return {"q_proj": query / scale, "k_proj": key / scale, "v_proj": value / scale, "o_proj": out.T}

    def _head(
        self, logits: NDArray[np.float64], scale: NDArray[np.float64], rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Unembedding: the next token by the current one, plus the output axes, a nat each for their kinds' tokens."""
        table = np.zeros((len(VOCABULARY), len(scale)))
        table[:, : len(VOCABULARY)] = logits.T
        for kind, axis in self.outputs.items():
            table[[TOKEN_ID[token] for token in KINDS[kind]], axis] = 1.0
        table[:, self.free] = rng.normal(size=(len(VOCABULARY), _FREE)) / np.sqrt(_FREE)
        return table / scale


def _embedding(width: int) -> NDArray[np.float64]:
    table = np.zeros((len(VOCABULARY), width))
    table[:, : len(VOCABULARY)] = np.eye(len(VOCABULARY))
    table[:, CONSTANT] = CONSTANT_SIZE
    return table
