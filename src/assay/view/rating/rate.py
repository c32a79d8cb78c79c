"""Blind rating: a rater says which of two explanations fits the text better, and is not told whose they are.

Pairs come with a POST alone: each is drawn and logged before it is shown, and the page itself and its twin hold none.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from assay.errors import UsageError
from assay.stats.concordance import LEAST_CHOICES, LEAST_UNITS
from assay.store.ratings import Drawn, Ratings
from assay.view.opened import Opened
from assay.view.pages import Ask, Body, Page, Site
from assay.view.rating.pairs import pairs_of, shown

SIDES = ("left", "right", "neither", "skip")
_NICKNAME = re.compile(r"(\w[\w .-]{0,39})?")
_LONGEST = 24 * 3600.0  # seconds that an answer can take
_RNG = random.SystemRandom()


def rate_page(site: Site, ask: Ask) -> Page:
    """Where pairs are rated."""
    opened = site.shelf.open(ask.path["run"])
    ratings = Ratings(site.shelf.root)
    pairs = pairs_of(opened)
    return Page(
        "rate.html",
        {
            "run": opened.run.id,
            "units": len({pair.unit for pair in pairs}),
            "progress": progress(ratings.standing(opened.run.id)),
            "least": {"choices": LEAST_CHOICES, "units": LEAST_UNITS},
        },
    )


def next_pair(site: Site, ask: Ask, body: Body) -> dict[str, Any]:
    """A pair to be rated: ``pair`` of the body again, if it still waits for an answer, else one that is drawn now.

    Raises:
        UsageError: the run has no two explanations of a unit, or the nickname is no nickname.
        StorageError: the draw can't be logged.
    """
    opened, ratings, rater = _asked(site, ask, body)
    if isinstance(body.get("pair"), str) and body["pair"]:
        drawn = _drawn(ratings, opened, body)
        if drawn.rater == rater and ratings.waits(drawn):
            return _said(opened, ratings, drawn)
    return _said(opened, ratings, _draw(opened, ratings, rater))


def answer(site: Site, ask: Ask, body: Body) -> dict[str, Any]:
    """Store an answer to ``pair``: "left", "right", "neither" or "skip"; the next pair is returned.

    Raises:
        UsageError: there is no such pair or answer.
        StorageError: the answer can't be stored.
    """
    opened, ratings, rater = _asked(site, ask, body)
    side = body.get("answer")
    if side not in SIDES:
        raise UsageError(f"an answer must be one of {', '.join(SIDES)}, got {str(side)[:40]!r}")
    drawn = _drawn(ratings, opened, body)
    ratings.answer(drawn, drawn.answer(side), _seconds(body))
    return _said(opened, ratings, _draw(opened, ratings, rater))


def undo(site: Site, ask: Ask, body: Body) -> dict[str, Any]:
    """Take back the rater's last answer in this run; its pair is returned, to be answered again.

    Raises:
        UsageError: there is none.
    """
    opened, ratings, rater = _asked(site, ask, body)
    drawn = ratings.undo(opened.run.id, rater)
    if drawn is None:
        raise UsageError("there is no answer to take back")
    return _said(opened, ratings, drawn)


def progress(rows: Sequence[Mapping[str, Any]]) -> str:
    """How many preferences there are of all raters, and how many are missing, in words."""
    chosen = [row["unit"] for row in rows if row["answer"] in ("a", "b")]
    units = len(set(chosen))
    said = f"{counted(len(chosen), 'preference')} over {counted(units, 'unit')} so far"
    less = missing(len(chosen), units)
    return f"{said}; agreement with the scores is shown after {less}." if less else f"{said}."


def missing(choices: int, units: int) -> str:
    """What is missing until a share is told, in words; "" if nothing is."""
    more = [
        counted(least - have, f"more {noun}")
        for have, least, noun in ((choices, LEAST_CHOICES, "preference"), (units, LEAST_UNITS, "unit"))
        if have < least
    ]
    return " and ".join(more)


def counted(count: int, noun: str) -> str:
    """A count and its noun."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _asked(site: Site, ask: Ask, body: Body) -> tuple[Opened, Ratings, str]:
    rater = body.get("rater", "")
    if not isinstance(rater, str) or not _NICKNAME.fullmatch(rater.strip()):
        raise UsageError("a nickname may have up to 40 letters, digits, spaces, dots and hyphens")
    return site.shelf.open(ask.path["run"]), Ratings(site.shelf.root), rater.strip()


def _drawn(ratings: Ratings, opened: Opened, body: Body) -> Drawn:
    drawn = ratings.drawn(str(body.get("pair", "")))
    if drawn.run != opened.run.id:
        raise UsageError(f"that pair is of run {drawn.run}; load the page again")
    return drawn


def _draw(opened: Opened, ratings: Ratings, rater: str) -> Drawn:
    pairs = pairs_of(opened)
    if not pairs:
        raise UsageError(f"{opened.run.id} has no two explanations of a unit with activations on test text")
    return ratings.draw(opened.run.id, rater, pairs, _RNG)


def _said(opened: Opened, ratings: Ratings, drawn: Drawn) -> dict[str, Any]:
    rows = ratings.standing(opened.run.id)
    mine = [row["unit"] for row in rows if row["rater"] == drawn.rater]
    units = len({pair.unit for pair in pairs_of(opened)})
    yours = f"You have given {counted(len(mine), 'answer')}, to {len(set(mine)):,} of {counted(units, 'unit')}."
    return {**shown(opened, drawn), "progress": f"{yours} {progress(rows)}"}


def _seconds(body: Body) -> float | None:
    """How long the answer took; None for what is no such time."""
    value = body.get("seconds")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LONGEST:
        return None
    return round(float(value), 3)
