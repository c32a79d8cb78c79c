"""Hand-set weights for a planted model: where each kind of information lives in the residual, and how it moves.

The residual has five blocks: one axis a token, one constant axis, one axis a kind (the kind of the *previous*
token, written by head 0 of layer 0), one axis of noise (a random number that belongs to the token 17 back, written
by head 1), and the output axes that only the unembedding reads. The constant axis dominates the norm, so that RMS
normalisation is the same factor everywhere to within a few per cent.

Both heads attend by position alone: query and key read the constant axis, and the query is turned so that the
rotary scores of all frequencies are in phase at one distance and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.testing.blank import blank_llama
from assay.testing.planted_language import KINDS, VOCABULARY

WIDTH = 192
HEADS = 6
HEAD_WIDTH = WIDTH // HEADS
ROPE_BASE = 20.0
NOISE_DISTANCE = 17
PLANTED_LAYER = 1

TOKEN_SIZE, CONSTANT_SIZE, KIND_SIZE, NOISE_SIZE = 4.0, 8.0, 2.0, 0.5
_SHARPNESS = 15.0  # attention score a frequency; the runner-up distance falls behind by e^-20
_FREQUENCIES = 8
_GAIN = 4.0  # of the unembedding on the output axes: writes are small beside the norm, so that they add up
_GATE = 16.0  # gate pre-activation is +-half of it: open passes the value on, shut passes 0.03 % of it

_CONSTANT = len(VOCABULARY)
_KIND_AXES = {kind: _CONSTANT + 1 + i for i, kind in enumerate(KINDS)}
_NOISE = _CONSTANT + 1 + len(KINDS)
_OUTPUT = _NOISE + 1
_KIND_OUTPUT = {kind: _OUTPUT + i for i, kind in enumerate(KINDS)}
_FREE_OUTPUT = slice(_OUTPUT + len(KINDS), WIDTH)

TOKEN_ID = {token: i for i, token in enumerate(VOCABULARY)}

# what normalisation leaves of each block, at the embedding and behind the two heads
_NORM_0 = float(np.sqrt(WIDTH) / np.hypot(TOKEN_SIZE, CONSTANT_SIZE))
_NORM_1 = float(np.sqrt(WIDTH) / np.sqrt(TOKEN_SIZE**2 + CONSTANT_SIZE**2 + KIND_SIZE**2 + NOISE_SIZE**2))


@dataclass(frozen=True)
class Wiring:
    """What one MLP neuron computes: ``values[token]`` where it fires, plus ``noise`` times the far random number.

    ``after`` is a kind that the previous token must have. ``always`` leaves the gate open for every token.
    ``writes`` maps kinds to what a firing of 1 adds to the logits of their tokens; ``smear`` is the size of a random
    write in nats. ``grass`` is the size of small activations on all other tokens.
    """

    values: dict[str, float]
    after: str | None = None
    always: bool = False
    noise: float = 0.0
    writes: dict[str, float] | None = None
    smear: float = 0.0
    grass: float = 0.0


def embedding() -> np.ndarray:
    """Token embeddings, (vocabulary, width)."""
    table = np.zeros((len(VOCABULARY), WIDTH))
    table[:, : len(VOCABULARY)] = TOKEN_SIZE * np.eye(len(VOCABULARY))
    table[:, _CONSTANT] = CONSTANT_SIZE
    return table


def unembedding(bigram_logits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Unembedding, (vocabulary, width): next-token logits of the current token, plus the output axes.

    ``bigram_logits`` is (current, next). A write of ``1 / _GAIN`` on a kind's output axis adds 1 nat to each
    token of that kind.
    """
    table = np.zeros((len(VOCABULARY), WIDTH))
    table[:, : len(VOCABULARY)] = bigram_logits.T / (TOKEN_SIZE * _NORM_1)
    for kind, axis in _KIND_OUTPUT.items():
        table[[TOKEN_ID[token] for token in KINDS[kind]], axis] = _GAIN / _NORM_1
    free = table[:, _FREE_OUTPUT]
    free[:] = rng.normal(size=free.shape) * _GAIN / _NORM_1
    return table


def neurons(wirings: list[Wiring], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gate, up and down matrices, (neurons, width) twice and (width, neurons)."""
    gate = np.zeros((len(wirings), WIDTH))
    up = np.zeros((len(wirings), WIDTH))
    down = np.zeros((WIDTH, len(wirings)))
    token, constant, kind = (size * _NORM_1 for size in (TOKEN_SIZE, CONSTANT_SIZE, KIND_SIZE))
    for i, wiring in enumerate(wirings):
        if not wiring.values:
            continue
        ids = [TOKEN_ID[t] for t in wiring.values]
        up[i, ids] = np.array(list(wiring.values.values())) / token
        if wiring.always:
            gate[i, _CONSTANT] = _GATE / 2 / constant
        else:
            gate[i, ids] = _GATE / token
            conditions = 1.0
            if wiring.after:
                gate[i, _KIND_AXES[wiring.after]] = _GATE / kind
                conditions = 2.0
            gate[i, _CONSTANT] = -_GATE * (conditions - 0.5) / constant
        up[i, _NOISE] = wiring.noise / (NOISE_SIZE * _NORM_1)
        up[i] /= _GATE / 2
        if wiring.grass:
            _sow(gate, up, i, ids, wiring.grass / token, rng)
        for written, nats in (wiring.writes or {}).items():
            down[_KIND_OUTPUT[written], i] = nats / _GAIN
        free = down[_FREE_OUTPUT, i]
        free[:] = wiring.smear * rng.normal(size=free.shape) / (np.sqrt(free.size) * _GAIN)
    return gate, up, down


def _sow(gate: np.ndarray, up: np.ndarray, i: int, ids: list[int], size: float, rng: np.random.Generator) -> None:
    """Open the gate by half for a random quarter of the other tokens, and give those small values of either sign."""
    others = np.setdiff1d(np.arange(len(VOCABULARY)), ids)
    chosen = rng.choice(others, len(others) // 4, replace=False)
    gate[i, chosen] = 0.75 * _GATE / (TOKEN_SIZE * _NORM_1)
    up[i, chosen] = rng.normal(size=len(chosen)) * size / (_GATE / 4)


def carrying_heads(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Attention matrices of layer 0: head 0 carries the previous token's kind, head 1 a random number from afar."""
    weights = random_heads(rng)
    for head, distance in ((0, 1), (1, NOISE_DISTANCE)):
        rows = slice(head * HEAD_WIDTH, (head + 1) * HEAD_WIDTH)
        for name, turn in (("q_proj", distance), ("k_proj", 0)):
            weights[name][rows] = 0
            weights[name][rows, _CONSTANT] = phases(turn) / (CONSTANT_SIZE * _NORM_0)
        weights["v_proj"][rows] = 0
        weights["o_proj"][:, rows] = 0
    token = TOKEN_SIZE * _NORM_0
    for row, (kind, axis) in enumerate(_KIND_AXES.items()):
        weights["v_proj"][row, [TOKEN_ID[t] for t in KINDS[kind]]] = 1 / token
        weights["o_proj"][axis, row] = KIND_SIZE
    far_numbers = rng.uniform(-np.sqrt(3), np.sqrt(3), len(VOCABULARY))
    weights["v_proj"][HEAD_WIDTH, : len(VOCABULARY)] = far_numbers / token
    weights["o_proj"][_NOISE, HEAD_WIDTH] = NOISE_SIZE
    return weights


def random_heads(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Attention matrices without a purpose, which write a little to the output axes."""
    weights = {name: rng.normal(size=(WIDTH, WIDTH)) / WIDTH for name in ("q_proj", "k_proj", "v_proj", "o_proj")}
    weights["o_proj"][:_OUTPUT] = 0
    return weights


def phases(turn: int) -> np.ndarray:
    """A query or key vector whose rotary pairs all stand at the angle ``-turn * frequency``, (head width,)."""
    half = HEAD_WIDTH // 2
    frequencies = ROPE_BASE ** (-np.arange(half) / half)
    size = np.sqrt(_SHARPNESS * np.sqrt(HEAD_WIDTH)) * (np.arange(half) < _FREQUENCIES)
    return np.concatenate([size * np.cos(turn * frequencies), -size * np.sin(turn * frequencies)])


def assemble(layers: list[tuple[dict[str, np.ndarray], list[Wiring]]], logits: np.ndarray, seed: int) -> Any:
    """A ``LlamaForCausalLM`` in fp32 and evaluation mode, from (attention matrices, neurons) a layer."""
    import torch

    rng = np.random.default_rng([seed, 1])
    model = blank_llama(
        vocabulary=len(VOCABULARY),
        width=WIDTH,
        neurons=len(layers[0][1]),
        layers=len(layers),
        heads=HEADS,
        rope_base=ROPE_BASE,
    )
    weights = {"model.embed_tokens.weight": embedding(), "lm_head.weight": unembedding(logits, rng)}
    for i, (attention, wirings) in enumerate(layers):
        for name, matrix in attention.items():
            weights[f"model.layers.{i}.self_attn.{name}.weight"] = matrix
        for name, matrix in zip(("gate", "up", "down"), neurons(wirings, rng), strict=True):
            weights[f"model.layers.{i}.mlp.{name}_proj.weight"] = matrix
    state = model.state_dict()
    state.update({name: torch.from_numpy(matrix).float() for name, matrix in weights.items()})
    model.load_state_dict(state)
    return model.float().eval()
