"""Which page is at which path. Runs and units are looked up by name among those that are there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from assay.view.figures import histogram_picture, map_page
from assay.view.home import home_page, run_page
from assay.view.pages import Ask, Body, Page, Picture, Site
from assay.view.unit import unit_page
from assay.view.units import lucky_page, units_page

PAGES: tuple[tuple[str, Callable[[Site, Ask], Page | Picture]], ...] = (
    ("/", home_page),
    ("/run/{run}/units", units_page),
    ("/run/{run}/lucky", lucky_page),
    ("/run/{run}/unit/{unit}/histogram.svg", histogram_picture),
    ("/run/{run}/unit/{unit}", unit_page),
    ("/run/{run}/map", map_page),
    ("/run/{run}", run_page),
)

ACTIONS: tuple[tuple[str, Callable[[Site, Ask, Body], Mapping[str, Any]]], ...] = ()
"""What a POST of JSON does, and answers in JSON."""
