"""Erasers: what takes a concept out of activations and leaves the rest. Fitters gather, a frozen Eraser is applied."""

from assay.probe.erasers.fitter import Fitter
from assay.probe.erasers.registry import ERASERS, make_fitter

__all__ = ["ERASERS", "Fitter", "make_fitter"]
