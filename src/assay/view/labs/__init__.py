"""The pages of runs, by the verb that made them: each lab's result as sections of evidence."""

from __future__ import annotations

from assay.view.labs.concept import concept_page
from assay.view.labs.other import other_page
from assay.view.labs.record import record_page
from assay.view.labs.related import related_page
from assay.view.labs.report import report_page
from assay.view.labs.selftest import selftest_page
from assay.view.labs.steer import steer_page
from assay.view.opened import Opened
from assay.view.pages import Ask, Page, Site

LABS = ("erase", "probe", "record", "related", "report", "selftest", "steer")


def lab_of(site: Site, opened: Opened, ask: Ask) -> Page:
    """The page of a run without claims about units, by its verb; of an unknown verb, whatever tables it has."""
    match opened.run.spec["verb"]:
        case "probe" | "erase":
            return concept_page(opened, ask)
        case "steer":
            return steer_page(opened, ask)
        case "report":
            return report_page(opened, ask)
        case "related":
            return related_page(site, opened, ask)
        case "selftest":
            return selftest_page(opened, ask)
        case "record":
            return record_page(opened, ask)
        case _:
            return other_page(opened, ask)
