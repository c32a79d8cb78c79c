"""Which page is at which path. Runs and units are looked up by name among those that are there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from assay.view import live
from assay.view.claim import claim_page, evidence_page
from assay.view.compare import compare_page
from assay.view.figures import histogram_picture, map_page
from assay.view.home import home_page, run_page
from assay.view.pages import Ask, Body, Page, Picture, Saved, Site, Standing
from assay.view.rating import rate
from assay.view.rating.agreement import agreement_page
from assay.view.rating.rated import ratings_csv, ratings_page
from assay.view.stored import stored_figure, stored_page
from assay.view.unit import unit_page
from assay.view.units import lucky_page, units_page

PAGES: tuple[tuple[str, Callable[[Site, Ask], Page | Picture | Saved | Standing]], ...] = (
    ("/", home_page),
    ("/run/{run}/units", units_page),
    ("/run/{run}/lucky", lucky_page),
    ("/run/{run}/unit/{unit}/histogram.svg", histogram_picture),
    ("/run/{run}/unit/{unit}", unit_page),
    ("/run/{run}/map", map_page),
    ("/run/{run}/rate", rate.rate_page),
    ("/run/{run}/agreement", agreement_page),
    ("/rate/ratings.csv", ratings_csv),
    ("/rate/ratings", ratings_page),
    ("/run/{run}/claim/{number}", claim_page),
    ("/run/{run}/evidence", evidence_page),
    ("/run/{run}/figure.svg", stored_figure),
    ("/run/{run}/page", stored_page),
    ("/compare", compare_page),
    ("/run/{run}", run_page),
)

DATA: tuple[tuple[str, Callable[[Site, Ask], Mapping[str, Any]]], ...] = (("/live/{job}.json", live.job),)
"""What is there as JSON alone."""

ACTIONS: tuple[tuple[str, Callable[[Site, Ask, Body], Mapping[str, Any]]], ...] = (
    ("/run/{run}/unit/{unit}/live", live.start),
    ("/live/{job}/cancel", live.cancel),
    ("/run/{run}/rate/next", rate.next_pair),
    ("/run/{run}/rate/answer", rate.answer),
    ("/run/{run}/rate/undo", rate.undo),
)
"""What a POST of JSON does, and answers in JSON."""
