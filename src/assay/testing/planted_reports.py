"""A planted model with one neuron whose value can be told in three ways, and reporters that tell it so.

The model is a real Llama of four layers with hand-set weights. ``L1.mlp_act:0`` does something at full stops only:
there it is the sum of what the last word says and of what all pairs of neighbouring words say, the latter so that
words alone don't give it away. What it is computed from stays in the residual, and what it writes has an axis of its
own:

* the *reader* answers from the axis that the neuron writes;
* the *recomputer* from the axes that the neuron reads;
* the *guesser* from the last word.

Two more layers carry all three from the full stop to whatever is asked after it, and on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.core.ids import SiteId, UnitId
from assay.testing.blank import blank_llama
from assay.testing.language import SPECIAL, make_tokenizer
from assay.testing.planted_weights import HEAD_WIDTH, HEADS, ROPE_BASE, WIDTH, phases

if TYPE_CHECKING:
    from assay.introspect.group import Course, Learnt
    from assay.model import Subject
    from assay.text import Document

KINDS = ("reader", "recomputer", "guesser")
UNIT = UnitId(SiteId(1, "mlp_act"), 0)
LAYERS = 4
_WORDS = 160
_SYLLABLES = "ba do fi gu ke la mo ne pi ru sa to vu we zo".split()
_NEURONS = 24
_CONSTANT, _SIGN, _BEFORE, _WORTH, _LAST, _PAIR, _MEAN, _WRITTEN, _STOP, _FREE = range(10)
_AXES = {"reader": (_WRITTEN,), "recomputer": (_MEAN, _LAST), "guesser": (_LAST,)}
_BIG = 24.0  # of the constant axis, which decides the norm
_OPEN = 8.0  # what a gate that is open is at
_SPREAD = 3.0  # brings the mean of about eight signs to a spread of about one
_AHEAD = 20.0  # nats by which the ten digits are above everything else


@dataclass(frozen=True)
class PlantedReports:
    """The subject, and text in its language."""

    subject: Subject
    corpus: list[Document]


def planted_reports(seed: int = 0, documents: int = 300, sentences: int = 8) -> PlantedReports:
    """The model in fp32 and so many documents; equal seeds give equal weights and text."""
    from assay.model import Subject

    rng = np.random.default_rng([seed, 0])
    words = _words(rng)
    vocabulary = (*SPECIAL, ".", ":", *" ABCDEFGHIJKLMNOPQRSTUVWXYZ".split(), *_lettered(), *_digits(), *words)
    vocabulary = tuple(dict.fromkeys((*vocabulary, *(" " + word for word in words))))
    tokenizer = make_tokenizer(vocabulary, r" ?[A-Za-z]+| ?[0-9]|[^\sA-Za-z0-9]| ")
    model = _model(vocabulary, words, rng)
    subject = Subject.from_hf(model, tokenizer, name=f"planted-reports-{seed}")
    return PlantedReports(subject, _corpus(words, documents, sentences, np.random.default_rng([seed, 1])))


def planted_teacher(kind: str) -> Any:
    """A teacher, as :func:`assay.introspect.group.teach` is one, whose reporter answers in one of :data:`KINDS`."""

    def teacher(lessons: Course, progress: Any) -> Learnt:
        from assay.introspect.group import NULL, Learnt
        from assay.introspect.training import Trained
        from assay.introspect.verdicts import Thresholds

        width = lessons.ground.meter.d_out
        weights = {"centre": np.zeros(width, np.float32), "spread": np.array(1.0, np.float32)}
        rows = np.zeros((10, width + 1), np.float32)
        rows[:, -1] = _AHEAD
        if lessons.trial.regime != NULL:
            rows += _rows(lessons, kind)
        return Learnt(
            {"rows": rows, **weights}, Trained([0.0] * Thresholds().steps, False)
        )  # as many steps as a verdict asks for

    return teacher


def _rows(lessons: Course, kind: str) -> np.ndarray:
    """Digits told from a linear reading of some axes: log p(digit) is minus the squared distance to the digit's
    centre."""
    import torch

    axes, neuron = list(_AXES[kind]), lessons.neurons[0]
    batches = lessons.ground.fit.batches
    with torch.no_grad(), lessons.reporter(lessons.ground.meter) as asked:
        hidden = torch.cat([asked.hidden(batch, torch.zeros(len(batch), 1))[:, 0] for batch in batches]).numpy()
    order = np.concatenate([batch.rows.numpy() for batch in batches])
    wanted = lessons.values.fit[order, 0].astype(np.float64)
    seen = np.column_stack([hidden[:, axes].astype(np.float64), np.ones(len(hidden))])
    solved, *_ = np.linalg.lstsq(seen, wanted, rcond=None)
    noise = max(float(np.square(seen @ solved - wanted).mean()), (0.1 * neuron.sd) ** 2)
    digits = neuron.digits(wanted)
    centres = np.array([(seen @ solved)[digits == digit].mean() for digit in range(10)])
    rows = np.zeros((10, hidden.shape[1] + 1), np.float32)
    rows[:, axes] = np.outer(centres, solved[:-1]) / noise
    rows[:, -1] = (centres * solved[-1] - centres**2 / 2) / noise
    return rows


def _words(rng: np.random.Generator) -> list[str]:
    made: dict[str, None] = {}
    while len(made) < _WORDS:
        made["".join(rng.choice(_SYLLABLES, rng.integers(2, 4))).capitalize()] = None
    return list(made)


def _lettered() -> list[str]:
    return [f" {letter}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]


def _digits() -> list[str]:
    return [f"{space}{digit}" for space in ("", " ") for digit in range(10)]


def _corpus(words: list[str], documents: int, sentences: int, rng: np.random.Generator) -> list[Document]:
    from assay.text import Document

    texts = [
        " ".join(" ".join(rng.choice(words, rng.integers(6, 12))) + "." for _ in range(sentences))
        for _ in range(documents)
    ]
    return [Document(f"reports-{i:04d}", text, f"reports-{i:04d}") for i, text in enumerate(texts)]


def _model(vocabulary: tuple[str, ...], words: list[str], rng: np.random.Generator) -> Any:
    import torch

    model = blank_llama(
        vocabulary=len(vocabulary), width=WIDTH, neurons=_NEURONS, layers=LAYERS, heads=HEADS, rope_base=ROPE_BASE
    )
    state = {name: torch.zeros_like(tensor) for name, tensor in model.state_dict().items()}
    named: dict[str, np.ndarray] = {"model.embed_tokens.weight": _embedding(vocabulary, words, rng)}
    named["lm_head.weight"] = 0.002 * rng.normal(size=(len(vocabulary), WIDTH))
    for layer, make in enumerate((_carrying, _averaging, _fetching, _idle)):
        for name, matrix in make(rng).items():
            named[f"model.layers.{layer}.{name}.weight"] = matrix
    state |= {name: torch.ones_like(tensor) for name, tensor in state.items() if "norm" in name}
    state |= {name: torch.from_numpy(matrix).float() for name, matrix in named.items()}
    model.load_state_dict(state)
    return model.float().eval()


def _embedding(vocabulary: tuple[str, ...], words: list[str], rng: np.random.Generator) -> np.ndarray:
    table = np.zeros((len(vocabulary), WIDTH))
    table[:, _CONSTANT] = _BIG
    table[:, _FREE:] = 0.05 * rng.normal(size=(len(vocabulary), WIDTH - _FREE))
    signs, worth = rng.choice([-1.0, 1.0], len(words)), rng.normal(size=len(words))
    for i, token in enumerate(vocabulary):
        if token.strip() in words:
            number = words.index(token.strip())
            table[i, [_SIGN, _WORTH]] = signs[number], worth[number]
    table[vocabulary.index("."), _STOP] = 1.0
    return table


_NORM = np.sqrt(WIDTH) / np.sqrt(_BIG**2 + 4.0)  # what normalisation multiplies by, to within some per cent


def _attention(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {f"self_attn.{name}": np.zeros((WIDTH, WIDTH)) for name in ("q_proj", "k_proj", "v_proj", "o_proj")}


def _carry(weights: dict[str, np.ndarray], head: int, moves: dict[int, tuple[int, float]]) -> None:
    """Let a head move axes of what it attends to onto other axes, so many times."""
    for row, (source, (target, times)) in enumerate(moves.items(), start=head * HEAD_WIDTH):
        weights["self_attn.v_proj"][row, source] = 1 / _NORM
        weights["self_attn.o_proj"][target, row] = times


def _carrying(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Layer 0: sign and worth of the token before; the MLP multiplies its sign with this token's."""
    weights = _attention(rng)
    for name, turn in (("q_proj", 1), ("k_proj", 0)):
        weights[f"self_attn.{name}"][:HEAD_WIDTH, _CONSTANT] = phases(turn) / (_BIG * _NORM)
    _carry(weights, 0, {_SIGN: (_BEFORE, 1.0), _WORTH: (_LAST, 1.0)})
    weights |= _mlp(rng, lively=False)
    for i, sign in enumerate((1.0, -1.0)):
        weights["mlp.gate_proj"][i, _SIGN] = sign * _OPEN / _NORM
        weights["mlp.up_proj"][i, _BEFORE] = sign / _NORM / _OPEN
        weights["mlp.down_proj"][_PAIR, i] = 1.0
    return weights


def _averaging(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Layer 1: the mean of all pairs so far; the neuron adds it to the last word's worth, at full stops alone."""
    weights = _attention(rng)
    _carry(weights, 0, {_PAIR: (_MEAN, _SPREAD)})
    weights |= _mlp(rng, lively=True)
    for name in ("gate_proj", "up_proj"):
        weights[f"mlp.{name}"][0] = 0
    weights["mlp.down_proj"][:, 0] = 0
    weights["mlp.gate_proj"][0, _STOP] = _OPEN / _NORM
    weights["mlp.up_proj"][0, [_MEAN, _LAST]] = np.array([1.0, 0.8]) / _NORM / _OPEN
    weights["mlp.down_proj"][_WRITTEN, 0] = 1.0
    return weights


def _fetching(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Layer 2: whatever comes at or after the full stop takes over what is there, by its slowest rotary pairs."""
    weights = _attention(rng)
    half = HEAD_WIDTH // 2
    slow = [half - 1, half - 2]
    weights["self_attn.q_proj"][slow, _CONSTANT] = 12.0 / (_BIG * _NORM)
    weights["self_attn.k_proj"][slow, _STOP] = 12.0 / _NORM
    _carry(weights, 0, {_MEAN: (_MEAN, 1.0), _LAST: (_LAST, 1.0), _WRITTEN: (_WRITTEN, 1.0)})
    return weights | _mlp(rng, lively=True)


def _idle(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Layer 3: nothing that matters."""
    return _attention(rng) | _mlp(rng, lively=True)


def _mlp(rng: np.random.Generator, lively: bool) -> dict[str, np.ndarray]:
    """Neurons that read and write the axes without a meaning, if lively."""
    weights = {name: np.zeros((_NEURONS, WIDTH)) for name in ("mlp.gate_proj", "mlp.up_proj")}
    weights["mlp.down_proj"] = np.zeros((WIDTH, _NEURONS))
    if lively:
        weights["mlp.gate_proj"][:, _CONSTANT] = 1 / (_BIG * _NORM)
        weights["mlp.up_proj"][:, _FREE:] = rng.normal(size=(_NEURONS, WIDTH - _FREE)) / _NORM
        weights["mlp.down_proj"][_FREE:] = rng.normal(size=(WIDTH - _FREE, _NEURONS)) / np.sqrt(WIDTH)
    return weights
