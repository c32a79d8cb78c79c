"""What the lab found, as HTML for notebooks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from assay.draw.notebook import fragment, paragraph, table, verdict
from assay.draw.words import counted, score_text

if TYPE_CHECKING:
    from assay.explain.request import ExplainOutcome

_MOST = 40  # claims; the others are counted
_COLUMNS = ["unit", "by", "explanation", "r", "95 % interval", "best null", "verdict", "reason"]


def outcome_html(outcome: ExplainOutcome) -> str:
    """A row a claim: the sentence, r with its interval and its best null, and the verdict with its reason.

    Of a whole model's units, which the outcome does not hold one by one, the verdicts are counted.
    """
    claims = outcome.result["units"] or []
    units = len({claim["unit"] for claim in claims}) or outcome.result["summary"]["units"]
    caption = f"{counted(units, 'unit')} of {outcome.result['subject']}"
    place = paragraph(f"stored in {outcome.run_path}", "q")
    if not claims:
        return fragment(_counts(caption, outcome.result["summary"]["verdicts"]), place)
    rows = [_row(claim) for claim in claims[:_MOST]]
    more = [paragraph(f"and {len(claims) - _MOST:,} more claims", "q")] if len(claims) > _MOST else []
    return fragment(table(caption, _COLUMNS, rows, numeric=(3,)), *more, place)


def _row(claim: Mapping[str, Any]) -> list[str | Markup]:
    r, low, high = claim["r"], claim["r_lo"], claim["r_hi"]
    nulls = {name.replace("_", " "): score for name, score in claim["nulls"].items() if score is not None}
    best = max(nulls, key=lambda name: nulls[name], default=None)
    return [
        claim["unit"],
        claim["explainer"],
        claim["explanation"],
        "unscored" if r is None else score_text(r),
        "" if low is None or high is None else f"{score_text(low)} to {score_text(high)}",
        "" if best is None else f"{best} {score_text(nulls[best])}",
        verdict(claim["verdict"]),
        claim["reason"],
    ]


def _counts(caption: str, verdicts: Mapping[str, Any]) -> Markup:
    by_explainer = {name: counts for name, counts in verdicts.items() if isinstance(counts, Mapping)} or {"": verdicts}
    rows = [(verdict(name), by, f"{count:,}") for by, counts in by_explainer.items() for name, count in counts.items()]
    return table(caption, ["verdict", "explainer", "claims"], rows, numeric=(2,))
