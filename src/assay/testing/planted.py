"""Planted models: a real Llama with hand-set weights, so that what each neuron does is known and not inferred.

The neurons worth attacking sit at ``L1.mlp_act``; every other neuron of the model fires on a random set of words,
and its truth is known too. See :class:`Truth` for the kinds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from assay.core.ids import SiteId, UnitId
from assay.testing import planted_weights as weights
from assay.testing.planted_language import KINDS, SPECIAL, VOCABULARY, planted_corpus, planted_tokens, tokenizer
from assay.testing.planted_weights import PLANTED_LAYER, Wiring

if TYPE_CHECKING:
    from assay.model import Subject
    from assay.text import Document

LAYERS = 3
NEURONS = 48
_RATE = (0.005, 0.06)  # share of tokens on which a neuron without a name may fire


@dataclass(frozen=True)
class Truth:
    """What a planted neuron does.

    kind:
        ``effect``        fires on its words and changes the next token's distribution
        ``silent``        fires on its words and writes nothing: predictable, without effect
        ``context``       fires on its words only straight after a word of ``after``
        ``noisy``         its words, plus a number that only the token 17 back decides: r of the truth is about .5
        ``rare``          its word stands in the corpus fewer than ten times
        ``twin``          one of two neurons with the same weights
        ``polysemantic``  positive on one set of words, negative on another
        ``dead``          0 on every token
        ``lexical``       an unnamed neuron: a random set of words, with small activations elsewhere
    positive, negative: the tokens on which it fires, by sign (about 0.7 to 1.3 in size).
    after: the tokens of which one must come just before; empty when context doesn't matter.
    promotes: the tokens whose logits a firing raises.
    """

    kind: str
    positive: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    promotes: tuple[str, ...] = ()
    note: str = ""

    def signs(self, tokens: Sequence[str]) -> np.ndarray:
        """Where the neuron fires in one window of tokens: +1, -1 or 0 at each, (n,) int."""
        signs = np.array([(t in self.positive) - (t in self.negative) for t in tokens], dtype=int)
        if self.after:
            signs[1:] *= np.array([t in self.after for t in tokens[:-1]], dtype=int)
            signs[:1] = 0
        return signs


@dataclass(frozen=True)
class Planted:
    """A planted subject, the truth of every MLP neuron in it, and text in its language."""

    subject: Subject
    truths: Mapping[UnitId, Truth]
    corpus: list[Document]

    def units(self, kind: str) -> list[UnitId]:
        """The neurons whose truth has this kind."""
        return [unit for unit, truth in self.truths.items() if truth.kind == kind]


def planted(seed: int = 0) -> Planted:
    """A planted model of three layers, 192 wide, in fp32; equal seeds give equal weights.

    The named neurons stand at the head of ``L1.mlp_act`` in the same order for every seed; the seed changes their
    exact values, all unnamed neurons and the corpus.
    """
    from assay.model import Subject

    rng = np.random.default_rng([seed, 0])
    counts, bigrams = _statistics()
    truths: dict[UnitId, Truth] = {}
    layers: list[tuple[dict[str, np.ndarray], list[Wiring]]] = []
    for layer in range(LAYERS):
        named = _named(rng) if layer == PLANTED_LAYER else []
        rest = [_lexical(rng, counts) for _ in range(NEURONS - len(named))]
        heads = weights.carrying_heads(rng) if layer == 0 else weights.random_heads(rng)
        layers.append((heads, [wiring for _, wiring in named + rest]))
        site = SiteId(layer, "mlp_act")
        truths.update({UnitId(site, i): truth for i, (truth, _) in enumerate(named + rest)})
    model = weights.assemble(layers, bigrams, seed)
    subject = Subject.from_hf(model, tokenizer(), name=f"planted-{seed}")
    return Planted(subject, truths, planted_corpus(seed))


def _statistics() -> tuple[np.ndarray, np.ndarray]:
    """Share of each token in the language (vocabulary,), and log odds of the next token (current, next)."""
    pairs = np.full((len(VOCABULARY), len(VOCABULARY)), 0.05)
    pairs[:, : len(SPECIAL)] = 1e-4
    counts = np.zeros(len(VOCABULARY))
    for tokens in planted_tokens(seed=2**20, documents=300, words=60):
        ids = np.array([weights.TOKEN_ID[token] for token in tokens])
        np.add.at(counts, ids, 1)
        np.add.at(pairs, (ids[:-1], ids[1:]), 1)
    logits = np.log(pairs / pairs.sum(1, keepdims=True))
    return counts / counts.sum(), logits - logits.mean(1, keepdims=True)


def _named(rng: np.random.Generator) -> list[tuple[Truth, Wiring]]:
    def values(kind: str, sign: int = 1) -> dict[str, float]:
        return {token: sign * float(rng.uniform(0.7, 1.3)) for token in KINDS[kind]}

    twin = values("adverb")
    two = {**values("conjunction"), **values("adjective", -1)}
    return [
        (
            Truth("effect", KINDS["weekday"], promotes=KINDS["name"], note="days of the week, raises names"),
            Wiring(values("weekday"), writes={"name": 2.0}),
        ),
        (
            Truth("effect", KINDS["month"], promotes=KINDS["colour"], note="months, raises colours"),
            Wiring(values("month"), writes={"colour": 3.0}),
        ),
        (Truth("silent", KINDS["colour"], note="colours, writes nothing"), Wiring(values("colour"))),
        (
            Truth("context", KINDS["noun"], after=KINDS["colour"], promotes=KINDS["adverb"], note="red dog, not dog"),
            Wiring(values("noun"), after="colour", writes={"adverb": 3.0}),
        ),
        (
            Truth("context", KINDS["number"], after=KINDS["month"], promotes=KINDS["noun"], note="March 7, not had 7"),
            Wiring(values("number"), after="month", writes={"noun": 2.0}),
        ),
        (
            Truth("noisy", KINDS["ing"], promotes=KINDS["ed"], note="words in -ing under noise from 17 tokens back"),
            Wiring(values("ing"), always=True, noise=0.37, writes={"ed": 2.0}),
        ),
        (
            Truth("rare", KINDS["rare"], promotes=KINDS["mark"], note="quartz, in seven documents"),
            Wiring(values("rare"), writes={"mark": 2.0}),
        ),
        *[
            (
                Truth("twin", KINDS["adverb"], promotes=KINDS["newline"], note="adverbs, twice over"),
                Wiring(twin, writes={"newline": 2.0}),
            )
            for _ in range(2)
        ],
        (
            Truth(
                "polysemantic",
                KINDS["conjunction"],
                KINDS["adjective"],
                promotes=KINDS["ing"],
                note="and, but; adjectives",
            ),
            Wiring(two, writes={"ing": 2.0}),
        ),
        (Truth("dead", note="0 everywhere"), Wiring({})),
    ]


def _lexical(rng: np.random.Generator, shares: np.ndarray) -> tuple[Truth, Wiring]:
    """A neuron with a random set of words that together stand in a plausible share of the text."""
    while True:
        size = int(rng.integers(2, 9))
        chosen = rng.choice(np.arange(len(SPECIAL), len(VOCABULARY)), size, replace=False)
        if _RATE[0] <= shares[chosen].sum() <= _RATE[1]:
            break
    signs = np.where(rng.random(size) < 0.75, 1, -1)
    values = {VOCABULARY[i]: float(s * rng.uniform(0.7, 1.3)) for i, s in zip(chosen, signs, strict=True)}
    truth = Truth(
        "lexical",
        tuple(token for token, value in values.items() if value > 0),
        tuple(token for token, value in values.items() if value < 0),
    )
    return truth, Wiring(values, smear=0.4, grass=0.1)
