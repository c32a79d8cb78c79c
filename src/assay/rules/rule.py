"""Rules: readable, executable explanations of a unit.

An explanation is a :class:`RuleList`: a base value plus, for every rule whose conditions all hold at a token, that
rule's value. A :class:`Condition` names a slot (see :mod:`assay.rules.view`) and either lists at most twelve strings
that may stand there or names one class or flag. Anyone can write one by hand, as JSON::

    {"base": 0.0, "rules": [
        {"when": [{"slot": "token", "any_of": [" Monday", " Friday"]}], "value": 2.0},
        {"when": [{"slot": "token", "named": "number in digits"},
                  {"slot": "flag", "named": "inside brackets", "not": true}], "value": 0.5}]}
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float32
from numpy.typing import ArrayLike

from assay.errors import UnknownName, UsageError
from assay.rules import reading
from assay.rules.classes import class_names, fold
from assay.rules.flags import FLAG_NAMES
from assay.rules.phrases import Said, conditions_phrase, sentence
from assay.rules.stems import stem
from assay.rules.view import BAGS, SLOTS, View

if TYPE_CHECKING:
    from assay.draw.token_heat import TokenHeat

LISTED = 12
CONDITIONS = 4
VALUE_BITS = 8.0
HEADER_BITS = 32.0  # base and scale of the values
PLACES = (*SLOTS, *BAGS, "flag")
VOCABULARY = 49152
_EXACT = ("token", "previous token")


@dataclass(frozen=True)
class Condition:
    """What must stand in one slot: one of the listed strings, or a member of the named class; or which flag holds."""

    slot: str
    any_of: tuple[str, ...] = ()
    named: str = ""
    negated: bool = False

    def __post_init__(self) -> None:
        if self.slot not in PLACES:
            raise UnknownName("slot", self.slot, PLACES)
        flag = self.slot == "flag"
        if flag and (self.any_of or not self.named):
            raise UsageError("a condition on 'flag' must name a flag ('named') and list no strings")
        if bool(self.any_of) == bool(self.named):
            raise UsageError(f"a condition on {self.slot!r} must list strings ('any_of') or name a class ('named')")
        known = FLAG_NAMES if flag else class_names()
        if self.named and self.named not in known:
            raise UnknownName("flag" if flag else "class", self.named, known)
        if self.slot == "stem" and self.named:
            raise UsageError(f"a stem belongs to no class; name {self.named!r} of 'word' or 'form' instead")
        self._check_strings()

    def _check_strings(self) -> None:
        if len(self.any_of) > LISTED:
            raise UsageError(f"a condition lists {len(self.any_of)} strings; at most {LISTED} are allowed")
        if "" in self.any_of:
            raise UsageError(f"a condition on {self.slot!r} lists the empty string, which no token has")
        if len(set(self.any_of)) < len(self.any_of):
            twice = next(text for text in self.any_of if self.any_of.count(text) > 1)
            raise UsageError(f"a condition on {self.slot!r} lists {twice!r} twice")
        for text in () if self.slot in _EXACT else self.any_of:
            if text != fold(text):
                form = "lower-case text without spaces around it"
                raise UsageError(f"{self.slot!r} holds {form}, never {text!r}; write {fold(text)!r}")
        for text in self.any_of if self.slot == "stem" else ():
            if not stem(text):
                raise UsageError(f"'stem' goes by words made of the letters a to z, which {text!r} is not")

    def holds(self, view: View) -> Bool[np.ndarray, " tokens"]:
        """Where the condition holds: (tokens,) boolean."""
        return self._positive(view) ^ self.negated

    def _positive(self, view: View) -> Bool[np.ndarray, " tokens"]:
        if self.slot == "flag":
            return view.flags[:, FLAG_NAMES.index(self.named)] > 0
        if self.named and self.slot == "nearby":
            return view.class_flags[:, class_names().index(self.named)] > 0
        names = view.bag(self.slot).names if self.slot in BAGS else view.keys(self.slot).names
        if self.named:
            chosen = view.members(self.slot)[:, class_names().index(self.named)] > 0
        else:
            same = stem if self.slot == "stem" else str
            wanted = {same(text) for text in self.any_of}
            chosen = np.array([same(name) in wanted for name in names])
        if self.slot in BAGS:
            return np.asarray(view.bag(self.slot).matrix @ chosen.astype(np.float32)) > 0
        return chosen[view.keys(self.slot).ids]

    def bits(self, vocabulary: int) -> float:
        """Description length: the place, its negation, list or class, and which class or which strings.

        A listed string costs log2(vocabulary), a class or flag the logarithm of how many there are.
        """
        place = math.log2(len(PLACES)) + 1
        if self.slot == "flag":
            return place + math.log2(len(FLAG_NAMES))
        if self.named:
            return place + 1 + math.log2(len(class_names()))
        return place + 1 + math.log2(LISTED) + len(self.any_of) * math.log2(vocabulary)

    def phrase(self) -> str:
        """The condition in words, its strings exactly."""
        return conditions_phrase([self.said], LISTED, exact=True)

    @property
    def said(self) -> Said:
        """What :mod:`assay.rules.phrases` puts into words."""
        return Said(self.slot, self.any_of, self.named, self.negated)


@dataclass(frozen=True)
class Rule:
    """Conditions that must all hold, and what is then added to the prediction (in the unit's own scale)."""

    when: tuple[Condition, ...]
    value: float

    def __post_init__(self) -> None:
        if not 1 <= len(self.when) <= CONDITIONS:
            raise UsageError(f"a rule has {len(self.when)} conditions; give 1 to {CONDITIONS}")
        listed = sum(len(condition.any_of) for condition in self.when)
        if listed > LISTED:
            raise UsageError(f"a rule lists {listed} strings over its conditions; at most {LISTED} are allowed")
        if not math.isfinite(self.value):
            raise UsageError(f"a rule's value must be a finite number, got {self.value}")

    def holds(self, view: View) -> Bool[np.ndarray, " tokens"]:
        """Where all conditions hold: (tokens,) boolean."""
        mask = self.when[0].holds(view)
        for condition in self.when[1:]:
            mask = mask & condition.holds(view)
        return mask

    def bits(self, vocabulary: int) -> float:
        """Description length of the conditions, their number and the value."""
        return math.log2(CONDITIONS) + VALUE_BITS + sum(c.bits(vocabulary) for c in self.when)

    def phrase(self) -> str:
        """The rule's conditions in words, their strings exactly."""
        return conditions_phrase([condition.said for condition in self.when], LISTED, exact=True)


@dataclass(frozen=True)
class RuleList:
    """An executable explanation: base value plus the values of all rules that hold."""

    rules: tuple[Rule, ...]
    base: float = 0.0
    vocabulary: int = VOCABULARY
    kind: str = field(default="rules", init=False)

    def predict(self, view: View) -> Float32[np.ndarray, " tokens"]:
        """Predicted activation at every token of the view: (tokens,)."""
        out = np.full(view.size, self.base, dtype=np.float32)
        for rule in self.rules:
            out[rule.holds(view)] += np.float32(rule.value)
        return out

    @property
    def bits(self) -> float:
        """Description length in bits."""
        return HEADER_BITS + sum(rule.bits(self.vocabulary) for rule in self.rules)

    def lines(self) -> list[str]:
        """One line a rule: its value and its conditions."""
        return [f"{rule.value:+.3g} when {rule.phrase()}" for rule in self.rules]

    def sentence(self, most_rules: int = 4, most_listed: int = 4) -> str:
        """The explanation as one plain English sentence of at most 280 characters.

        Rules are said in their order (a learnt list begins with those that explain most); rules that differ in one
        list of strings only are said as one; what does not fit is counted.
        """
        return sentence(
            [(rule.value, tuple(c.said for c in rule.when)) for rule in self.rules], most_rules, most_listed
        )

    def on(self, tokens: Sequence[str], real: ArrayLike | None = None) -> TokenHeat:
        """What this predicts on a stretch of text, as a notebook shows it: the tokens shaded by the prediction.

        Args:
            tokens: their texts, as the subject's tokenizer divides it; ``" Monday"`` is not ``"Monday"``.
            real: (n,) what the unit did there, for the upper half of each token.

        Raises:
            ValueError: tokens and activations are not of one length.
        """
        from assay.rules.notebook import on_tokens

        return on_tokens(self, tokens, real)

    def _repr_html_(self) -> str:
        """For notebooks."""
        from assay.rules.notebook import rules_html

        return rules_html(self)

    def to_json(self) -> dict[str, Any]:
        """As plain data; :meth:`from_json` reads it back."""
        rows: list[dict[str, Any]] = []
        for rule in self.rules:
            when: list[dict[str, Any]] = []
            for c in rule.when:
                entry: dict[str, Any] = {"slot": c.slot}
                entry |= {"any_of": list(c.any_of)} if c.any_of else {"named": c.named}
                when.append(entry | ({"not": True} if c.negated else {}))
            rows.append({"when": when, "value": rule.value})
        return {"kind": "rules", "base": self.base, "vocabulary": self.vocabulary, "rules": rows}

    @classmethod
    def from_json(cls, data: str | Mapping[str, Any]) -> RuleList:
        """Read what :meth:`to_json` wrote, or what a person wrote in the same form: text of JSON, or its contents.

        Raises:
            UsageError: not JSON, a key that is missing, a value of the wrong type, a limit that is exceeded.
            UnknownName: a key, slot, class or flag that does not exist.
        """
        table = reading.table(
            reading.parsed(data, "a rule list"), "a rule list", ("rules",), ("kind", "base", "vocabulary")
        )
        reading.of_kind(table, "rules")
        rules: list[Rule] = []
        for i, entry in enumerate(reading.array(table["rules"], "'rules'"), start=1):
            with reading.at(f"rule {i}"):
                rules.append(_rule(entry))
        base = reading.number(table.get("base", 0.0), "'base'")
        return cls(tuple(rules), base, reading.vocabulary_size(table.get("vocabulary", VOCABULARY)))


def _rule(entry: object) -> Rule:
    row = reading.table(entry, "a rule", ("when", "value"), ())
    when: list[Condition] = []
    for i, condition in enumerate(reading.array(row["when"], "'when'"), start=1):
        with reading.at(f"condition {i}"):
            when.append(_condition(condition))
    return Rule(tuple(when), reading.number(row["value"], "'value'"))


def _condition(entry: object) -> Condition:
    row = reading.table(entry, "a condition", ("slot",), ("any_of", "named", "not"))
    return Condition(
        reading.string(row["slot"], "'slot'"),
        reading.strings(row.get("any_of", ()), "'any_of'"),
        reading.string(row.get("named", ""), "'named'"),
        reading.boolean(row.get("not", False), "'not'"),
    )
