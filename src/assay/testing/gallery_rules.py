"""From rules to weights: a list of rules becomes heads and neurons that compute it exactly.

The same rules are evaluated by :class:`assay.rules.RuleList` on text. Both ways share no code, so that each checks the
other. Of the grammar this knows what the gallery's units need; the rest is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from assay.rules.classes import class_names, fold, membership
from assay.rules.rule import Condition, RuleList
from assay.rules.view import NEARBY
from assay.testing.gallery_language import KINDS, VOCABULARY
from assay.testing.gallery_weights import (
    Circuit,
    Head,
    Reading,
    at_any,
    at_distance,
    at_follower,
    at_latest,
    one,
    plus,
    times,
    tokens,
)

BELOW, RULES = 0, 1  # layers: what heads bring and gates make of it; where rules are conjunctions of that
AGAIN = KINDS["name"]  # the tokens whose repetition can be seen
_STOPS = (".", "!", "?")
_BACK = {"previous token": 1, "second last": 2, "third last": 3}


class Compiler:
    """Puts rules into a circuit; features that several rules need are made once."""

    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit
        self._carriers: dict[int, Head] = {}
        self._axes: dict[object, int] = {}

    def compile(self, rules: RuleList, axis: int) -> None:
        """Neurons that write to ``axis`` what the rules predict, without the base."""
        for rule in rules.rules:
            own = [c for c in rule.when if c.slot in ("token", "form") and not c.negated]
            literals = [self.literal(condition, own) for condition in rule.when]
            self.circuit.conjunction(RULES, literals, {axis: rule.value})

    def literal(self, condition: Condition, own: Sequence[Condition] = ()) -> Reading:
        """Reads 1 where the condition holds, 0 elsewhere, from the rules' layer on.

        ``own``: what else is said of the token itself; the heads behind some flags count that token in.
        """
        found = self._positive(condition, own)
        return plus(one(), times(found, -1.0)) if condition.negated else found

    def _positive(self, condition: Condition, own: Sequence[Condition]) -> Reading:
        chosen = members(condition) if condition.slot != "flag" else ()
        if condition.slot in ("token", "form"):
            return tokens(chosen)
        if condition.slot in _BACK:
            return {self.back(_BACK[condition.slot], chosen): 1.0}
        if condition.slot == "nearby":
            return {self.stairs(chosen, (0.0, *[1.0] * NEARBY)): 1.0}
        if condition.slot == "earlier":
            self._apart(chosen, own, condition)
            return {self._sought("any", at_any, chosen, tokens(chosen)): 1.0}
        if condition.slot == "flag" and condition.named in _FLAGS:
            return _FLAGS[condition.named](self, own, condition)
        raise NotImplementedError(f"the gallery's compiler knows no {condition.slot!r} ({condition.named or 'list'})")

    def _apart(self, chosen: Sequence[str], own: Sequence[Condition], condition: Condition) -> None:
        here = set(VOCABULARY).intersection(*(members(c) for c in own))
        if here & set(chosen):
            raise NotImplementedError(f"{condition.phrase()}: the token itself must not be one of them")

    def back(self, distance: int, chosen: Sequence[str]) -> int:
        """The axis that says whether the token so many back is one of these."""
        key = ("back", distance, tuple(chosen))
        if key not in self._axes:
            self._axes[key] = self.circuit.axis()
            self.carrier(distance).carry(tokens(chosen), self._axes[key])
        return self._axes[key]

    def carrier(self, distance: int) -> Head:
        """A head of the first layer that attends so many tokens back and has room for another value."""
        if distance not in self._carriers or self._carriers[distance].full:
            self._carriers[distance] = at_distance(distance)
            self.circuit.heads[BELOW].append(self._carriers[distance])
        return self._carriers[distance]

    def count(self, chosen: Sequence[str]) -> int:
        """The axis that counts these tokens among the previous eight."""
        key = ("count", tuple(chosen))
        if key not in self._axes:
            self._axes[key] = self.circuit.axis()
            for distance in range(1, NEARBY + 1):
                self.carrier(distance).carry(tokens(chosen), self._axes[key])
        return self._axes[key]

    def stairs(self, chosen: Sequence[str], steps: Sequence[float]) -> int:
        """The axis that holds ``steps[c]`` where c of these tokens are among the previous eight."""
        key = ("stairs", tuple(chosen), tuple(steps))
        if key not in self._axes:
            self._axes[key] = self.circuit.staircase(BELOW, {self.count(chosen): 1.0}, steps)
        return self._axes[key]

    def _sought(self, how: str, make: Callable[[Sequence[str]], Head], members: Sequence[str], value: Reading) -> int:
        """The axis to which a head that seeks these tokens writes what ``value`` reads there."""
        key = (how, tuple(members))
        if key not in self._axes:
            self._axes[key] = self.circuit.axis()
            head = make(members)
            head.carry(value, self._axes[key])
            self.circuit.heads[BELOW].append(head)
        return self._axes[key]

    def inside(self, opening: str, closing: str, own: Sequence[Condition], condition: Condition) -> Reading:
        """Reads 1 after ``opening`` until ``closing``. The language nests neither."""
        both = (*KINDS[opening], *KINDS[closing])
        self._apart(both, own, condition)
        return {self._sought("latest", at_latest, both, tokens(KINDS[opening])): 1.0}

    def again(self, own: Sequence[Condition], condition: Condition) -> Reading:
        """Reads 1 where a name stood before: the head of the second layer seeks what followed it."""
        here = set(VOCABULARY).intersection(*(members(c) for c in own))
        if not here <= set(AGAIN):
            raise NotImplementedError(f"{condition.phrase()}: known for names only")
        if "again" not in self._axes:
            self._axes["again"] = self.circuit.axis()
            before = {name: self.back(1, (name,)) for name in AGAIN}
            head = at_follower(AGAIN, before)
            head.carry(plus(one(), tokens(KINDS["start"], -1.0)), self._axes["again"])
            self.circuit.heads[RULES].append(head)
        return {self._axes["again"]: 1.0}


_Flag = Callable[[Compiler, Sequence[Condition], Condition], Reading]
_FLAGS: dict[str, _Flag] = {
    "first token of a sentence": lambda c, own, what: {c.back(1, _STOPS): 1.0},
    "first token of a line": lambda c, own, what: {c.back(1, KINDS["newline"]): 1.0},
    "inside brackets": lambda c, own, what: c.inside("open", "close", own, what),
    "inside double quotes": lambda c, own, what: c.inside("open quote", "close quote", own, what),
    "a repetition of an earlier token": lambda c, own, what: c.again(own, what),
    "new in the window": lambda c, own, what: plus(one(), times(c.again(own, what), -1.0)),
}


def members(condition: Condition) -> tuple[str, ...]:
    """The tokens of the vocabulary that a condition on a slot means."""
    exact = condition.slot in ("token", "previous token")
    texts = [token if exact else fold(token) for token in VOCABULARY]
    if condition.named:
        inside = _in_class(tuple(texts), condition.named)
    else:
        inside = [text in condition.any_of for text in texts]
    return tuple(token for token, chosen in zip(VOCABULARY, inside, strict=True) if chosen)


@cache
def _in_class(texts: tuple[str, ...], name: str) -> list[bool]:
    return (membership(texts)[:, class_names().index(name)] > 0).tolist()
