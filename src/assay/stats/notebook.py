"""Scores as HTML for notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.draw.forest_rows import ForestRow
from assay.draw.notebook import evidence, fragment, paragraph
from assay.draw.words import counted, short

if TYPE_CHECKING:
    from assay.stats.score import Scores


def scores_html(scores: Scores) -> str:
    """A row a score that is defined, what they stand on, and why the data can't carry a verdict, if they can't."""
    named = {"r": scores.r, "r, above 0": scores.r_pos, "r, below 0": scores.r_neg, "r, context": scores.r_context}
    named |= {"F1": scores.f1, "AUPRC": scores.auprc}
    rows = [ForestRow(name, score.value, score.lo, score.hi) for name, score in named.items() if score is not None]
    text = f"{counted(scores.n_tokens, 'token')} in {counted(scores.n_documents, 'document')}"
    missing = ", ".join(name for name, score in named.items() if score is None)
    parts = [
        evidence("Scores of a prediction", rows),
        paragraph(f"{text}; the unit fires above {short(scores.fire_above)}", "q"),
    ]
    parts += [paragraph(f"not defined: {missing}", "q")] if missing else []
    why = "; ".join(scores.reasons)
    parts += [paragraph(f"These data carry no verdict: {why}")] if why else []
    return fragment(*parts)
