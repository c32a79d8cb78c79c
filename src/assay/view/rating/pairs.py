"""Pairs of explanations of one unit, as they are shown to a rater who is not told where they come from."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from assay.draw.heat import Scale, visible
from assay.explain.excerpts import Amount, Excerpt, draw
from assay.explain.names import OUTPUTS
from assay.rules.lookup import Lookup
from assay.rules.phrases import quoted
from assay.store.ratings import Drawn, Pair
from assay.view.opened import Opened

AMOUNT = Amount(strongest=4, predicted=0, quantiles=5, random=4, exemplars=0, before=14, after=6)
_SAID = 6  # entries of a table that its sentence names
_REFINES = (" more rule refines this.", " more rules refine this.")


@lru_cache(maxsize=16)
def pairs_of(opened: Opened) -> list[Pair]:
    """Every two claims with a sentence about the same unit, of the units that have activations on test text."""
    by_unit: dict[str, list[Mapping[str, Any]]] = {}
    for claim in opened.index.claims_on_test_text():
        if claim["explainer"] not in OUTPUTS and claim["text"].strip():
            by_unit.setdefault(claim["unit"], []).append(claim)
    return [
        Pair(
            unit,
            *(one["claim"] for one in two),
            *(one["explainer"] for one in two),
            *(hashlib.sha256(one["text"].encode()).hexdigest()[:16] for one in two),
        )
        for unit, claims in by_unit.items()
        for two in itertools.combinations(claims, 2)
        if two[0]["text"] != two[1]["text"]
    ]


def shown(opened: Opened, drawn: Drawn) -> dict[str, Any]:
    """All that a rater sees of a pair, and nothing that tells which explanation is whose.

    The excerpts are of the test split, shaded by the real activation. No prediction has a part in which are drawn: the
    strongest, the lowest where the unit has two tails, tokens across its range and tokens at random, from one seed.
    """
    unit = opened.index.unit(drawn.pair.unit)
    assert unit is not None
    sentences = {claim["claim"]: sentence(claim) for claim in opened.index.claims(unit["n"])}
    sides = (drawn.pair.claim_a, drawn.pair.claim_b)
    left, right = sides if drawn.shown_left == "a" else sides[::-1]
    real = opened.run.tensor_row("test", "activations", unit["test"])
    scale = Scale.of(real[opened.test.scored])
    groups = draw(opened.test, f"{unit['unit']} {drawn.seed}", real, np.full_like(real, np.nan), AMOUNT, scale)
    excerpts = {tuple(one.tokens): one for group in groups for one in group.excerpts}
    return {
        "pair": drawn.draw,
        "left": sentences[left],
        "right": sentences[right],
        "full": scale.number(scale.full),
        "excerpts": [_excerpt(one) for one in sorted(excerpts.values(), key=_value, reverse=True)],
    }


def sentence(claim: Mapping[str, Any]) -> str:
    """A claim's sentence in the form that all of them have here: what it says is left, who says so is not told.

    A table of tokens is said without its numbers, which no other explanation has, and rules don't call themselves so.
    A sentence that a judge wrote is shown as it was written.
    """
    rules, text = claim["detail"]["rules"], claim["text"]
    if isinstance(rules, Mapping) and rules.get("kind") == "lookup":
        text = _table(Lookup.from_json(rules)) or text
    for ending in _REFINES:
        if text.endswith(ending):
            start, _, count = text.removesuffix(ending).rpartition("; ")
            text = f"{start}; and so on for {count} more." if start else text
    text = visible(text.strip())
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _table(lookup: Lookup) -> str:
    """The strongest entries, in the words that rules have."""
    ranked = sorted(lookup.entries.items(), key=lambda item: -abs(item[1] - lookup.base))
    parts: list[str] = []
    for verb, sign in (("rises", 1), ("falls", -1)):
        keys = [key for key, value in ranked[:_SAID] if sign * (value - lookup.base) > 0]
        if keys:
            parts.append(f"it {verb} when the token is {_joined(list(dict.fromkeys(map(_named, keys))))}")
    if len(ranked) > _SAID:
        parts.append(f"and so on for {len(ranked) - _SAID} more")
    said = "; ".join(parts)
    return f"{said[:1].upper()}{said[1:]}." if parts else ""


def _named(key: str | tuple[str, str]) -> str:
    """A token in quotes without the spaces around it, as the sentences of rules have it; or a token after another."""
    texts = [quoted(text.strip() or text) for text in ((key,) if isinstance(key, str) else key)]
    return " after ".join(reversed(texts))


def _joined(names: list[str]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _excerpt(one: Excerpt) -> dict[str, Any]:
    tokens = [
        {"text": token.text, "shade": token.shades, "real": token.real, "looked_at": token.looked_at}
        for token in one.tokens
    ]
    return {"real": one.real, "tokens": tokens, "cut_before": one.cut_before, "cut_after": one.cut_after}


def _value(one: Excerpt) -> float:
    return float(one.real.replace("−", "-"))
