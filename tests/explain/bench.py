"""A planted model on the bench: its recorded units, hand-written true explanations, and the way to a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.core.ids import SiteId, UnitId
from assay.explain.claims import Claim, Fitted, make_claim
from assay.explain.evidence import claim_rows
from assay.explain.material import FIRING_QUANTILE, Material, Part, gather_material
from assay.explain.measure import Tested, run_behaviour, run_test_pass
from assay.explain.verdicts import Judged, judge
from assay.record import stream
from assay.rules import RuleList
from assay.rules.rule import LISTED, Condition, Rule
from assay.testing import Planted, Truth, planted_corpus
from assay.text import Corpus, Document

SITE = SiteId(1, "mlp_act")
SEED = 0
TOKENS = 40_000
DOCUMENTS = 900
RARE_EVERY = 30  # documents from one to the next that hold the rare word, besides the first few


def planted_text(documents: int = DOCUMENTS, seed: int = SEED) -> Corpus:
    """Text in the planted language, with the rare word in so many documents that the test split sees a few."""
    rows: list[Document] = []
    for i, document in enumerate(planted_corpus(seed, documents)):
        if i % RARE_EVERY == 29:
            document = document._replace(text=document.text.replace(" the", " quartz", 1))
        rows.append(document)
    return Corpus("planted", tuple(rows), "0" * 64)


def quiet(*_: object) -> None:
    """Progress that goes nowhere."""


def true_rules(truth: Truth) -> RuleList:
    """What is known of a planted neuron, as a person would write it down."""
    rules: list[Rule] = []
    for tokens, value in ((truth.positive, 1.0), (truth.negative, -1.0)):
        if not truth.after:
            rules += [Rule((Condition("token", part),), value) for part in _cut(tokens, LISTED)]
            continue
        half = LISTED // 2
        for words, before in product(_cut(tokens, half), _cut(truth.after, half)):
            rules.append(Rule((Condition("token", words), Condition("previous token", before)), value))
    return RuleList(tuple(rules), 0.0, 129)


def _cut(tokens: tuple[str, ...], size: int) -> list[tuple[str, ...]]:
    return [tokens[i : i + size] for i in range(0, len(tokens), size)]


@dataclass(frozen=True)
class Trial:
    """What came of testing some claims."""

    tested: Tested
    behaviour: dict[str, NDArray[Any]] | None
    judged: Judged
    test: dict[str, NDArray[Any]]
    units: list[dict[str, Any]]
    claims: list[dict[str, Any]]

    def verdict(self, claim: int) -> str:
        return str(self.judged.overall[claim].verdict)

    def reason(self, claim: int) -> str:
        return self.judged.overall[claim].reason


class Bench:
    """All units of the planted layer, recorded on the three splits of the planted text."""

    def __init__(self, planted: Planted, corpus: Corpus, tokens: int = TOKENS) -> None:
        self.planted, self.subject = planted, planted.subject
        self.material: Material = gather_material(planted.subject, corpus, tokens, SEED)
        self.fit = self.scored(self.material.fit)
        self.chosen = self.scored(self.material.choose)
        self.fire_above = np.quantile(self.fit, FIRING_QUANTILE, axis=0)

    def activations(self, part: Part) -> NDArray[np.float32]:
        """(tokens, units) of the planted layer, in flat order."""
        out = np.zeros((part.table.n_tokens, self.subject.width(SITE)), dtype=np.float32)
        for block in stream(self.subject, part.table, [SITE]):
            out[block.flat] = block.activations[SITE]
        return out

    def scored(self, part: Part) -> NDArray[np.float32]:
        return self.activations(part)[part.scored]

    def unit(self, kind: str, which: int = 0) -> UnitId:
        return [unit for unit in self.planted.units(kind) if unit.site == SITE][which]

    def fitted(self, unit: UnitId, rules: RuleList | None = None) -> Fitted:
        """A unit with the rules given, else with its true ones."""
        return Fitted(unit, {"rules": rules or true_rules(self.planted.truths[unit])}, {})

    def others(self, *without: UnitId) -> list[Fitted]:
        lexical = [unit for unit in self.planted.units("lexical") if unit.site == SITE and unit not in without]
        return [self.fitted(unit) for unit in lexical[:8]]

    def claim(self, unit: UnitId, source: Fitted | None = None, others: Sequence[Fitted] | None = None) -> Claim:
        """``source``'s explanation (the unit's own true one if none is given) asserted of ``unit``."""
        return make_claim(
            unit,
            source or self.fitted(unit),
            "rules",
            self.others(unit) if others is None else others,
            self.material.choose.view,
            np.ascontiguousarray(self.chosen[:, unit.index]),
            float(self.fire_above[unit.index]),
        )

    def test(self, claims: Sequence[Claim], behaviour: bool = True) -> Trial:
        """From claims to verdicts, as a run does it."""
        part = self.material.test
        targets = list(dict.fromkeys(claim.unit for claim in claims))
        tested = run_test_pass(self.subject, part, targets, claims, quiet)
        means = {unit: float(self.fit[:, unit.index].mean()) for unit in targets}
        arrays = (
            run_behaviour(self.subject, part, targets, claims, tested, means, seed=SEED, progress=quiet)
            if behaviour
            else None
        )
        test = {
            "documents": part.table.flat_documents,
            "activations": tested.activations,
            "predictions": tested.predictions,
            "other_unit": tested.other_unit,
            "scored": part.scored.astype(np.uint8),
        }
        units = [{"unit": str(u), "role": "target", "q99": float(self.fire_above[u.index])} for u in targets]
        rows = claim_rows(claims)
        return Trial(tested, arrays, judge(rows, units, test, arrays, SEED), test, units, rows)
