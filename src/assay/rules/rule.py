"""Rules: readable, executable explanations of a unit.

An explanation is a :class:`RuleList`: a base value plus, for every rule whose conditions all hold at a token, that
rule's value. A :class:`Condition` names a slot (see :mod:`assay.rules.view`) and either lists at most twelve strings
that may stand there or names one class or flag. Anyone can write one by hand, as JSON::

    {"base": 0.0, "rules": [
        {"when": [{"slot": "token", "any_of": [" Monday", " Friday"]}], "value": 2.0},
        {"when": [{"slot": "form", "named": "digit"}, {"slot": "flag", "named": "inside brackets", "not": true}],
         "value": 0.5}]}
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import UnknownName, UsageError
from assay.rules.classes import class_names
from assay.rules.flags import FLAG_NAMES
from assay.rules.view import BAGS, SLOTS, View

LISTED = 12
CONDITIONS = 4
VALUE_BITS = 8.0
HEADER_BITS = 32.0  # base and scale of the values
PLACES = (*SLOTS, *BAGS, "flag")

_PLACE_PHRASES = {
    "token": "the token is {}",
    "form": "the token is {} in any case",
    "word": "the word so far is {}",
    "previous token": "the previous token is {}",
    "previous word": "the previous word is {}",
    "second last": "the token before the previous one is {}",
    "third last": "the token three back is {}",
    "nearby": "{} is among the previous 8 tokens",
    "earlier": "{} occurred earlier",
}


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
        if bool(self.any_of) == bool(self.named):
            raise UsageError(f"a condition on {self.slot!r} must list strings (any_of) or name a class, one of the two")
        known = FLAG_NAMES if self.slot == "flag" else class_names()
        if self.named and self.named not in known:
            raise UnknownName("flag" if self.slot == "flag" else "class", self.named, known)
        if self.slot == "flag" and self.any_of:
            raise UsageError("a flag has no list of strings; give its name as 'named'")
        if len(self.any_of) > LISTED:
            raise UsageError(f"a condition lists {len(self.any_of)} strings; at most {LISTED} are allowed")

    def holds(self, view: View) -> NDArray[np.bool_]:
        """Where the condition holds: (tokens,) boolean."""
        return self._positive(view) ^ self.negated

    def _positive(self, view: View) -> NDArray[np.bool_]:
        if self.slot == "flag":
            return view.flags[0][:, FLAG_NAMES.index(self.named)] > 0
        if self.named and self.slot == "nearby":
            return view.class_flags[0][:, class_names().index(self.named)] > 0
        names = view.bag(self.slot)[1] if self.slot in BAGS else view.keys(self.slot).names
        if self.named:
            chosen = view.members(self.slot)[:, class_names().index(self.named)] > 0
        else:
            wanted = set(self.any_of)
            chosen = np.array([name in wanted for name in names])
        if self.slot in BAGS:
            return np.asarray(view.bag(self.slot)[0] @ chosen.astype(np.float32)) > 0
        return chosen[view.keys(self.slot).ids]

    def bits(self, vocabulary: int) -> float:
        """Description length: the place, its negation, and the class or the listed strings at log2(vocabulary) each."""
        place = math.log2(len(PLACES)) + 1
        if self.any_of:
            return place + math.log2(LISTED) + len(self.any_of) * math.log2(vocabulary)
        return place + math.log2(len(FLAG_NAMES) if self.slot == "flag" else len(class_names()))

    def phrase(self, most: int = LISTED) -> str:
        """The condition in words; lists longer than ``most`` are cut and counted."""
        if self.slot == "flag":
            return f"{'not ' if self.negated else ''}{self.named}"
        if self.any_of:
            shown = [quoted(text) for text in self.any_of[:most]]
            extra = len(self.any_of) - len(shown)
            what = ", ".join(shown[:-1]) + (" or " if len(shown) > 1 and not extra else ", " if len(shown) > 1 else "")
            what += shown[-1] + (f" or {extra} more" if extra else "")
        else:
            what = f"[{self.named}]"
        phrase = _PLACE_PHRASES[self.slot].format(what)
        if not self.negated:
            return phrase
        return phrase.replace(" is ", " is not ", 1) if " is " in phrase else f"not: {phrase}"


def quoted(text: str) -> str:
    """A token's text in curly quotes, with spaces inside kept and control characters made visible."""
    return "“" + text.replace("\n", "⏎").replace("\t", "⇥").replace("\r", "␍") + "”"


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

    def holds(self, view: View) -> NDArray[np.bool_]:
        """Where all conditions hold: (tokens,) boolean."""
        mask = self.when[0].holds(view)
        for condition in self.when[1:]:
            mask = mask & condition.holds(view)
        return mask

    def bits(self, vocabulary: int) -> float:
        """Description length of the conditions, their number and the value."""
        return math.log2(CONDITIONS) + VALUE_BITS + sum(c.bits(vocabulary) for c in self.when)

    def phrase(self, most: int = LISTED) -> str:
        """The rule's conditions in words."""
        return " and ".join(condition.phrase(most) for condition in self.when)


@dataclass(frozen=True)
class RuleList:
    """An executable explanation: base value plus the values of all rules that hold."""

    rules: tuple[Rule, ...]
    base: float = 0.0
    vocabulary: int = 49152
    kind: str = field(default="rules", init=False)

    def predict(self, view: View) -> NDArray[np.float32]:
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
        """The explanation as one plain English sentence, strongest rules first, the rest counted."""
        if not self.rules:
            return "Nothing in the left context predicts it."
        ranked = sorted(self.rules, key=lambda rule: -abs(rule.value))[:most_rules]
        parts: list[str] = []
        for verb, sign in (("Rises", 1), ("falls", -1)):
            chosen = [rule for rule in ranked if rule.value * sign > 0]
            if chosen:
                parts.append(f"{verb} when " + ", or when ".join(rule.phrase(most_listed) for rule in chosen))
        rest = len(self.rules) - len(ranked)
        text = "; ".join(parts) + (f"; and {rest} weaker rule{'s' if rest > 1 else ''}" if rest else "") + "."
        return text[0].upper() + text[1:]

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
    def from_json(cls, data: str | dict[str, Any]) -> RuleList:
        """Read what :meth:`to_json` wrote, or what a person wrote in the same form.

        Raises:
            UsageError: not JSON, a key that is missing or unknown, a value of the wrong type.
            UnknownName: a slot, class or flag that does not exist.
        """
        try:
            table = json.loads(data) if isinstance(data, str) else data
        except json.JSONDecodeError as error:
            raise UsageError(f"a rule list must be JSON; line {error.lineno}: {error.msg}") from error
        try:
            rules = tuple(
                Rule(tuple(_condition(entry) for entry in row["when"]), float(row["value"])) for row in table["rules"]
            )
            return cls(rules, float(table.get("base", 0.0)), int(table.get("vocabulary", 49152)))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(
                f"not a rule list ({error!r}); it needs 'rules', each with 'when' (a list of conditions) and 'value'"
            ) from error


def _condition(entry: dict[str, Any]) -> Condition:
    unknown = set(entry) - {"slot", "any_of", "named", "not"}
    if unknown:
        raise UnknownName("key in a condition", min(unknown), ("slot", "any_of", "named", "not"))
    listed = entry.get("any_of", ())
    if isinstance(listed, str):
        raise UsageError(f"'any_of' must be a list of strings, got the string {listed!r}; put it in brackets")
    return Condition(str(entry["slot"]), tuple(map(str, listed)), str(entry.get("named", "")), bool(entry.get("not")))
