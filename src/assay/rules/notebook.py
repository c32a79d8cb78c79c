"""Executable explanations as HTML for notebooks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import ArrayLike

from assay.draw.heat import Scale, ShadedToken
from assay.draw.notebook import fragment, heat, paragraph, table
from assay.draw.token_heat import TokenHeat
from assay.draw.words import counted, short
from assay.rules.lookup import Lookup
from assay.rules.phrases import quoted
from assay.rules.rule import RuleList
from assay.rules.view import View

_MOST = 24  # lines; the others are counted


def rules_html(rules: RuleList) -> str:
    """A sentence, and a line a rule, its value shaded as a token of that activation would be."""
    shown = rules.rules[:_MOST]
    values = _shaded([rule.value for rule in rules.rules])
    lines = [(rule.phrase(), value) for rule, value in zip(shown, values, strict=False)]
    caption = f"{counted(len(rules.rules), 'rule')}, base {short(rules.base)}, {rules.bits:,.0f} bits"
    parts = [paragraph(rules.sentence(), "s"), table(caption, ["when", "adds"], lines, numeric=(1,))]
    return fragment(*parts, *_more(len(rules.rules) - len(shown), "rule", "rules"))


def lookup_html(lookup: Lookup) -> str:
    """A sentence, and the entries that lie farthest from the base."""
    ranked = sorted(lookup.entries.items(), key=lambda item: -abs(item[1] - lookup.base))
    values = _shaded([value for _, value in ranked])
    lines = [
        (quoted(key) if isinstance(key, str) else f"{quoted(key[1])} after {quoted(key[0])}", value)
        for (key, _), value in zip(ranked[:_MOST], values, strict=False)
    ]
    caption = f"{counted(len(ranked), 'text')}, {short(lookup.base)} on any other, {lookup.bits:,.0f} bits"
    parts = [paragraph(lookup.sentence(), "s"), table(caption, ["on", "is"], lines, numeric=(1,))]
    return fragment(*parts, *_more(len(ranked) - len(lines), "text", "texts"))


def on_tokens(explanation: RuleList | Lookup, tokens: Sequence[str], real: ArrayLike | None) -> TokenHeat:
    """What the explanation predicts of one window of text."""
    texts = sorted(set(tokens))
    index = {text: i for i, text in enumerate(texts)}
    ids = np.array([[index[token] for token in tokens]], np.int32).reshape(1, -1)
    predicted = explanation.predict(View(ids, texts)) if tokens else np.zeros(0, np.float32)
    return TokenHeat.of(tokens, predicted, real)


def _shaded(values: Sequence[float]) -> list[Markup]:
    """Each value as a shaded number, on the scale of the largest."""
    largest = max((abs(value) for value in values), default=0.0)
    scale = Scale(largest or 1.0, 3)
    return [
        heat([ShadedToken(f"{value:+.3g}".replace("-", "−"), scale.shade("b", value), "", "", False)])
        for value in values
    ]


def _more(count: int, one: str, many: str) -> list[Markup]:
    return [paragraph(f"and {count:,} more {one if count == 1 else many}", "q")] if count > 0 else []
