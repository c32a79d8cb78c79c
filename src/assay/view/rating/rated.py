"""All ratings of all runs: what was shown, from whom it was, and what was answered. Nothing is hidden here."""

from __future__ import annotations

import csv
import io

from assay.store.ratings import Ratings
from assay.view.pages import Ask, Page, Saved, Site

_SHOWN = 200


def ratings_page(site: Site, ask: Ask) -> Page:
    """Every row of the file of ratings, those that were taken back among them."""
    rows = Ratings(site.shelf.root).all()
    return Page("ratings.html", {"ratings": rows, "shown": _SHOWN})


def ratings_csv(site: Site, ask: Ask) -> Saved:
    """The same as a table of comma-separated values."""
    rows = Ratings(site.shelf.root).all()
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]) if rows else ["id"])
    table.writeheader()
    table.writerows(rows)
    return Saved(text.getvalue(), "text/csv", "ratings.csv")
