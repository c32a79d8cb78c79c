"""The labels of the gallery's exhibits, read from ``gallery.toml``: what is planted, what is true of it, and decoys."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

from assay.core.ids import SiteId, UnitId
from assay.rules import Condition, Rule, RuleList
from assay.rules.rule import LISTED
from assay.testing.gallery_beyond import BEYOND, Beyond, Graded
from assay.testing.gallery_language import KINDS, VOCABULARY

SITE = SiteId(2, "mlp_act")
CLEAN = 0.995  # r of the truth of a unit that is not noisy
DECOYS = ("too broad", "too narrow", "related", "opposite", "another unit's", "nonsense")
_WHEN = re.compile(r"(not )?(token|previous token|second last|third last|nearby|earlier|flag) ([@#]?)(.+)")


@dataclass(frozen=True)
class Said:
    """An explanation in both forms: as a sentence, and as rules, which can't say everything."""

    sentence: str
    rules: RuleList | None


@dataclass(frozen=True, eq=False)
class Exhibit:
    """A planted unit.

    ``truth``: predicts its activation, without its noise, from a text. ``told``: the true explanation; its rules are
    None where no list of rules is true. ``meanings``: of a polysemantic unit the rules of each. ``r``: Pearson's r of
    the truth with the activation. ``writes``: by kind of token, the nats that an activation of 1 adds to their logits;
    empty for a silent unit. ``contextual``: whether anything but the token itself counts. ``dense``: whether it is
    never quite 0, so that there is no token on which it does not fire.
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


def read_exhibits() -> tuple[Exhibit, ...]:
    """All exhibits, in the order of the file, which is that of their units."""
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
    others = [truth for i, truth in enumerate(truths) if i != place and _strange(told, truth)]
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


def _strange(told: Said, other: Said) -> bool:
    """Whether the other is said in rules, of other tokens."""
    return other.rules is not None and not _of_tokens(told) & _of_tokens(other)


def _of_tokens(said: Said) -> set[Condition]:
    rules = () if said.rules is None else said.rules.rules
    return {condition for rule in rules for condition in rule.when if condition.slot == "token"}


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
    if not half:
        raise ValueError(f"too much is listed under 'not': {[condition.phrase() for condition in when]}")
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
