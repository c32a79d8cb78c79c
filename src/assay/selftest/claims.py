"""Claims whose truth is known: of a planted correlation, and about nothing.

A claim with a planted effect d is the true activation mixed with noise, so that its r lies d above the best of its
nulls in the population. The population is all of the gallery's text; a run sees some of its documents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.explain.claims import RIVALS, plain_r
from assay.rules import RuleList
from assay.selftest.bench import PARTS, Bench, Floats, by_rules
from assay.testing import Exhibit

EFFECTS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
STRANGER, NONSENSE, SHUFFLED, CONTROL = "stranger", "nonsense", "shuffled", "control"
BEST = "best rules"  # of an exhibit that no rules describe: the best that were learnt
HIGHEST = 0.99  # r of a claim, at most
_AWAY = {STRANGER: 3, CONTROL: 1}  # how many exhibits further on the stranger stands whose explanation is asserted


class Claimed(NamedTuple):
    """A claim about an exhibit: what it is, its planted or measured d in the population, and what it predicts there.

    ``effect``: the planted d; None for claims about nothing. ``d``: r in the population less that of the best null.
    ``predicted``: (tokens of the population,).
    """

    exhibit: Exhibit
    kind: str
    effect: float | None
    d: float
    predicted: Floats


@dataclass(frozen=True)
class Population:
    """The tokens that count of all three parts, one after the other.

    ``activations``, ``said``: by exhibit, (tokens,) what it did and what its true rules predict, if it has any.
    ``documents``: (tokens,) numbered over all parts. ``part``: (tokens,) number of the part.
    """

    activations: Mapping[Exhibit, Floats]
    said: Mapping[Exhibit, Floats]
    documents: NDArray[np.int64]
    part: NDArray[np.int64]

    @classmethod
    def of(cls, bench: Bench) -> Population:
        """All the text on the bench."""
        exhibits = bench.gallery.exhibits
        told = {e: by_rules(e.told.rules) for e in exhibits if e.told.rules is not None}
        parts = [bench.parts[name] for name in PARTS]
        first = np.cumsum([0, *(len(part.documents) for part in parts)])
        return cls(
            {e: np.concatenate([bench.of(e, name) for name in PARTS]) for e in exhibits},
            {e: np.concatenate([said(part)[part.scored] for part in parts]) for e, said in told.items()},
            np.concatenate([at + p.table.flat_documents[p.scored] for at, p in zip(first, parts, strict=False)]),
            np.repeat(np.arange(len(parts)), [int(part.scored.sum()) for part in parts]),
        )


def rival_of(population: Population, exhibit: Exhibit, where: NDArray[np.bool_], rng: np.random.Generator) -> Exhibit:
    """As the lab takes it: of eight others the one whose explanation does best on the documents to choose with."""
    others = [other for other in population.said if other is not exhibit]
    drawn = [others[i] for i in rng.permutation(len(others))[:RIVALS]]
    real = population.activations[exhibit][where]
    return max(drawn, key=lambda other: plain_r(population.said[other][where], real))


def planted_claims(
    population: Population, exhibit: Exhibit, rival: Exhibit, effects: Sequence[float], rng: np.random.Generator
) -> list[Claimed]:
    """Claims with these effects; those that would need an r above .99 are left out."""
    real = population.activations[exhibit].astype(np.float64)
    z, null = (real - real.mean()) / real.std(), _null(population, exhibit, rival)
    made: list[Claimed] = []
    for effect in effects:
        noise, r = rng.standard_normal(len(z)), null + effect
        if r <= HIGHEST:
            predicted = (r * z + np.sqrt(1 - r * r) * noise).astype(np.float32)
            made.append(Claimed(exhibit, "planted", effect, effect, predicted))
    return made


def empty_claims(
    population: Population, exhibit: Exhibit, rival: Exhibit, bench: Bench, rng: np.random.Generator
) -> list[Claimed]:
    """What strangers' explanations, nonsense and the shuffled truth say of an exhibit, and the control."""
    everyone = list(population.said)
    place = (*bench.gallery.exhibits,).index(exhibit)
    said = {kind: population.said[_further(everyone, exhibit, place + away)] for kind, away in _AWAY.items()}
    nonsense = exhibit.decoys[NONSENSE].rules
    if nonsense is not None:
        said[NONSENSE] = _everywhere(bench, nonsense)
    said[SHUFFLED] = rng.permutation(population.activations[exhibit])
    null, real = _null(population, exhibit, rival), population.activations[exhibit]
    return [Claimed(exhibit, kind, None, plain_r(p, real) - null, p) for kind, p in said.items()]


def best_claims(
    population: Population, exhibit: Exhibit, rival: Exhibit, bench: Bench, rules: RuleList
) -> list[Claimed]:
    """The best rules for an exhibit that no rules describe: they predict something, and are not the truth."""
    predicted = _everywhere(bench, rules)
    d = plain_r(predicted, population.activations[exhibit]) - _null(population, exhibit, rival)
    return [Claimed(exhibit, BEST, None, d, predicted)]


def _everywhere(bench: Bench, rules: RuleList) -> Floats:
    """(tokens of the population,) what rules say."""
    parts = [bench.parts[name] for name in PARTS]
    return np.concatenate([by_rules(rules)(part)[part.scored] for part in parts])


def _further(everyone: Sequence[Exhibit], exhibit: Exhibit, place: int) -> Exhibit:
    others = [other for other in everyone if other is not exhibit]
    return others[place % len(others)]


def _null(population: Population, exhibit: Exhibit, rival: Exhibit) -> float:
    """r of the best null in the population: the rival's, or 0 of a constant and of the shuffled claim."""
    return max(0.0, plain_r(population.said[rival], population.activations[exhibit]))
