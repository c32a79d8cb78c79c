"""Rules about the token that comes next: the vocabulary is the text, each of its tokens one row, alone in its window.

An output rule is a rule whose conditions look at that token only: which it is, folded or not, what it is a form of, and
the classes of its shape, its morphology and its meaning. Its value is a change of the token's logit in nats.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from numpy.typing import NDArray

from assay.explain.material import Part
from assay.rules import Condition, LearnOptions, Rule, RuleLearner, RuleList, View
from assay.rules.flags import FLAG_NAMES
from assay.rules.learn import rounded
from assay.rules.view import Keys

SLOTS = ("token", "form", "stem")
# a row is a mean over places and no single draw: half a pseudo-observation where texts take eight
LEARNING = LearnOptions(support=0.5)


class Vocabulary(View):
    """Some tokens of a vocabulary as rules see them: nothing stands before a token, and no flag tells one from another.

    Args:
        ids: (tokens,) which tokens.
        texts: decoded text of every id.
    """

    def __init__(self, ids: Int[np.ndarray, " tokens"], texts: Sequence[str]) -> None:
        super().__init__(np.ascontiguousarray(ids[:, None]), texts)
        self.tokens = ids

    def keys(self, slot: str) -> Keys:
        """What stands in a slot: of the token itself in :data:`SLOTS`, elsewhere nothing."""
        return super().keys(slot) if slot in SLOTS else Keys(np.zeros(self.size, dtype=np.int64), ("",))

    @cached_property
    def flags(self) -> Float32[np.ndarray, "tokens flags"]:
        """None holds anywhere."""
        return np.zeros((self.size, len(FLAG_NAMES)), dtype=np.float32)

    @cached_property
    def row(self) -> dict[str, int]:
        """Which row a text is."""
        return {self.texts[int(token)]: i for i, token in enumerate(self.tokens)}


def spoken(part: Part, special: frozenset[int]) -> NDArray[np.int64]:
    """The tokens that output claims are about: those that stand in a part, and can be shown.

    Left out are special tokens, pieces of a character, and what has no text. The rest of a vocabulary is what this
    text never uses; and no claim has a say in the choice.
    """
    present = np.unique(part.table.flat_ids)
    keep = [int(i) for i in present if int(i) not in special and part.texts[i] and "�" not in part.texts[i]]
    return np.array(keep, dtype=np.int64)


class OutputLearner:
    """Learns output rules of many units over one vocabulary.

    Args:
        view: the tokens.
        vocabulary: size of the whole vocabulary, for description lengths.
    """

    def __init__(self, view: Vocabulary, vocabulary: int) -> None:
        self.view, self.vocabulary = view, vocabulary
        self._learner = RuleLearner(view, vocabulary, LEARNING)
        self._columns: dict[tuple[Condition, ...], NDArray[np.bool_]] = {}

    def learn(self, table: Float[np.ndarray, " tokens"], rules: int) -> list[Rule]:
        """At most so many rules for a table; fewer where no more pays for its description."""
        return list(self._learner.fit(table.astype(np.float32), rules).rules)

    def together(self, table: Float[np.ndarray, " tokens"], rules: Sequence[Rule]) -> RuleList:
        """These rules' conditions with the values that fit the table best, all at once; a value of 0 drops its rule."""
        columns = [np.ones(self.view.size), *(self.holds(rule).astype(np.float64) for rule in rules)]
        found = np.linalg.lstsq(np.stack(columns, axis=1), table.astype(np.float64), rcond=None)[0]
        values = rounded(found[1:])
        kept = tuple(Rule(rule.when, value) for rule, value in zip(rules, values, strict=True) if value != 0)
        return RuleList(kept, float(f"{found[0]:.6g}"), self.vocabulary)

    def predict(self, rules: RuleList) -> Float[np.ndarray, " tokens"]:
        """The change of every token's logit that the rules claim, nats."""
        changes = np.full(self.view.size, rules.base)
        for rule in rules.rules:
            changes[self.holds(rule)] += rule.value
        return changes

    def holds(self, rule: Rule) -> Bool[np.ndarray, " tokens"]:
        """Of which tokens a rule's conditions hold; kept from one call to the next."""
        if rule.when not in self._columns:
            self._columns[rule.when] = rule.holds(self.view)
        return self._columns[rule.when]
