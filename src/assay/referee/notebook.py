"""What the referee found, as HTML for notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from assay.draw.forest_rows import ForestRow
from assay.draw.notebook import evidence, fragment, paragraph, table, verdict
from assay.draw.words import score_text, short
from assay.stats.bootstrap import interval

if TYPE_CHECKING:
    from assay.referee.combine import ClaimVerdict
    from assay.referee.verdict import CheckInput, CheckVerdict, Judgement

_MOST = 30  # rows; the others are counted
_CHECK = ["verdict", "above its best null by", "95 % interval", "best null", "p, supported", "p, refuted", "reason"]


def claim_html(claim: ClaimVerdict) -> str:
    """The verdict of a claim, with its reason."""
    return fragment(table("Verdict of a claim", ["verdict", "reason"], [(verdict(claim.verdict.value), claim.reason)]))


def check_html(check: CheckVerdict) -> str:
    """The verdict of a check, with all that it rests on."""
    return fragment(table("Verdict of a check", _CHECK, [_cells(check)], numeric=(1,)))


def measured_html(check: CheckInput) -> str:
    """The score of a check beside its nulls. There is no verdict before all claims of a run are judged together."""
    found = interval(check.score, check.replicates_score)
    row = ForestRow(
        "the check’s score", None if found.value != found.value else found.value, found.lo, found.hi, check.nulls
    )
    why = "; ".join(check.reasons)
    return fragment(evidence("What a check measured", [row]), *([paragraph(f"Undecided: {why}")] if why else []))


def judgement_html(judgement: Judgement[Any]) -> str:
    """The verdicts of all claims for one check, and how the controls did."""
    shown = list(judgement.claims.items())[:_MOST]
    summary, more = judgement.summary, len(judgement.claims) - len(shown)
    controls = f"{summary.passed:,} of {summary.n:,} negative controls passed"
    controls += ", more often than chance allows: the check is void" if summary.void else ""
    rows = [[str(name), *_cells(check)] for name, check in shown]
    parts = [table("Verdicts of one check", ["claim", *_CHECK], rows, numeric=(2,)), paragraph(controls, "q")]
    return fragment(*parts, *([paragraph(f"and {more:,} more claims", "q")] if more else []))


def _cells(check: CheckVerdict) -> list[str | Markup]:
    bounds = f"{score_text(check.d_lo)} to {score_text(check.d_hi)}"
    chances = [short(check.p_support), short(check.p_refute)]
    return [
        verdict(check.verdict.value),
        score_text(check.d),
        bounds,
        check.null.replace("_", " "),
        *chances,
        check.reason,
    ]
