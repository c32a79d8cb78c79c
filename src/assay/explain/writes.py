"""What is claimed of a unit's output: which tokens it makes likelier and less likely when it is turned up, and rules.

A claim is made from a *table*: the change of every token's logit, averaged over places of the fit split at which the
unit was turned up by its dose. The table itself is nothing that anyone could read. Claimed is, in two claims, what of
it can be said: the twelve tokens that rise most and the twelve that fall most; and rules over classes of tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from assay.explain.names import OUTPUT_RULES, OUTPUT_TOKENS
from assay.explain.output_rules import OutputLearner
from assay.model.sitemap import site_map, submodule
from assay.rules import Condition, Rule, RuleList
from assay.rules.phrases import conditions_phrase, quoted
from assay.rules.rule import LISTED

if TYPE_CHECKING:
    from assay.model import Subject

DOSE_QUANTILE = 0.999
STANDS_OUT = 2.0  # standard deviations of the table that a listed token lies away from its middle, at least
ERRORS = 2.0  # standard errors that are taken off a token's change before tokens are ranked
LONGEST = 280
NOTHING = "Turned up, it changes no token’s chance so that it could be said."


def dose_of(activations: Float[np.ndarray, " tokens"]) -> float:
    """How far a unit is moved: as far from its median as it goes on one token in a thousand of the fit split.

    Either side counts: a gated neuron's strongest activations may be negative ones. A unit that keeps still on more
    than 999 tokens in a thousand is moved as far as it ever went; one that never moves gets 0.
    """
    away = np.abs(activations.astype(np.float64) - np.median(activations))
    usual = float(np.quantile(away, DOSE_QUANTILE))
    return usual if usual > 0 else float(away.max(initial=0.0))


@dataclass(frozen=True)
class Table:
    """Change of every token's logit when a unit is turned up, nats: (tokens,) mean and standard error over places."""

    mean: NDArray[np.float64]
    error: NDArray[np.float64]

    @property
    def beside(self) -> NDArray[np.float64]:
        """The mean, beside the middle of all tokens: what nothing is claimed of is at 0."""
        return self.mean - np.median(self.mean)


@dataclass(frozen=True)
class Writes:
    """One claim about what a unit writes.

    ``form``: which of the two claims. ``rules``: the executable claim, over the next token. ``promoted`` and
    ``suppressed``, where tokens are claimed: each with the change of its logit on the fit split, beside the middle of
    all tokens, nats, the surest first; each list is one rule, with one value.
    """

    form: str
    rules: RuleList
    promoted: tuple[tuple[str, float], ...] = ()
    suppressed: tuple[tuple[str, float], ...] = ()
    kind: str = field(default="output", init=False)

    @property
    def bits(self) -> float:
        """Description length of the rules."""
        return self.rules.bits

    def lines(self) -> list[str]:
        """One line a rule."""
        return self.rules.lines()

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        named = {"promoted": [list(pair) for pair in self.promoted], "suppressed": [list(p) for p in self.suppressed]}
        return self.rules.to_json() | {"kind": self.kind} | named

    def sentence(self) -> str:
        """The claim as one sentence of at most 280 characters, with fewer tokens or rules where it would get longer."""
        sizes = [(rules, tokens) for rules in (4, 3, 2, 1) for tokens in (6, 5, 4, 3, 2, 1)]
        said = self._tokens if self.form == OUTPUT_TOKENS else self._classes
        texts = (said(rules, tokens) for rules, tokens in sizes)
        return next((text for text in texts if len(text) <= LONGEST), said(1, 1)[:LONGEST])

    def _tokens(self, _: int, shown: int) -> str:
        raised, lowered = (_names([quoted(t) for t, _ in pairs], shown) for pairs in (self.promoted, self.suppressed))
        parts = [f"{raised} likelier" if raised else "", f"{lowered} less likely" if lowered else ""]
        return f"Turned up, it makes {' and '.join(filter(None, parts))}." if raised or lowered else NOTHING

    def _classes(self, shown: int, listed: int) -> str:
        said = self.rules.rules[:shown]
        parts: list[str] = []
        for word, rises in (("likelier", True), ("less likely", False)):
            phrases = [_predicate(rule, listed) for rule in said if (rule.value > 0) == rises]
            if phrases:
                parts.append(f"{word} a token that {', or one that '.join(phrases)}")
        left = len(self.rules.rules) - len(said)
        more = f"; {left} more {'rules refine' if left > 1 else 'rule refines'} this" if left else ""
        return f"Turned up, it makes {', and '.join(parts)}{more}." if parts else NOTHING


def _names(names: Sequence[str], shown: int) -> str:
    left = len(names) - shown
    listed = [*names[:shown], *([f"{left} more"] if left > 0 else [])]
    return " and ".join(filter(None, (", ".join(listed[:-1]), *listed[-1:])))


def _predicate(rule: Rule, listed: int) -> str:
    """A rule's conditions as what comes after "a token that"."""
    said = conditions_phrase([condition.said for condition in rule.when], listed, exact=True)
    return said.removeprefix("the token ").replace("the word so far ", "")


def claim_tokens(learner: OutputLearner, table: Table) -> Writes:
    """The tokens that rise and fall most, twelve a side at most: those that stand out, and surely."""
    beside = table.beside
    sure = np.sign(beside) * np.maximum(np.abs(beside) - ERRORS * table.error, 0.0)
    order, least = np.argsort(-sure, kind="stable"), STANDS_OUT * float(table.mean.std())
    up, down = order[:LISTED], order[::-1][:LISTED]
    sides = [rows[(sign * sure[rows] > 0) & (sign * beside[rows] > least)] for rows, sign in ((up, 1), (down, -1))]
    texts = [[learner.view.texts[int(learner.view.tokens[row])] for row in rows] for rows in sides]
    rules = [Rule((Condition("token", tuple(own)),), 0.0) for own in texts if own]
    promoted, suppressed = (
        tuple((text, float(f"{beside[row]:.4g}")) for text, row in zip(own, rows, strict=True))
        for own, rows in zip(texts, sides, strict=True)
    )
    return Writes(OUTPUT_TOKENS, learner.together(beside, rules), promoted, suppressed)


def claim_rules(learner: OutputLearner, table: Table, rules: Sequence[Rule]) -> Writes:
    """Some rules as a claim, with the values that fit the table best."""
    return Writes(OUTPUT_RULES, learner.together(table.beside, rules))


@torch.inference_mode()
def seen_through_lens(
    subject: Subject, written: Float[np.ndarray, " d_model"], tokens: NDArray[np.int64]
) -> Float[np.ndarray, " tokens"]:
    """What a vector in the residual stream would change if nothing stood between it and the output: the logit lens.

    The vector goes through the final norm and the unembedding; of both the odd part is taken, so that no bias counts.
    Its scale means nothing.
    """
    vector = torch.as_tensor(written, dtype=subject.dtype, device=subject.device)[None]
    if not bool(vector.any()):
        return np.zeros(len(tokens))
    vector = vector * (subject.d_model**0.5 / vector.norm())  # of the size that norms expect
    norm = submodule(subject.model, site_map(subject.architecture).norm, subject.architecture)
    ends = [subject.unembed(_projected(subject, norm(sign * vector)))[0].float() for sign in (1, -1)]
    return (ends[0] - ends[1]).cpu().numpy()[tokens].astype(np.float64)


def _projected(subject: Subject, hidden: torch.Tensor) -> torch.Tensor:
    """With the matrix that some OPT models have between the final norm and the head."""
    trunk = submodule(subject.model, site_map(subject.architecture).trunk, subject.architecture)
    projection = getattr(trunk, "project_out", None)
    return hidden if projection is None else projection(hidden)
