"""Do people prefer the explanation that a score puts first? Nothing is told before there are enough preferences."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from assay.stats.concordance import CHANCE, LEAST_CHOICES, LEAST_UNITS, Choice, Concordance, concordance, repeated
from assay.store.ratings import Ratings
from assay.view.opened import Opened
from assay.view.pages import Ask, Page, Site
from assay.view.rating.pairs import pairs_of
from assay.view.rating.rate import missing

SCORES: Mapping[str, bool] = {
    **dict.fromkeys(("r", "r_context", "r_pos", "r_neg", "r_with_first", "f1", "auprc", "top_and_random"), False),
    "rank": True,
    **dict.fromkeys(("behaviour", "surplus_over_noise"), False),
    **dict.fromkeys(("detection_f1", "detection_precision", "detection_recall", "detection_accuracy"), False),
    **dict.fromkeys(("fuzzing_f1", "fuzzing_precision", "fuzzing_recall", "fuzzing_accuracy"), False),
    "also_r": False,
}
"""The scores that preferences are held against, and whether a lower one is better."""

LONGER = "longer sentence"
"""What needs no score: a reference that a score should beat."""


class Row(NamedTuple):
    """One score: the share of preferences that agree and its bounds, None with too few, and what is missing then."""

    score: str
    lower_is_better: bool
    choices: int
    units: int
    share: float | None
    lo: float | None
    hi: float | None
    missing: str


def agreement_page(site: Site, ask: Ask) -> Page:
    """What people preferred, beside what the scores say."""
    opened = site.shelf.open(ask.path["run"])
    ratings = Ratings(site.shelf.root).standing(opened.run.id)
    preferred = [rating for rating in ratings if rating["answer"] in ("a", "b")]
    units = {rating["unit"] for rating in preferred}
    less = missing(len(preferred), len(units))
    rows = [] if less else _rows(opened, preferred)  # which scores a pair has would tell whose it is
    told = [row for row in rows if row.share is not None]
    figure = _figure(told) if told else None
    answers = Counter(rating["answer"] for rating in ratings)
    again = repeated(
        Choice(row["unit"], f"{row['claim_a']}-{row['claim_b']}", row["answer"], row["rater"]) for row in preferred
    )
    return Page(
        "agreement.html",
        {
            "run": opened.run.id,
            "rows": rows,
            "figure": figure.svg if figure else None,
            "alternative": figure.alternative if figure else "",
            "chance": CHANCE,
            "least": {"choices": LEAST_CHOICES, "units": LEAST_UNITS},
            "preferred": len(preferred),
            "preferred_units": len(units),
            "missing": less,
            "rateable": len({pair.unit for pair in pairs_of(opened)}),
            "neither": answers["neither"],
            "skipped": answers["skip"],
            "raters": len({rating["rater"] for rating in ratings}),
            "again": [_row(name, False, found) for name, found in zip(("one rater", "two raters"), again, strict=True)],
        },
    )


def _rows(opened: Opened, preferred: Sequence[Mapping[str, Any]]) -> list[Row]:
    """One row a score that any two compared claims have, and one for the length of the sentence."""
    units = np.array([rating["unit"] for rating in preferred], str)
    values = _values(opened, sorted(set(units.tolist())))
    sides = [("claim_a", "claim_b") if rating["answer"] == "a" else ("claim_b", "claim_a") for rating in preferred]
    chosen, other = (
        [values.get(rating[side[which]], {}) for rating, side in zip(preferred, sides, strict=True)] for which in (0, 1)
    )
    rows: list[Row] = []
    for score, lower in {**SCORES, LONGER: False}.items():
        first, second = (np.array([one.get(score, math.nan) for one in side], np.float64) for side in (chosen, other))
        found = concordance(first, second, units, lower_is_better=lower)
        if found.choices:
            rows.append(_row(score, lower, found))
    return rows


def _values(opened: Opened, units: Sequence[str]) -> dict[int, dict[str, float]]:
    """By claim, the scores that it has."""
    found: dict[int, dict[str, float]] = {}
    for name in units:
        unit = opened.index.unit(name)
        for claim in opened.index.claims(unit["n"]) if unit else []:
            scores = {test["measure"]: test["value"] for test in claim["detail"]["evidence"] if "value" in test}
            found[claim["claim"]] = {**scores, LONGER: float(len(claim["text"]))}
    return found


def _row(score: str, lower_is_better: bool, found: Concordance) -> Row:
    interval = found.share if found.enough else (None, None, None)
    return Row(score, lower_is_better, found.choices, found.units, *interval, missing(found.choices, found.units))


def _figure(rows: Sequence[Row]) -> Any:
    from assay.draw.agreement import AgreementRow, agreement_plot

    return agreement_plot([AgreementRow(row.score, row.share, row.lo, row.hi, row.choices) for row in rows])
