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

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from assay.core.ids import SiteId, UnitId
from assay.rules import Condition, Rule, RuleList, View
from assay.rules.rule import LISTED
from assay.testing import gallery_weights as weights
from assay.testing.gallery_beyond import BEYOND, Beyond, Graded
from assay.testing.gallery_language import (
    KINDS,
    SPECIAL,
    START,
    TOKEN_ID,
    VOCABULARY,
    gallery_corpus,
    sample_ids,
    tokenizer,
)
from assay.testing.gallery_rules import Compiler

if TYPE_CHECKING:
    from assay.model import Subject
    from assay.text import Document

SITE = SiteId(2, "mlp_act")
LAYERS = 4
CLEAN = 0.995  # r of the truth of a unit that is not noisy
DECOYS = ("too broad", "too narrow", "related", "opposite", "another unit's", "nonsense")
_NOISE_DISTANCE = 9  # beyond the eight tokens that rules call nearby
_NOISE_AXES = 32
_SMEAR = 0.4  # nats that a filler writes, at random
_WHEN = re.compile(r"(not )?(token|previous token|second last|third last|nearby|earlier|flag) ([@#]?)(.+)")


@dataclass(frozen=True)
class Said:
    """An explanation in both forms: as a sentence, and as rules, which out of grammar say it less well or not at all."""

    sentence: str
    rules: RuleList | None


@dataclass(frozen=True, eq=False)
class Exhibit:
    """A planted unit.

    ``truth``: predicts its activation, without its noise, from a text. ``told``: the true explanation; its rules are
    None where no list of rules is true. ``meanings``: of a polysemantic unit the rules of each. ``r``: Pearson's r of
    the truth with the activation. ``writes``: by kind of token, the nats that an activation of 1 adds to their logits;
    empty for a silent unit. ``contextual``: whether anything but the token itself counts. ``dense``: whether it is never
    quite 0, so that no token is one on which it does not fire.
    """

    unit: UnitId
    name: str
    family: str
    truth: RuleList | Beyond
    told: Said
    decoys: Mapping[str, Said]
    meanings: tuple[RuleList, ...]
    r: float
    writes: Mapping[str, float]
    contextual: bool
    dense: bool


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
    exhibits = _exhibits()
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
    """(noise axes, tokens of the sample) what stands on the axes, from each token's numbers (noise axes, vocabulary)."""
    ids = sample_ids()
    far = np.zeros((len(numbers), *ids.shape))
    far[..., _NOISE_DISTANCE:] = np.pad(numbers, ((0, 0), (0, 1)))[:, ids[:, :-_NOISE_DISTANCE]]
    return far[:, ids >= 0]


def _unrelated(mix: NDArray[np.float64], far: NDArray[np.float64], signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """A mixture of the noise axes that does not covary with the signal: tokens nine apart know a little of each other."""
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


def _exhibits() -> tuple[Exhibit, ...]:
    source: dict[str, Any] = tomllib.loads(files("assay.testing").joinpath("gallery.toml").read_text(encoding="utf-8"))
    rows, nonsense = source["unit"], [_said(row) for row in source["nonsense"]]
    truths = [_truth(row) for row in rows]
    return tuple(_exhibit(i, rows, truths, nonsense) for i in range(len(rows)))


def _truth(row: Mapping[str, Any]) -> Said:
    """The true explanation; of a polysemantic unit all meanings."""
    if "circuit" in row:
        return Said(row["says"], None)
    meanings = row.get("meanings", [row])
    return Said(row["says"], read_rules([rule for meaning in meanings for rule in meaning["fires"]]))


def _exhibit(
    place: int, rows: Sequence[Mapping[str, Any]], truths: Sequence[Said], nonsense: Sequence[Said]
) -> Exhibit:
    row, told = rows[place], truths[place]
    decoys = {kind: _said(row[kind]) for kind in DECOYS if kind in row}
    others = [truth for i, truth in enumerate(truths) if truth.rules is not None and i != place]
    decoys["another unit's"] = others[(5 * place + 7) % len(others)]
    decoys["nonsense"] = nonsense[place % len(nonsense)]
    truth = BEYOND[row["circuit"]] if told.rules is None else told.rules
    return Exhibit(
        unit=UnitId(SITE, place),
        name=row["name"],
        family=row["family"],
        truth=truth,
        told=told,
        decoys={kind: decoys[kind] for kind in DECOYS if kind in decoys},
        meanings=tuple(read_rules(meaning["fires"]) for meaning in row.get("meanings", ())),
        r=row.get("r", CLEAN),
        writes=row.get("writes", {}),
        contextual=row.get("contextual", told.rules is None or _looks_back(told.rules)),
        dense=isinstance(truth, Graded),
    )


def _looks_back(rules: RuleList) -> bool:
    return any(condition.slot != "token" for rule in rules.rules for condition in rule.when)


def _said(row: Mapping[str, Any]) -> Said:
    return Said(row["says"], read_rules(row["fires"]))


def read_rules(rows: Sequence[Sequence[str | float]]) -> RuleList:
    """Rules in the gallery's shorthand, a list of conditions each, with a value of 1 unless a number comes first.

    ``token @noun``: one of the tokens of that kind, ``@noun[0:6]`` the first six, ``@mark[1]+newline`` kinds together;
    ``previous token #colour``: of that class; ``flag inside brackets``; ``not`` in front turns a condition round. What
    lists more than a rule may becomes several rules.
    """
    rules: list[Rule] = []
    for row in rows:
        value = float(row[0]) if not isinstance(row[0], str) else 1.0
        when = tuple(_condition(part) for part in row if isinstance(part, str))
        rules += [Rule(part, value) for part in _short(when)]
    return RuleList(tuple(rules), 0.0, len(VOCABULARY))


def _short(when: tuple[Condition, ...]) -> list[tuple[Condition, ...]]:
    """Conditions that list no more than they may, halving the longest list, one of which holds where these do."""
    if sum(len(condition.any_of) for condition in when) <= LISTED:
        return [when]
    longest = max((c for c in when if not c.negated), key=lambda c: len(c.any_of))
    half = len(longest.any_of) // 2
    parts = (replace(longest, any_of=longest.any_of[:half]), replace(longest, any_of=longest.any_of[half:]))
    return [short for part in parts for short in _short(tuple(part if c is longest else c for c in when))]


def _condition(text: str) -> Condition:
    found = _WHEN.fullmatch(text)
    if found is None:
        raise ValueError(f"no condition of the gallery: {text!r}")
    turned, slot, sign, what = found.groups()
    if sign != "@":
        return Condition(slot, named=what, negated=bool(turned))
    listed = tuple(dict.fromkeys(_listed(slot, what)))
    return Condition(slot, any_of=listed, negated=bool(turned))


def _listed(slot: str, what: str) -> list[str]:
    found: list[str] = []
    for part in what.split("+"):
        kind, _, cut = part.rstrip("]").partition("[")
        first, _, last = cut.partition(":")
        chosen = KINDS[kind]
        if cut:
            chosen = chosen[int(first or 0) : int(last or len(chosen))] if ":" in cut else (chosen[int(first)],)
        found += chosen
    return [token if slot in ("token", "previous token") else token.strip().lower() or token for token in found]
