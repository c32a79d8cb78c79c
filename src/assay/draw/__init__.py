"""Figures and pages in the house's dress."""

from assay.draw.figures import BLUE, GREEN, GRID, INK, NOISE, NULL, PURPLE, SKY, VERMILION, dressed, svg
from assay.draw.pages import templates

__all__ = [
    "BLUE",
    "GREEN",
    "GRID",
    "INK",
    "NOISE",
    "NULL",
    "PURPLE",
    "SKY",
    "VERMILION",
    "dressed",
    "svg",
    "templates",
]
