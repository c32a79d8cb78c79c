"""What is the same for all layers of a whole run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.core.jit import spread
from assay.explain.material import Material
from assay.explain.whole.elsewhere import OtherText, other_text
from assay.explain.whole.joined import Joined
from assay.referee.many import shuffled_order
from assay.rules import Lookup, LookupLearner, RuleLearner, RuleList
from assay.rules.apply import Applier
from assay.rules.references import References
from assay.stats.bootstrap import document_index, document_weights
from assay.stats.many import Context
from assay.stats.many_choose import Lines
from assay.stats.many_means import kept_tokens, many_token_means

Floats = NDArray[np.float32]
REPLICATES = 1000
_AT_ONCE = 8  # units whose predictions are in memory at once


@dataclass(frozen=True)
class Bench:
    """What is the same for all layers: the text as rules and lookups see it, the resamples of the test documents."""

    material: Material
    joined: Joined
    rules: int
    seed: int
    learner: RuleLearner
    lookup: LookupLearner
    at_fit: Applier
    at_choose: Applier
    at_test: Applier
    references: References
    of_token: NDArray[np.int64]
    weights: NDArray[np.float64]
    kept_ids: NDArray[np.int32]
    other: OtherText | None
    order: NDArray[np.int64]


def make_bench(material: Material, joined: Joined, vocabulary: int, rules: int, seed: int) -> Bench:
    """Read the text as rules see it: the part of the work that does not depend on the layer."""
    test = material.test
    index = document_index(test.table.flat_documents[test.scored])
    lookup = LookupLearner(material.fit.view, vocabulary)
    texts = [test, material.other] if material.other else [test]
    return Bench(
        material=material,
        joined=joined,
        rules=rules,
        seed=seed,
        learner=RuleLearner(material.fit.view, vocabulary),
        lookup=lookup,
        at_fit=Applier(material.fit.view),
        at_choose=Applier(material.choose.view),
        at_test=Applier(test.full_view),
        references=References(lookup, [part.view for part in texts]),
        of_token=index.of_token.astype(np.int64),
        weights=document_weights(index.n_documents, REPLICATES, seed),
        kept_ids=np.unique(np.concatenate([part.ids for part in texts])),
        other=other_text(material.other, REPLICATES, seed),
        order=shuffled_order(int(test.scored.sum()), seed),
    )


class ContextMaker:
    """Token means for r_context: of the activations once, of each explainer's predictions."""

    def __init__(self, bench: Bench, fit: Floats) -> None:
        self.at = kept_tokens(bench.material.fit.ids, bench.kept_ids)
        self.columns = np.searchsorted(bench.kept_ids, bench.material.test.ids)
        self.means = many_token_means(fit, self.at)

    def of(self, predict: Callable[..., Floats], explanations: Sequence[RuleList] | Sequence[Lookup]) -> Context:
        """The means of what explanations predict on the fit documents: a few units at a time, which the cache holds."""
        means = np.empty_like(self.means)

        def work(first: int, last: int) -> None:
            predicted = predict(explanations[first:last], threads=1)
            means[first:last] = many_token_means(predicted, self.at, 0.0, threads=1)

        spread(work, len(means), chunk=_AT_ONCE)
        return Context(self.columns, self.means, means)


def to_scale(context: Context, lines: Lines) -> Context:
    """With the token means of calibrated predictions."""
    assert context.predicted_means is not None
    return context._replace(predicted_means=lines.slopes[:, None] * context.predicted_means + lines.intercepts[:, None])
